"""Trains a tokenizer on the text of a job's shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jobs.sources import list_inputs
from jobs.spec import Job, local_target, writing
from operators.profiles import load_profile
from operators.tokenizers import sentencepiece
from operators.tokenizers.bytelevel import train_bytelevel
from operators.tokenizers.opening import open_tokenizer
from operators.tokenizers.wordpiece import train_wordpiece
from pipeline.chain import read
from pipeline.errors import ConfigError
from pipeline.takes import Inputs, take_samples
from pipeline.types import SegmentKind, Unit

KINDS = ("unigram", "bpe", "wordpiece")


def train_tokenizer(job: Job, *, kind: str, vocab_size: int, target: str, lowercase: bool = False) -> dict[str, Any]:
    """Trains on every sound sample that a build would pack, once, with the profile's special tokens as guarded ids.

    kind: `unigram` writes a SentencePiece model, `bpe` (byte-level) and `wordpiece` a tokenizer.json; all but
    wordpiece are lossless. lowercase: of wordpiece alone. target: a local path where no file is yet.
    embeddings_added of the result: rows that a model with `pieces` embeddings must add, `size` in all.
    ConfigError for another kind or a size too small, StorageError if `target` cannot be written.
    """
    if kind not in KINDS:
        raise ConfigError(f"--kind {kind}: choose unigram, bpe or wordpiece")
    if lowercase and kind != "wordpiece":
        raise ConfigError(f"--lowercase: a {kind} model is lossless and keeps capitals; leave it out")
    path = local_target(target)
    inputs = list_inputs(job)
    specials = load_profile(job.profile).tokens.literals()
    with writing(path):
        if path.exists():
            raise ConfigError(f"{path} exists; choose another --output or remove it")
        path.parent.mkdir(parents=True, exist_ok=True)
        _train(_texts(job, inputs), path, kind, vocab_size, specials, lowercase=lowercase)
        trained = open_tokenizer(path.read_bytes(), specials, str(path))
    return {
        "model": str(path),
        "kind": kind,
        "pieces": trained.size - trained.num_added,
        "special_tokens": list(specials),
        "embeddings_added": trained.num_added,
        "size": trained.size,
    }


def _train(
    texts: Iterator[str], path: Path, kind: str, vocab_size: int, specials: Sequence[str], *, lowercase: bool
) -> None:
    if kind == "unigram":
        sentencepiece.train(texts, path, kind=kind, vocab_size=vocab_size, control_symbols=specials)
        return
    if kind == "bpe":
        file = train_bytelevel(texts, vocab_size=vocab_size, special=specials)
    else:
        file = train_wordpiece(texts, vocab_size=vocab_size, special=specials, lowercase=lowercase)
    path.write_text(file, "utf-8")  # only now: a failed training leaves nothing behind


def _texts(job: Job, inputs: Inputs) -> Iterator[str]:
    for taken in take_samples(inputs, job.limit):
        unit = Unit(0, taken.shards, taken.source, taken.takes)
        for number in range(len(unit.shards)):
            for table in read(unit, number, limits=job.limits.reading):
                for row in table.select(["segments", "withheld", "rejection"]).to_pylist():
                    if row["rejection"] is None and not row["withheld"]:
                        yield from (s["text"] for s in row["segments"] if s["kind"] == SegmentKind.TEXT)
