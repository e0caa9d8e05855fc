r"""How fast a SigLIP-size encoder scores on a GPU, what it takes of the bare model's speed, and what bfloat16 moves.

    python -m tests.benchmarks.scoring_gpu --json infra/bench/scoring_gpu.json

Weights are random: SigLIP base at 224 pixels, its matrices drawn SPREAD wide, so that regions differ as they do under
trained weights, and its sharpness set so that the median image is stretched over its own range. Bare: the vision
tower alone, in the same batches, on pixels that lie on the GPU. Without CUDA those numbers are "not measured".
Moved: of the 8-bit values of the same regions of generated scenes, and of the level that each gives its region,
those that differ between float32 on the CPU and the other class.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel

from operators.budget import level
from operators.relevance.crop import crop, grid
from operators.relevance.folder import REGIONS, FolderEncoder
from operators.relevance.participatory import NATS, stretched
from operators.relevance.scenes import make_scene
from tests.operators.relevance.tiny_folders import WORDS, tiny_tokenizer

SEED = 815
SPREAD = 0.05
"""Deviation of the drawn matrices."""
ROWS, COLS = 3, 3
SPEED_IMAGES = 512
NOT_MEASURED = "not measured"


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


def moved(plain: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """How many values and levels differ; cosines of one region after the other, image by image."""
    images = [part.reshape(-1, ROWS * COLS) for part in (plain, other)]
    ranges = np.ptp(images[0], axis=1)
    sharpness = NATS / float(np.median(ranges))
    pairs = [tuple(stretched(cosines, sharpness) for cosines in rows) for rows in zip(*images, strict=True)]
    both = [pair for pair in pairs if pair[0] is not None and pair[1] is not None]
    values = (
        [np.concatenate([pair[i] for pair in both]).astype(int) for i in (0, 1)] if both else [np.zeros(0, int)] * 2
    )
    levels = [np.array([level(value) for value in one.tolist()]) for one in values]
    return {
        "images": len(pairs),
        "images_that_say_nothing": [sum(pair[i] is None for pair in pairs) for i in (0, 1)],
        "median_range_of_cosines": round(float(np.median(ranges)), 4),
        "largest_difference_of_cosines": round(float(np.abs(plain - other).max()), 5),
        "values": len(values[0]),
        "values_that_differ": int((values[0] != values[1]).sum()),
        "largest_difference_of_values": int(np.abs(values[0] - values[1]).max(initial=0)),
        "levels_that_differ": int((levels[0] != levels[1]).sum()),
    }


def measure_gpu(folder: Path) -> dict[str, Any]:
    """Speeds and memory of one encoder on the GPU."""
    encoder = FolderEncoder(folder, "cuda")
    regions, places, texts, owners = scenes(SPEED_IMAGES, encoder.side)
    encoder.cosines(regions[:2000], places[:2000], texts, owners[:2000])  # warm
    torch.cuda.reset_peak_memory_stats()
    started = perf_counter()
    encoder.cosines(regions, places, texts, owners)
    seconds = perf_counter() - started
    peak = torch.cuda.max_memory_allocated()
    batch = torch.zeros(REGIONS["cuda"], 3, encoder.side, encoder.side, dtype=torch.bfloat16, device="cuda")
    batches = math.ceil(len(regions) / len(batch))
    with torch.inference_mode():
        for _ in range(3):
            encoder._model.get_image_features(pixel_values=batch)
        torch.cuda.synchronize()
        started = perf_counter()
        for _ in range(batches):
            encoder._model.get_image_features(pixel_values=batch)
        torch.cuda.synchronize()
    bare = batches * len(batch) / (perf_counter() - started)
    return {
        "device": torch.cuda.get_device_name(),
        "regions_a_second": round(len(regions) / seconds),
        "images_a_second": round(SPEED_IMAGES / seconds, 1),
        "bare_regions_a_second": round(bare),
        "share_of_the_bare_model": round(len(regions) / seconds / bare, 3),
        "peak_memory_mib": round(peak / 2**20),
    }


def measure(images: int) -> dict[str, Any]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        save_base(folder)
        plain = FolderEncoder(folder, "cpu")
        asked = scenes(images, plain.side)
        expected = plain.cosines(*asked)
        found: dict[str, Any] = {
            "regions_an_image": ROWS * COLS,
            "torch": torch.__version__,
            "cpu_float32_against_cpu_bfloat16": moved(
                expected, FolderEncoder(folder, "cpu", "bfloat16").cosines(*asked)
            ),
            "cpu_float32_against_gpu_bfloat16": NOT_MEASURED,
            "gpu": NOT_MEASURED,
        }
        if torch.cuda.is_available():
            found["cpu_float32_against_gpu_bfloat16"] = moved(expected, FolderEncoder(folder, "cuda").cosines(*asked))
            found["gpu"] = measure_gpu(folder)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--images", type=int, default=16, help="scenes of nine regions that both classes score")
    wanted = parser.parse_args()
    text = json.dumps(measure(wanted.images), indent=1, sort_keys=True)
    print(text)
    if wanted.json:
        wanted.json.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
