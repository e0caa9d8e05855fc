"""Any tokenizer.json through the `tokenizers` package: byte-level BPE, WordPiece, Unigram; special tokens guarded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import tokenizers

from operators.tokenizers.guarding import cover, give_ids
from operators.tokenizers.hiding import File, count_ids, hide_specials
from pipeline.errors import ConfigError


class JsonTokenizer:
    """A tokenizer.json whose special tokens are ids that text can never become.

    A special token has the id of the added token of the same letters, if there is one that can be kept from text
    (`hide_specials`); any other is appended behind the highest id, in the order given. All other text has the ids that
    `tokenizers` itself gives it. Byte-level models are lossless unless the file normalises; WordPiece never is.
    """

    library = "tokenizers"

    def __init__(self, file: File, special: Iterable[str], name: str = "the tokenizer") -> None:
        literals = tuple(special)
        try:
            self._base = count_ids(file)
            guarded, hidden = hide_specials(file, literals)
            self._tokenizer = tokenizers.Tokenizer.from_str(json.dumps(guarded))
            self._tokenizer.encode("\U0010ffff")  # models without an unknown token would fail at the first such text
        except Exception as error:  # the package raises nothing narrower
            found = str(error) if type(error) is Exception else f"{type(error).__name__}: {error}"
            raise ConfigError(
                f"{name} is no tokenizer.json that tokenizers {tokenizers.__version__} reads: {found}; "
                "save it again with the version that the model uses"
            ) from error
        trusted = {literal: hidden[literal] for literal in literals if literal in hidden}
        self.special_ids: dict[str, int] = give_ids(literals, trusted, self._base)
        self.num_added = len(self.special_ids) - len(trusted)
        self.size = self._base + self.num_added
        self._unspoken = frozenset(hidden.values())
        given = ((self._tokenizer.token_to_id(t["content"]), t["id"]) for t in guarded["added_tokens"])
        self._renumbered = {found: wanted for found, wanted in given if found is not None and found != wanted}
        self._original = {wanted: found for found, wanted in self._renumbered.items()}

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text alone; neither start nor end tokens."""
        return [self._number(self._tokenizer.encode(text).ids) for text in texts]

    def encode_with_ends(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of one text, and the characters that each and those before it cover (Tokenizer.encode_with_ends)."""
        encoding = self._tokenizer.encode(text)
        return self._number(encoding.ids), cover((end for _, end in encoding.offsets), len(text))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, special tokens left out; an unknown token shows as itself."""
        spoken = [self._original.get(i, i) for i in ids if i < self._base and i not in self._unspoken]
        return self._tokenizer.decode(spoken, skip_special_tokens=False)

    def _number(self, ids: list[int]) -> list[int]:
        return [self._renumbered.get(i, i) for i in ids] if self._renumbered else ids
