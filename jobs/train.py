"""Trains a SentencePiece model on the text of a job's shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs.spec import Job, absolute, local_target, writing
from operators.profiles import load_profile
from operators.tokenizers.sentencepiece import train
from pipeline.chain import read
from pipeline.errors import ConfigError
from pipeline.types import SegmentKind, Shard, Unit
from pipeline.units import list_shards


def train_tokenizer(job: Job, *, kind: str, vocab_size: int, target: str) -> dict[str, Any]:
    """Trains on every sound sample, or the first `limit`; the profile's special tokens become control symbols.

    `target` is a local path where no file is yet. StorageError if it cannot be written.
    """
    path = local_target(target)
    shards = tuple(list_shards([absolute(pattern) for pattern in job.input.shards]))
    specials = load_profile(job.profile).tokens.literals()
    with writing(path):
        if path.exists():
            raise ConfigError(f"{path} exists; choose another --output or remove it")
        path.parent.mkdir(parents=True, exist_ok=True)
        pieces = train(_texts(job, shards), path, kind=kind, vocab_size=vocab_size, control_symbols=specials)
    return {"model": str(path), "kind": kind, "pieces": pieces, "special_tokens": list(specials)}


def _texts(job: Job, shards: tuple[Shard, ...]) -> Iterator[str]:
    unit = Unit(0, shards)
    left = job.limit
    for number in range(len(shards)):
        for table in read(unit, number, job.input.format, job.limits.max_member_bytes):
            for row in table.select(["segments", "rejection", "shard_end"]).to_pylist():
                if row["rejection"] is not None or row["shard_end"] is not None:
                    continue
                if left == 0:
                    return
                left = left - 1 if left is not None else None
                yield from (s["text"] for s in row["segments"] if s["kind"] == SegmentKind.TEXT)
