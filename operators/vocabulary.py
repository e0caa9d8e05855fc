"""The ids that a profile's special tokens have in the job's tokenizer: small, and all that `pack` and `write` need."""

from __future__ import annotations

from dataclasses import dataclass

from operators.discrete.layouts import DiscreteIds
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
    trains_discrete: bool = False
    """Whether the ids of pictures that are written as ids have labels."""


def resolve(
    profile: Profile, tokenizer: Tokenizer, discrete: DiscreteIds | None = None, *, trains_discrete: bool = False
) -> Vocabulary:
    """The profile's roles as ids of `tokenizer`; discrete: ids behind them that pictures are written in."""
    num_discrete = 0 if discrete is None else discrete.size
    roles, ids = profile.tokens, tokenizer.special_ids
    return Vocabulary(
        placeholder=ids[roles.placeholder],
        document_start=ids[roles.document_start] if roles.document_start else None,
        document_end=ids[roles.document_end],
        padding=ids[roles.padding],
        size=tokenizer.size + num_discrete,
        num_added=tokenizer.num_added + num_discrete,
        trains_discrete=trains_discrete,
    )
