"""What parity tests share: a tokenizer for transformers' processors, sizes to try, pictures, and a layout as ids."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from itertools import groupby

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from operators.profiles import Profile
from pipeline.types import SlicePlan


def byte_tokenizer(profile: Profile, **named: str) -> PreTrainedTokenizerFast:
    """A tokenizer of single bytes and the profile's special tokens; named: attributes such as image_token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    model = models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[])
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(literal, special=True, normalized=False) for literal in profile.tokens.literals()]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=profile.tokens.padding, extra_special_tokens=named
    )


def layout_ids(plan: SlicePlan, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The ids of an image's layout: a special token is one, neighbouring text is encoded together."""
    special = set(tokenizer.all_special_tokens) | set(tokenizer.get_added_vocab())
    ids: list[int] = []
    for is_special, group in groupby(plan.layout, key=lambda run: run.token in special):
        if is_special:
            ids += [tokenizer.convert_tokens_to_ids(run.token) for run in group for _ in range(run.count)]
        else:
            ids += tokenizer.encode("".join(run.token * run.count for run in group), add_special_tokens=False)
    return ids


def random_sizes(count: int, *, seed: int = 0, longest: int = 4000, aspect: float = 20.0) -> list[tuple[int, int]]:
    """(width, height) in pixels: sides spread over the scales, and no picture thinner than `aspect` : 1."""
    rng = random.Random(seed)
    sizes: list[tuple[int, int]] = []
    while len(sizes) < count:
        width, height = (round(2 ** rng.uniform(3, np.log2(longest))) for _ in range(2))
        if max(width, height) <= aspect * min(width, height):
            sizes.append((width, height))
    return sizes


def picture(width: int, height: int) -> Image.Image:
    """Smooth shades with sharp edges and noise in them, so that a wrong filter, shift or crop shows."""
    rng = np.random.default_rng(width * 10007 + height)
    y, x = np.mgrid[:height, :width]
    shades = np.stack([x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), (x // 7 + y // 5) % 2 * 255], -1)
    noise = rng.integers(-20, 20, shades.shape)
    return Image.fromarray(np.clip(shades + noise, 0, 255).astype(np.uint8))


def close_share(ours: Iterable[Image.Image], theirs: Iterable[np.ndarray]) -> float:
    """Share of values within 1 of 255; theirs: uint8-like [3, height, width], not normalised."""
    pairs = [(np.asarray(a).transpose(2, 0, 1).astype(int), b) for a, b in zip(ours, theirs, strict=True)]
    assert all(a.shape == b.shape for a, b in pairs)
    return float(np.mean([np.mean(np.abs(a - b) <= 1) for a, b in pairs]))
