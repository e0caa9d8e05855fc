r"""How fast `score` is on a GPU with a SigLIP-size encoder, what leaves the GPU idle, and what bfloat16 moves.

    python -m tests.benchmarks.scoring_gpu --json infra/bench/scoring_gpu.json

Weights are random: SigLIP base at 224 pixels, its matrices drawn SPREAD wide, so that regions differ as they do under
trained weights, and its sharpness set so that the median image is stretched over its own range. Bare: the vision
tower alone, in the same batches, on pixels that lie on the GPU. Operator: one `score`, fed as an actor of its pool is
with generated photographs that were read, decoded and sliced before; idle is what the kernels of a profile, which say
also what takes longest, leave of its seconds. Without CUDA those numbers are "not measured".
Moved: of the 8-bit values of the same regions of generated scenes, and of the level that each gives its region,
those that differ between float32 on the CPU and the other class.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from operators.budget import BudgetConfig, lod
from operators.relevance.folder import REGIONS, FolderEncoder
from operators.relevance.participatory import NATS, stretched
from tests.benchmarks.end_to_end.machine import describe
from tests.benchmarks.end_to_end.photographs import Photographs, make_photographs
from tests.benchmarks.scoring_gpu.models import COLS, ROWS, save_base, scenes
from tests.benchmarks.scoring_gpu.operator_path import measure_operator
from tests.benchmarks.scoring_gpu.pictures import measure_jpeg, measure_resize
from tests.benchmarks.scoring_gpu.timing import NOT_MEASURED, seconds_of

SPEED_IMAGES = 512
WARM_IMAGES = 64
DISTINCT = 60
PICTURES = 128
"""That are resized, decoded and encoded."""
BARE_GOAL = 0.6
"""Share of the bare model's speed that `score` is to reach."""


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
    levels = [np.array([lod(value, BudgetConfig()) for value in one.tolist()]) for one in values]
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


def measure_device(
    folder: Path, encoder: Path, photographs: Photographs, *, images: int, pictures: int, device: str
) -> dict[str, Any]:
    """Speeds and memory of one encoder on a device, alone and within `score`, and of what else could be done there."""
    alone = measure_encoder(encoder, images, device)
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "encoder": alone,
        "operator": measure_operator(
            folder,
            encoder,
            photographs,
            images=images,
            bare_regions_a_second=alone["bare_regions_a_second"],
            device=device,
        ),
        "goal_for_share_of_the_bare_model": BARE_GOAL,
        "resize": measure_resize(photographs, pictures, device),
        "jpeg": measure_jpeg(photographs, pictures, device),
    }


def measure_encoder(folder: Path, images: int, device: str) -> dict[str, Any]:
    """Speed of an encoder as `score` calls it, and of its vision tower alone."""
    encoder = FolderEncoder(folder, device)
    asked = scenes(images, encoder.side)
    regions = asked[0]
    encoder.cosines(*scenes(min(images, WARM_IMAGES), encoder.side))  # warm
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = seconds_of(lambda: encoder.cosines(*asked), device)
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else None
    shape = (REGIONS[device], 3, encoder.side, encoder.side)
    batch = torch.zeros(shape, dtype=getattr(torch, encoder.dtype), device=device)
    batches = math.ceil(len(regions) / len(batch))

    def bare(count: int) -> None:
        with torch.inference_mode():
            for _ in range(count):
                encoder._model.get_image_features(pixel_values=batch)

    bare(min(batches, 3))  # warm
    fastest = batches * len(batch) / seconds_of(lambda: bare(batches), device)
    return {
        "dtype": encoder.dtype,
        "regions_a_second": round(len(regions) / seconds),
        "images_a_second": round(images / seconds, 1),
        "bare_regions_a_second": round(fastest),
        "share_of_the_bare_model": round(len(regions) / seconds / fastest, 3),
        "peak_memory_mib": NOT_MEASURED if peak is None else round(peak / 2**20),
    }


def measure(images: int) -> dict[str, Any]:
    with TemporaryDirectory() as name:
        encoder = Path(name) / "encoder"
        save_base(encoder)
        plain = FolderEncoder(encoder, "cpu")
        asked = scenes(images, plain.side)
        expected = plain.cosines(*asked)
        found: dict[str, Any] = {
            "machine": describe(),
            "regions_an_image": ROWS * COLS,
            "cpu_float32_against_cpu_bfloat16": moved(
                expected, FolderEncoder(encoder, "cpu", "bfloat16").cosines(*asked)
            ),
            "cpu_float32_against_gpu_bfloat16": NOT_MEASURED,
            "gpu": NOT_MEASURED,
        }
        if torch.cuda.is_available():
            found["cpu_float32_against_gpu_bfloat16"] = moved(expected, FolderEncoder(encoder, "cuda").cosines(*asked))
            photographs = make_photographs(count=DISTINCT)
            found["gpu"] = measure_device(
                Path(name), encoder, photographs, images=SPEED_IMAGES, pictures=PICTURES, device="cuda"
            )
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
