"""Takes the special tokens of a tokenizer.json out of the reach of text."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

File = dict[str, Any]
"""A parsed tokenizer.json."""


def hide_specials(file: File, literals: Collection[str]) -> tuple[File, dict[str, int]]:
    """A copy of `file` in which text becomes no special token, and the ids of those that it had.

    Special is an added token that the file marks so, or that `literals` names. It is no longer searched in text, and
    the model's vocabulary no longer spells it: no other text changes its ids by that. Further added tokens (runs of
    white space, say) stay as they are. Not hidden, and not in the ids, is what text needs: the unknown token, single
    characters and bytes, and pieces that longer ones are merged from. Nothing is added around a text, cut or padded.
    """
    added = file.get("added_tokens") or []
    specials = {token["content"]: token["id"] for token in added if token["special"] or token["content"] in literals}
    model = dict(file["model"])
    needed = _needed(model)
    hidden = {
        literal: index for literal, index in specials.items() if literal not in needed and not _is_atom(model, literal)
    }
    kept = [token for token in added if token["content"] not in specials]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {piece: index for piece, index in model["vocab"].items() if piece not in hidden}
        for token in kept:  # the package would number added tokens anew, one after the other
            model["vocab"].setdefault(token["content"], token["id"])
        if "merges" in model:
            model["merges"] = [merge for merge in model["merges"] if _merged(model, merge) not in hidden]
    else:
        model["vocab"] = _shadowed(model["vocab"], hidden)
    dropped = dict.fromkeys(("post_processor", "truncation", "padding"))
    return file | dropped | {"model": model, "added_tokens": kept}, hidden


def count_ids(file: File) -> int:
    """Rows that an embedding needs: the highest id and one. Gaps count."""
    vocab = file["model"]["vocab"]
    own = vocab.values() if isinstance(vocab, dict) else [len(vocab) - 1]
    added = (token["id"] for token in file.get("added_tokens") or [])
    return 1 + max(map(int, (*own, *added)))


def _needed(model: File) -> set[str | None]:
    """Pieces that text must be able to become: the unknown token, and the parts of merges."""
    unknown = model.get("unk_token")
    if isinstance(model["vocab"], list) and model.get("unk_id") is not None:
        unknown = model["vocab"][model["unk_id"]][0]
    return {unknown, *(part for merge in model.get("merges") or [] for part in _parts(merge))}


def _is_atom(model: File, literal: str) -> bool:
    """Whether the model spells unknown words with it: a character, or a byte written as <0x41>."""
    is_byte = bool(model.get("byte_fallback")) and literal.startswith("<0x")
    is_spelling = "merges" in model or isinstance(model["vocab"], list)
    return is_byte or (is_spelling and len(literal) == 1)


def _parts(merge: str | Sequence[str]) -> Sequence[str]:
    return merge.split(" ") if isinstance(merge, str) else merge


def _merged(model: File, merge: str | Sequence[str]) -> str:
    first, second = _parts(merge)
    return first + second.removeprefix(model.get("continuing_subword_prefix") or "")


def _shadowed(vocab: Sequence[Sequence[Any]], hidden: Collection[str]) -> list[list[Any]]:
    """A Unigram vocabulary, where a piece's place is its id, in which no text finds the hidden pieces.

    Each takes the letters of the last ordinary piece: of equal pieces the package finds the last alone. Hidden ones
    behind that are cut off. Scores stay, because the lowest of them sets the cost of unknown text.
    """
    last = max(i for i, (piece, _) in enumerate(vocab) if piece not in hidden)
    return [[vocab[last][0] if piece in hidden else piece, score] for piece, score in vocab[: last + 1]]
