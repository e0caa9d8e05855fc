"""The ids that a profile's special tokens have in the job's tokenizer: small, and all that `pack` and `write` need."""

from __future__ import annotations

from dataclasses import dataclass

from operators.profiles import Profile
from operators.tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Resolved special ids, and the size of the embedding that covers them."""

    placeholder: int
    document_start: int | None
    document_end: int
    padding: int
    size: int
    num_added: int


def resolve(profile: Profile, tokenizer: Tokenizer) -> Vocabulary:
    """The profile's roles as ids of `tokenizer`."""
    roles, ids = profile.tokens, tokenizer.special_ids
    return Vocabulary(
        placeholder=ids[roles.placeholder],
        document_start=ids[roles.document_start] if roles.document_start else None,
        document_end=ids[roles.document_end],
        padding=ids[roles.padding],
        size=tokenizer.size,
        num_added=tokenizer.num_added,
    )
