"""What is scored, and by whom: a SigLIP base with random weights, and regions of generated scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

from operators.relevance.crop import crop, grid
from operators.relevance.scenes import make_scene
from tests.operators.relevance.tiny_folders import WORDS, tiny_tokenizer

SEED = 815
SPREAD = 0.05
"""Deviation of the drawn matrices."""
ROWS, COLS = 3, 3


def save_base(folder: Path) -> None:
    """SigLIP base with random weights, its processor, and the tests' tokenizer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = SiglipModel(SiglipConfig())
        for name, value in model.named_parameters():
            if name.endswith("weight") and value.dim() > 1:
                torch.nn.init.normal_(value, std=SPREAD)
    model.save_pretrained(folder)
    SiglipImageProcessorPil(image_mean=[0.5] * 3, image_std=[0.5] * 3).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)


def scenes(count: int, side: int) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    """Regions, places, queries and owners of `count` pictures of ROWS x COLS regions."""
    rng = np.random.default_rng(SEED)
    places = grid(ROWS, COLS)
    found, texts = [], []
    for _ in range(count):
        found.append(crop(Image.fromarray(make_scene(rng).picture), places, side))
        texts.append(" ".join(rng.choice(WORDS[4:], 5)))
    return np.concatenate(found), np.tile(places, (count, 1)), texts, np.repeat(np.arange(count), len(places))
