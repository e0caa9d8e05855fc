"""Reads the packs of a unit, one row group at a time, and compares each with the documents of the index."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from jobs.verify.check import Check
from jobs.verify.documents import Part, read_document
from jobs.verify.findings import Report
from jobs.verify.packs import IGNORE, Pack, aligned, differences, read_packs, row_faults, shape_faults
from jobs.verify.pixels import pixel_fault
from jobs.verify.records import Recipe
from jobs.verify.units import Contents
from pipeline import storage
from pipeline.types import Modality

Row = dict[str, Any]


def check_packs(unit: Contents, check: Check, report: Report) -> None:
    """Findings of every pack of the unit, and of the token counts in its manifest."""
    counts: Counter[str] = Counter()
    last = ""
    for file in unit.manifest.paths("data"):
        with (
            storage.open_input(storage.join(check.output, file.path)) as (stream, _),
            pq.ParquetFile(stream) as parquet,
        ):
            for group in range(parquet.num_row_groups):
                for batch in parquet.iter_batches(row_groups=[group]):
                    for pack in read_packs(batch):
                        where = f"{file.path} pack {pack.pack_id}"
                        if not re.fullmatch(rf"{unit.manifest.unit}-\d{{6}}", pack.pack_id) or pack.pack_id <= last:
                            report.add(where, f"follows {last or 'the start'}; ascending numbers of the unit expected")
                        last = pack.pack_id
                        counts.update(_counts(pack, check.recipe))
                        for fault in _pack_faults(pack, unit, check):
                            report.add(where, fault)
    found = unit.manifest.counts.get("tokens", {})
    for name in ("packs", "tokens", "alignment", "padding", "text", "visual", "trained", "views"):
        report.expect(unit.manifest.where, f"counts.tokens.{name}", found.get(name, 0), counts[name])
        if name in {"packs", "tokens", "views"}:
            report.checked[name] += counts[name]
    planned = unit.manifest.counts.get("packs", {}).get("planned", 0)
    if planned < counts["packs"]:
        report.add(unit.manifest.where, f"counts.packs.planned is {planned}; at least {counts['packs']} expected")


def _counts(pack: Pack, recipe: Recipe) -> dict[str, int]:
    """What the pack adds to the counts of its manifest."""
    modality = pack.tokens["modality"]
    taken = sum(aligned(sample["length"], recipe) for sample in pack.samples)
    return {
        "packs": 1,
        "tokens": pack.used,
        "alignment": taken - pack.used,
        "padding": len(pack.tokens["input_ids"]) - taken,
        "text": int((modality == Modality.TEXT).sum()),
        "visual": int(np.isin(modality, (Modality.IMAGE, Modality.DISCRETE)).sum()),
        "trained": int((pack.tokens["labels"] != IGNORE).sum()),
        "views": len(pack.views),
    }


def _pack_faults(pack: Pack, unit: Contents, check: Check) -> list[str]:
    """What is untrue of one pack; without a sound shape nothing more can be told."""
    faults = list(shape_faults(pack, check.recipe))
    return faults or [*row_faults(pack, check.recipe, check.text.special), *_document_faults(pack, unit, check)]


def _document_faults(pack: Pack, unit: Contents, check: Check) -> Iterator[str]:
    """Tokens, positions and views that are not those of the documents in the index."""
    expected: list[tuple[Row, Row, str]] = []
    plans: list[Row] = []
    profile = check.recipe.profile
    for i, sample in enumerate(pack.samples):
        identity = (sample["id"]["shard"], sample["id"]["ordinal"])
        row, packed = unit.row(identity), unit.packed[identity]
        # Samples that the index lacks, and parts that are missing or too long, are findings of their own already.
        if row is None or not packed.is_whole:
            return
        document = read_document(row, check.text.special, trains_discrete=check.recipe.trains_discrete)
        start, end = packed.span(sample["part"])
        if end > len(document.ids) or end - start != sample["length"]:
            return
        place = sample["start"]
        yield from _token_faults(
            pack, place, document.part(start, end, profile.positions), check.recipe.job.loss_weights
        )
        for view, segment in document.views(start, end):
            expected.append((view | {"sample": i, "start": view["start"] + place}, segment, identity[0]))
            plan = {"sample": i, "image": view["image"], "reduction": segment["reduction"]}
            plans += [plan] if check.recipe.job.reduce and plan not in plans[-1:] else []
    if len(expected) != len(pack.views):
        yield f"has {len(pack.views)} views; {len(expected)} expected"
        return
    wrong = next((k for k, (one, plan) in enumerate(zip(pack.plans, plans, strict=False)) if one != plan), None)
    if wrong is not None or len(pack.plans) != len(plans):
        which = f"plan {wrong} is not that of its image" if wrong is not None else f"has {len(pack.plans)} plans"
        yield f"{which}; those of its {len(plans)} images in the index expected"
    for k, (found, (view, segment, shard)) in enumerate(zip(pack.views, expected, strict=True)):
        for name in view:
            if found[name] != view[name]:
                yield f"view {k} has {name} {found[name]}; {view[name]} expected"
        fault = pixel_fault(found, segment, shard, kind=check.recipe.job.pixels, scheme=profile.slicing.scheme)
        if fault:
            yield f"view {k} {fault}"


def _token_faults(pack: Pack, place: int, part: Part, weights: str | None) -> Iterator[str]:
    span = slice(place, place + len(part.ids))
    for name, expected in (("input_ids", part.ids), ("labels", part.labels), ("modality", part.modality)):
        yield from differences(name, pack.tokens[name][span], expected, place)
    if pack.weights is not None and weights is not None:
        weight = {"token": 1.0, "sample": 1 / max(1, part.num_trained), "square": max(1, part.num_trained) ** -0.5}
        spread = np.where(part.labels != IGNORE, weight[weights], 0.0).astype(np.float32)
        yield from differences("loss_weights", pack.weights[span].astype(np.float32), spread, place)
    for i, (found, expected) in enumerate(zip(pack.positions, part.positions, strict=True)):
        yield from differences(f"position_ids[{i}]", found[span], expected, place)
