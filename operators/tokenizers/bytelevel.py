"""Trains byte-level BPE: any text becomes ids and comes back byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import tokenizers
from tokenizers import AddedToken, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from pipeline.errors import ConfigError


def train_bytelevel(texts: Iterable[str], *, vocab_size: int, special: Sequence[str]) -> str:
    """The tokenizer.json of a byte-level BPE of at most `vocab_size` pieces: special tokens, 256 bytes, merges.

    Text is cut as GPT-2 does it, and every digit stands alone. The same texts give the same file, in any number of
    threads. ConfigError if there is no text, or the special tokens and bytes alone need more pieces.
    """
    literals = list(dict.fromkeys(special))
    if vocab_size < 256 + len(literals):
        raise ConfigError(
            f"cannot train a bpe model of {vocab_size} pieces: 256 bytes and {len(literals)} special tokens must fit; "
            "try more pieces"
        )
    model = tokenizers.Tokenizer(BPE())
    model.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    model.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(literal, special=True, normalized=False) for literal in literals],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    rest = iter(texts)
    first = next((text for text in rest if text), None)
    if first is None:
        raise ConfigError(f"cannot train a bpe model of {vocab_size} pieces: there is no text; try other shards")
    model.train_from_iterator(chain([first], rest), trainer)
    return model.to_str()
