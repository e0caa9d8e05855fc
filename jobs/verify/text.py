"""Text to ids by the recipe's tokenizer, straight through the sentencepiece package."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import sentencepiece

from jobs.verify.records import Roles
from pipeline import storage
from pipeline.errors import ConfigError, StorageError


class Text:
    """The tokenizer and the ids of the profile's special tokens, by role; a role that the family lacks is absent."""

    def __init__(self, model: bytes, roles: Roles) -> None:
        self._model: Any = sentencepiece.SentencePieceProcessor(model_proto=model)
        literals = {role: literal for role, literal in roles if literal is not None}
        ids: dict[str, int] = {}
        added = int(self._model.get_piece_size())
        for literal in literals.values():
            if literal in ids:
                continue
            piece = int(self._model.piece_to_id(literal))
            # A piece that is no control symbol could come from text, so such a token gets an id behind the vocabulary.
            if self._model.id_to_piece(piece) == literal and self._model.is_control(piece):
                ids[literal] = piece
            else:
                ids[literal] = added
                added += 1
        self.special = {role: ids[literal] for role, literal in literals.items()}

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text by itself."""
        return [list(ids) for ids in self._model.encode(list(texts), out_type=int, add_bos=False, add_eos=False)]


def open_tokenizer(url: str, sha256: str, roles: Roles) -> Text:
    """The tokenizer at `url`. ConfigError if it cannot be read or is not the one that the recipe names."""
    try:
        model = storage.read_bytes(url)
    except StorageError as error:
        raise ConfigError(f"tokenizer {url} cannot be read; give the file with --tokenizer FILE") from error
    found = hashlib.sha256(model).hexdigest()
    if found != sha256:
        raise ConfigError(
            f"tokenizer {url} has sha256 {found[:12]}; the output was built with {sha256[:12]}; "
            "give that file with --tokenizer FILE"
        )
    return Text(model, roles)
