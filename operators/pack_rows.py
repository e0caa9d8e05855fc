"""Builds one row of a pack from the documents that were assigned to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from operators.layout import IGNORE, LaidOut, Part, image_numbers, lay_out, num_trained, pad_to
from operators.profiles import Profile
from operators.vocabulary import Vocabulary
from pipeline.operator import Row
from pipeline.types import Modality

Pixels = Literal["encoded", "patches", "source", "none"]
LossWeights = Literal["token", "sample", "square"]
"""What each trained token counts: 1; 1/n of its sample's n trained tokens; or 1/sqrt(n) (InternVL 2.5)."""
PictureSource = tuple[str, int, int]
"""Shard and ordinal of a sample, and one of its segments: samples that were derived show the same picture, each by a
plan of its own."""
Rendered = Mapping[PictureSource, Sequence[Row | None]]
"""The `pixels` of each view of an image."""


@dataclass(frozen=True, slots=True)
class WriteConfig:
    """What `write` needs beside its tasks: small, and the same for all of them."""

    profile: Profile
    vocabulary: Vocabulary
    sequence_length: int
    pixels: Pixels
    output: str
    loss_weights: LossWeights | None = None
    align: int = 1
    is_reduced: bool = False
    """Whether packs have `plans` of reduction."""


def pack_row(
    pack_id: str, members: Sequence[tuple[Row, Part]], rendered: Rendered, config: WriteConfig, counts: Counter[str]
) -> Row:
    """One row of PACK from measured rows and the parts of them that it holds; adds its share to `counts`."""
    vocabulary, length = config.vocabulary, config.sequence_length
    rule = config.profile.positions
    bare = [lay_out(row, part, vocabulary, rule) for row, part in members]
    sizes = [len(one.ids) for one in bare]
    laid = [pad_to(one, config.align, vocabulary.padding) for one in bare]
    lengths = [len(one.ids) for one in laid]
    starts = np.cumsum([0, *lengths]).tolist()
    used = starts[-1]
    tail = length - used
    positions = np.concatenate([one.positions for one in laid], axis=1)
    tail_positions = np.tile(np.arange(tail, dtype=positions.dtype), (positions.shape[0], 1))
    modality = np.concatenate([*(one.modality for one in laid), np.full(tail, Modality.PADDING, np.int8)])
    labels = np.concatenate([*(one.labels for one in laid), np.full(tail, IGNORE, np.int32)])
    views = [
        view
        for number, ((row, part), one) in enumerate(zip(members, laid, strict=True))
        for view in _views(number, row, part, one, starts[number], rendered, config.pixels)
    ]
    counts.update(
        packs=1,
        tokens=sum(sizes),
        alignment=used - sum(sizes),
        padding=tail,
        text=int((modality == Modality.TEXT).sum()),
        visual=int(np.isin(modality, (Modality.IMAGE, Modality.DISCRETE)).sum()),
        trained=int((labels != IGNORE).sum()),
        views=len(views),
    )
    return {
        "pack_id": pack_id,
        "input_ids": np.concatenate([*(one.ids for one in laid), np.full(tail, vocabulary.padding, np.int32)]),
        "labels": labels,
        "loss_weights": _loss_weights(members, laid, labels, config),
        "position_ids": list(np.concatenate([positions, tail_positions], axis=1)),
        "segment_ids": np.repeat(np.array([*range(len(laid)), -1], np.int32), [*lengths, tail]),
        "cu_seqlens": [*starts, length] if tail else starts,
        "cu_seqlens_unpadded": np.cumsum([0, *sizes, *([tail] if tail else [])]),
        "modality": modality,
        "samples": [
            {
                "id": identity(row),
                "copy": part.copy,
                "part": part.number,
                "num_parts": part.count,
                "start": start,
                "length": size,
            }
            for (row, part), start, size in zip(members, starts, sizes, strict=False)
        ],
        "views": views,
        "plans": [
            {"sample": number, "image": image, "reduction": row["reductions"][image]}
            for number, (row, part) in enumerate(members)
            if row["reductions"]
            for image in _images(row, part)
            if row["reductions"][image] is not None
        ],
    }


def _loss_weights(
    members: Sequence[tuple[Row, Part]], laid: Sequence[LaidOut], labels: np.ndarray, config: WriteConfig
) -> np.ndarray | None:
    """float32, one a token; 0 where nothing is trained. A split sample counts once: n is that of all of its parts."""
    if config.loss_weights is None:
        return None
    power = {"token": 0.0, "sample": -1.0, "square": -0.5}[config.loss_weights]
    weights = [max(1, num_trained(row, config.vocabulary)) ** power for row, _ in members]
    spread = np.repeat(np.array([*weights, 0.0], np.float32), [*(len(one.ids) for one in laid), len(labels)])
    return np.where(labels != IGNORE, spread[: len(labels)], np.float32(0))


def source_of(row: Row, number: int) -> PictureSource:
    """What `pixels` of the row's segment of that number are found by."""
    return row["shard"], row["ordinal"], number


def identity(row: Row) -> Row:
    """The SAMPLE_ID of a row."""
    return {"shard": row["shard"], "key": row["key"], "ordinal": row["ordinal"]}


def _views(
    number: int, row: Row, part: Part, laid: LaidOut, start: int, rendered: Rendered, pixels: Pixels
) -> Iterator[Row]:
    """The views of member `number`, in token order."""
    spans = zip(laid.view_starts, laid.view_tokens, strict=True)
    for (image, i), (starts, sizes) in zip(_images(row, part).items(), spans, strict=True):
        where = {"shard": row["shard"], "offset": row["segments"][i]["offset"], "size": row["segments"][i]["size"]}
        source = where | {"format": row["pictures"][image]["format"]} if pixels == "source" else None
        views = row["plans"][image]["views"]
        found = rendered.get(source_of(row, i)) or [source] * len(views)
        for view, first, tokens, shown in zip(views, starts, sizes, found, strict=True):
            place = {"sample": number, "image": image, "start": start + first, "tokens": tokens}
            yield view | place | {"pixels": shown}


def _images(row: Row, part: Part) -> dict[int, int]:
    """The segment of each image of a part, by the image's number in the document."""
    numbers = image_numbers(row)
    return {image: i for i in range(part.first, part.last) if (image := numbers[i]) is not None}
