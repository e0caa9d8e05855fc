"""Text to ids by the recipe's tokenizer, and the ids of its special tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from jobs.verify.records import Recipe
from operators.chat import render_conversation
from operators.tokenizers.opening import open_tokenizer
from pipeline import storage
from pipeline.errors import ConfigError, StorageError
from pipeline.types import Segment, SegmentKind

Ids = list[list[int]]
ROLES = ("placeholder", "document_start", "document_end", "padding")


class Text:
    """The tokenizer, and ids by it. special: ids of special tokens by role, without those that the family lacks."""

    def __init__(self, model: bytes, recipe: Recipe, name: str) -> None:
        given = recipe.tokenizer.special_tokens
        literals = sorted(given, key=lambda literal: given[literal])
        self.tokenizer = open_tokenizer(
            model, literals, name, recipe.profile.tokenizer_pattern, recipe.profile.reserved_ids
        )
        if self.tokenizer.special_ids != given:
            raise ConfigError(
                f"tokenizer {name} gives special tokens other ids than the output's recipe; build it again"
            )
        tokens: dict[str, Any] = recipe.profile.tokens
        self.special = {role: given[tokens[role]] for role in ROLES if tokens.get(role) is not None}
        self._template = recipe.profile.chat

    def encode(self, segments: Sequence[Segment]) -> tuple[Ids, Ids]:
        """Ids and labels (before the first token's is masked) of each segment by itself, or as a turn of its talk."""
        if self._template is None or all(segment.role is None for segment in segments):
            ids = iter(self.tokenizer.encode([s.text or "" for s in segments if s.kind == SegmentKind.TEXT]))
            found = [next(ids) if s.kind == SegmentKind.TEXT else [] for s in segments]
            return found, found
        rows = [{"kind": int(s.kind), "text": s.text, "role": s.role, "turn": s.turn} for s in segments]
        found, trained = render_conversation(rows, self._template, self.tokenizer)
        labels = [
            [i if kept else -100 for i, kept in zip(ids, flags, strict=True)]
            for ids, flags in zip(found, trained, strict=True)
        ]
        return found, labels


def open_text(url: str, recipe: Recipe) -> Text:
    """The tokenizer at `url`. ConfigError if it cannot be read or is not the one that the recipe names."""
    try:
        model = storage.read_bytes(url)
    except StorageError as error:
        raise ConfigError(f"tokenizer {url} cannot be read; give the file with --tokenizer FILE") from error
    found = hashlib.sha256(model).hexdigest()
    if found != recipe.tokenizer.sha256:
        raise ConfigError(
            f"tokenizer {url} has sha256 {found[:12]}; the output was built with {recipe.tokenizer.sha256[:12]}; "
            "give that file with --tokenizer FILE"
        )
    return Text(model, recipe, url)
