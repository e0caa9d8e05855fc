"""Byte-pair ranks through the `tiktoken` package: rank files of one `base64 rank` a line, as Qwen and Llama 3 ship."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

import tiktoken

from operators.tokenizers.guarding import cover, give_ids
from pipeline.errors import ConfigError

MAX_BLANK = 100_000
"""Characters. White space of 1,000,000 overflows tiktoken's regular expressions, and the process panics."""
BLANKS = re.compile(rf"\s{{1,{MAX_BLANK}}}")
CONTINUATION = bytes(range(0x80, 0xC0))
"""Bytes of UTF-8 that start no character."""


class RankTokenizer:
    """Ranks of byte strings, and the regular expression (`pattern`) that cuts text before they are merged.

    Lossless on any text; nothing is normalised, so text that is not NFC may have other ids than in families that
    normalise it (Qwen). White space of more than 100,000 characters is cut there, which changes its ids.

    Ranks hold no special tokens: families reserve ids behind them by a convention that the file does not tell.
    reserved: those ids; a special token that has none is appended behind all, in the order given.
    trusted, shift: as in tekken files, ids of special tokens in front of the ranks, and how many ids those take.
    ConfigError if a byte has no rank, the pattern is none, or the reserved ids do not begin behind the ranks.
    """

    library = "tiktoken"

    def __init__(
        self,
        ranks: Mapping[bytes, int],
        pattern: str,
        special: Iterable[str],
        name: str = "the tokenizer",
        *,
        trusted: Mapping[str, int] | None = None,
        shift: int = 0,
        reserved: Mapping[str, int] | None = None,
    ) -> None:
        missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
        if missing or len(set(ranks.values())) < len(ranks):
            found = f"no rank for byte {missing[0]:#04x}" if missing else "one rank for several tokens"
            raise ConfigError(f"{name} has {found}; every byte and one token a rank expected; take the whole file")
        try:
            self._encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=dict(ranks), special_tokens={})
        except ValueError as error:
            raise ConfigError(f"{name}: the pattern {pattern!r} is no regular expression: {error}") from error
        self._shift = shift
        self._base = shift + 1 + max(ranks.values())
        behind = dict(reserved or {})
        if behind and min(behind.values()) != self._base:
            raise ConfigError(
                f"{name} has ids up to {self._base - 1}, and the profile's reserved_ids begin at "
                f"{min(behind.values())}; take the family's own file, or leave reserved_ids out"
            )
        literals = tuple(special)
        known = {literal: index for literal, index in {**behind, **(trusted or {})}.items() if literal in literals}
        end = 1 + max([self._base - 1, *behind.values()])
        self.special_ids: dict[str, int] = give_ids(literals, known, end)
        self.num_added = len(self.special_ids) - len(known)
        self.size = end + self.num_added

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text alone; neither start nor end tokens."""
        return [[rank + self._shift for rank in self._ranks(text)] for text in texts]

    def encode_with_ends(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of one text, and the characters that each and those before it cover (Tokenizer.encode_with_ends)."""
        ranks = self._ranks(text)
        tokens = self._encoding.decode_tokens_bytes(ranks)
        starts = (len(token.translate(None, CONTINUATION)) for token in tokens)
        return [rank + self._shift for rank in ranks], cover(accumulate(starts), len(text))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens left out; parts of a character show as U+FFFD."""
        return self._encoding.decode([i - self._shift for i in ids if self._shift <= i < self._base])

    def _ranks(self, text: str) -> list[int]:
        return [rank for part in _parts(text) for rank in self._encoding.encode_ordinary(part)]


def parse_ranks(data: bytes, name: str = "the tokenizer") -> dict[bytes, int]:
    """Ranks by byte string. ConfigError names the first line that is no base64 and a number."""
    ranks = {}
    for number, line in enumerate(data.splitlines(), 1):
        try:
            if line:
                token, rank = line.split()
                ranks[b64decode(token, validate=True)] = int(rank)
        except ValueError as error:
            raise ConfigError(f"{name}, line {number}: {line[:40]!r}; base64 and a rank expected") from error
    return ranks


def _parts(text: str) -> Iterator[str]:
    """The text, cut where white space reaches MAX_BLANK."""
    start = 0
    if len(text) > MAX_BLANK:
        for blank in BLANKS.finditer(text):
            if blank.end() - blank.start() == MAX_BLANK:
                yield text[start : blank.end()]
                start = blank.end()
    yield text[start:]
