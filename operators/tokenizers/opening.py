"""Opens a tokenizer file of any kind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from operators.tokenizers import Tokenizer
from operators.tokenizers.ranks import RankTokenizer, parse_ranks
from operators.tokenizers.sentencepiece import SentencePieceTokenizer
from operators.tokenizers.tekken import open_tekken
from operators.tokenizers.tokenizer_json import JsonTokenizer
from operators.tokenizers.wordpiece import UNKNOWN, read_vocab
from pipeline.errors import ConfigError

RANK_LINE = re.compile(rb"\s*[A-Za-z0-9+/]+={0,2} \d+\s*(\n|$)")
UNKNOWN_LINE = re.compile(rb"^" + re.escape(UNKNOWN.encode()) + rb"\r?$", re.MULTILINE)
PICKLE_STARTS = (b"\x80", b"PK\x03\x04")
"""Of a pickle from protocol 2 on, and of the archive that torch.save writes."""
KINDS = "SentencePiece model, tokenizer.json, tekken.json, file of tiktoken ranks or WordPiece vocab.txt"


def open_tokenizer(
    data: bytes,
    special: Iterable[str],
    name: str = "the tokenizer",
    pattern: str | None = None,
    reserved: Mapping[str, int] | None = None,
) -> Tokenizer:
    """The tokenizer in `data`, whose bytes say its kind; nothing in them is ever run.

    special: the profile's special tokens, in order. name: says in errors which file it is. pattern: the regular
    expression that files of ranks alone do not hold, and reserved the ids of their special tokens; other files have
    no use for either. ConfigError for what is no tokenizer.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise ConfigError(f"{name} is empty; a {KINDS} expected; copy it again")
    if data.startswith(PICKLE_STARTS):
        raise ConfigError(f"{name} is a pickle, which is a program and is not run; a {KINDS} expected")
    if data.lstrip().startswith((b"{", b"[{", b'["')):
        return _open_json(data, special, name)
    if RANK_LINE.match(data):
        if pattern is None:
            raise ConfigError(
                f"{name} holds ranks without the pattern that cuts text before them; "
                "set the profile's tokenizer_pattern, or give the family's tokenizer.json"
            )
        return RankTokenizer(parse_ranks(data, name), pattern, special, name, reserved=reserved)
    if UNKNOWN_LINE.search(data):
        try:
            vocab = data.decode()
        except UnicodeDecodeError as error:
            raise ConfigError(f"{name} is no WordPiece vocab.txt: {error}; UTF-8 expected") from error
        return JsonTokenizer(read_vocab(vocab), special, name)
    try:
        return SentencePieceTokenizer(data, special, name)
    except ConfigError as error:
        raise ConfigError(f"{name} is no {KINDS}; train one with: lodepack tokenizer train JOB.yaml") from error


def _open_json(data: bytes, special: Iterable[str], name: str) -> Tokenizer:
    try:
        file: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} starts as JSON and is none: {error}; copy it again") from error
    if isinstance(file, dict):
        model = file.get("model")
        if isinstance(model, dict) and "vocab" in model:
            return JsonTokenizer(file, special, name)
        if isinstance(file.get("config"), dict) and "vocab" in file:
            return open_tekken(file, special, name)
    found = f"an object with {', '.join(sorted(file)[:4])}" if isinstance(file, dict) else "a list"
    raise ConfigError(
        f"{name} is JSON, but no tokenizer: {found}; a tokenizer.json (`model.vocab`) or tekken.json (`config`, "
        "`vocab`) expected; vocab.json, merges.txt and tokenizer_config.json are not enough"
    )
