"""Fits the small relevance encoder to the pictures of a job's shards and the text beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from jobs.progress import Screen
from jobs.sources import list_inputs
from jobs.spec import Job, local_target, writing
from operators.pictures import load_upright, open_picture, to_rgb
from operators.profiles import Profile, load_profile
from operators.relevance import REGION
from operators.relevance.crop import crop
from operators.relevance.encoder import buckets, load_encoder, save_encoder
from operators.relevance.query import queries
from operators.relevance.training import Pair, train
from operators.slice import plan_image
from operators.slicing.regions import MAX_REGIONS
from pipeline.chain import read
from pipeline.errors import ConfigError, InputError
from pipeline.operator import Row
from pipeline.takes import Inputs, take_samples
from pipeline.types import Place, SegmentKind, Unit

BATCH_PICTURES = 32
KEPT_REGIONS = 12
"""Most regions kept of a picture, 83 kB: a thousand samples of four pictures each then take 330 MB at most."""
RATE = 1e-3
"""A third of the rate from the start, so that what the weights know of colours and shapes is kept."""


def train_relevance(job: Job, *, target: str, steps: int, limit: int, progress: Screen) -> dict[str, Any]:
    """Goes on from the weights that ship, contrastively, and writes what came of it.

    Pictures of the first `limit` samples (of the job's limit, if that is less), their regions as `slice` plans them,
    and as texts what stands beside them; conversations, whose questions tell little of a picture, are passed over, as
    are samples that a build would reject. target: a local path that ends in .safetensors, where no file is yet. losses
    of the result: means over the first and the last tenth of the steps. ConfigError where fewer than two pictures
    have text beside them, StorageError if `target` cannot be written.
    """
    path = local_target(target)
    if path.suffix != ".safetensors":
        raise ConfigError(f"--out {target}: a name that ends in .safetensors is expected")
    inputs = list_inputs(job)
    rng = np.random.default_rng(0)
    with writing(path):
        if path.exists():
            raise ConfigError(f"{path} exists; choose another --out or remove it")
        path.parent.mkdir(parents=True, exist_ok=True)
        pairs = []
        for pair in _pairs(job, inputs, min(limit, job.limit or limit), rng):
            pairs.append(pair)
            progress.advance("pictures", 1)
        if len(pairs) < 2:
            raise ConfigError(
                f"found {len(pairs)} pictures with text beside them in the first {limit} samples; "
                "expected two or more, of documents or captions: raise --limit or give other shards"
            )
        losses: list[float] = []

        def report(_: int, loss: float) -> None:
            losses.append(loss)
            progress.advance("steps", 1)

        encoder = train(_again(pairs, rng), steps, min(BATCH_PICTURES, len(pairs)), RATE, 0, load_encoder(), report)
        save_encoder(encoder, path)
    tenth = max(1, steps // 10)
    return {
        "encoder": str(path),
        "pictures": len(pairs),
        "regions": sum(len(regions) for regions, _, _, _ in pairs),
        "steps": steps,
        "losses": [round(float(np.mean(part)), 4) for part in (losses[:tenth], losses[-tenth:])],
    }


def _pairs(job: Job, inputs: Inputs, limit: int, rng: np.random.Generator) -> Iterator[Pair]:
    profile = load_profile(job.profile)
    for taken in take_samples(inputs, limit):
        unit = Unit(0, taken.shards, taken.source, taken.takes)
        for number in range(len(unit.shards)):
            for table in read(unit, number, limits=job.limits.reading):
                for row in table.to_pylist():
                    if row["rejection"] is None and not row["withheld"] and row["shard_end"] is None:
                        yield from _pairs_of(row, job, profile, rng)


def _pairs_of(row: Row, job: Job, profile: Profile, rng: np.random.Generator) -> list[Pair]:
    """A pair of each picture of a sample that has text beside it; none if a build would reject the sample."""
    found: list[Pair] = []
    count = sum(segment["kind"] == SegmentKind.IMAGE for segment in row["segments"])
    max_regions = MAX_REGIONS if job.budget else None
    for i, (data, query) in enumerate(zip(row["payloads"], queries(row["segments"]), strict=True)):
        if query.origin != "neighbours" or not buckets(query.text):
            continue
        try:
            picture = to_rgb(load_upright(open_picture(data, job.limits.max_image_pixels)))
            plan = plan_image(profile, max_regions, *picture.size, Place(i, count))
        except InputError:
            return []
        boxes = np.array([view.box for view in plan.views], np.float32)
        chosen = np.sort(rng.permutation(len(boxes))[:KEPT_REGIONS])
        places = boxes[chosen] / np.array([*picture.size, *picture.size], np.float32)
        found.append((crop(picture, places, REGION), places, query.text, None))
    return found


def _again(pairs: list[Pair], rng: np.random.Generator) -> Iterator[Pair]:
    """The pairs without end, in a new order each time."""
    while True:
        for i in rng.permutation(len(pairs)):
            yield pairs[i]
