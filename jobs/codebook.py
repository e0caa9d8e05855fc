"""Fits a codebook to patches of the pictures of a job's shards, sized as a layout has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from jobs.progress import Screen
from jobs.sources import list_inputs
from jobs.spec import Job, local_target, writing
from operators.discrete.codebook import PatchCodebook, save_codebook
from operators.discrete.kmeans import Patches, fit
from operators.discrete.layouts import LAYOUTS, LayoutName
from operators.discrete.patches import cut, psnr
from operators.discrete.quantise import Nearest
from operators.pictures import load_upright, open_picture, to_rgb
from pipeline.chain import read
from pipeline.errors import ConfigError, InputError
from pipeline.takes import Inputs, take_samples
from pipeline.types import Unit

KEPT_PATCHES = 128
"""Most patches kept of a picture, 98 kB at 16 pixels a side: those of a thousand pictures are 16 for each of 8,192
codes."""
HELD_OUT = 8
"""Every eighth picture is fitted to by nothing, and judges the codes."""


@dataclass(frozen=True, slots=True, eq=False)
class _Picture:
    patches: np.ndarray
    """uint8 [n, d], drawn without repeating."""
    mean: np.ndarray
    """The whole picture's colour, rounded half up: int64 [3]."""


def train_codebook(
    job: Job,
    *,
    target: str,
    num_codes: int,
    layout: str | None,
    downsample: int | None,
    rounds: int,
    seed: int,
    limit: int,
    device: str,
    progress: Screen,
) -> dict[str, Any]:
    """Writes the codes and says how well they show pictures that they were not fitted to.

    Pictures of the first `limit` samples (of the job's limit, if that is less), at the size that the layout has them;
    those that it refuses, and damaged ones, are passed over. target: a local path that ends in .safetensors, where no
    file is yet. psnr and baseline_psnr of the result, in decibels: of the patches held out of every eighth picture
    (of all, where there are fewer than eight) when their codes, or their picture's mean colour, stand for them.
    ConfigError for another layout, or fewer distinct patches than codes; StorageError if `target` cannot be written.
    """
    name = _layout(layout)
    side = downsample or LAYOUTS[name].downsamples[0]
    if side not in LAYOUTS[name].downsamples:
        known = " or ".join(map(str, LAYOUTS[name].downsamples))
        raise ConfigError(f"--downsample {side}: {name} has {known} pixels a code")
    path = local_target(target)
    if path.suffix != ".safetensors":
        raise ConfigError(f"--output {target}: a name that ends in .safetensors is expected")
    inputs = list_inputs(job)
    with writing(path):
        if path.exists():
            raise ConfigError(f"{path} exists; choose another --output or remove it")
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures = []
        for picture in _pictures(job, inputs, min(limit, job.limit or limit), name, side, seed):
            pictures.append(picture)
            progress.advance("pictures", 1)
        judges = pictures[HELD_OUT - 1 :: HELD_OUT]
        fitted = [one for i, one in enumerate(pictures) if i % HELD_OUT != HELD_OUT - 1]
        width = side * side * 3
        patches = np.concatenate([np.empty((0, width), np.uint8), *(one.patches for one in fitted)])
        report = lambda _: progress.advance("rounds", 1)  # noqa: E731
        codes = fit(Patches.of(patches), num_codes, seed=seed, rounds=rounds, device=device, report=report)
        save_codebook(PatchCodebook(codes.astype(np.float32), side), path)
    found, baseline = _judged(codes, judges or pictures, device)
    return {
        "codebook": str(path),
        "layout": name,
        "codes": num_codes,
        "downsample": side,
        "pictures": len(fitted),
        "patches": len(patches),
        "held_out": bool(judges),
        "judged_on": len(judges or pictures),
        "psnr": round(found, 2),
        "baseline_psnr": round(baseline, 2),
    }


def _layout(name: str | None) -> LayoutName:
    if name is not None and name not in LAYOUTS:
        raise ConfigError(f"--layout {name}: choose {', '.join(LAYOUTS)}")
    return cast("LayoutName", name or "chameleon")


def _judged(codes: np.ndarray, judges: list[_Picture], device: str) -> tuple[float, float]:
    """PSNR of the pictures' patches by their nearest codes, and by their picture's mean colour."""
    patches = np.concatenate([one.patches for one in judges])
    gaps = Nearest(codes, device).with_gaps(patches)[1]
    flat = sum(
        int(((one.patches.reshape(len(one.patches), -1, 3).astype(np.int64) - one.mean) ** 2).sum()) for one in judges
    )
    return psnr(float(gaps.sum()), patches.size), psnr(flat, patches.size)


def _pictures(job: Job, inputs: Inputs, limit: int, layout: LayoutName, side: int, seed: int) -> Iterator[_Picture]:
    rng = np.random.default_rng(seed)
    for taken in take_samples(inputs, limit):
        unit = Unit(0, taken.shards, taken.source, taken.takes)
        for number in range(len(unit.shards)):
            for table in read(unit, number, limits=job.limits.reading):
                for row in table.select(["payloads", "rejection", "withheld", "shard_end"]).to_pylist():
                    if row["rejection"] is None and not row["withheld"] and row["shard_end"] is None:
                        yield from _of_payloads(row["payloads"], job, layout, side, rng)


def _of_payloads(
    payloads: list[bytes], job: Job, layout: LayoutName, side: int, rng: np.random.Generator
) -> Iterator[_Picture]:
    for data in payloads:
        try:
            opened = open_picture(data, job.limits.max_image_pixels)
            levels = np.asarray(LAYOUTS[layout].prepare(to_rgb(load_upright(opened))))
        except InputError:
            continue
        patches = cut(levels, side)
        total, sums = levels.size // 3, levels.reshape(-1, 3).sum(axis=0, dtype=np.int64)
        kept = np.sort(rng.permutation(len(patches))[:KEPT_PATCHES])
        yield _Picture(patches[kept], (2 * sums + total) // (2 * total))
