"""What holds of each row of an index by itself and with the parts that packs hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jobs.verify.check import Check
from jobs.verify.documents import Document, read_document
from jobs.verify.findings import Report
from jobs.verify.plans import lay_image, lay_runs, plan_faults
from jobs.verify.records import Recipe
from jobs.verify.units import LATE, Contents, name_of
from pipeline.types import SegmentKind

Row = dict[str, Any]
IGNORE = -100
DIMENSIONS = ("tokens", "images", "patches")


def check_index(unit: Contents, check: Check, report: Report) -> None:
    """Findings of every row of the unit's index, and of the counts that follow from it."""
    totals = dict.fromkeys(DIMENSIONS, 0)
    num_split = 0
    recipe, special = check.recipe, check.text.special
    for identity in unit.rows:
        row = unit.row(identity)
        if row is None:
            continue
        document = read_document(row, special)
        name = name_of(identity, row["id"]["key"])
        for fault in [*_row_faults(row, document, recipe, special), *_part_faults(unit, row, document)]:
            report.add(name, f"in the index {fault}")
        for dimension in DIMENSIONS:
            totals[dimension] += row["lengths"][dimension]
        num_split += row["num_parts"] > 1
        report.checked["segments"] += len(row["segments"])
    limits = recipe.job.pack.limits
    most = {"tokens": recipe.job.sequence_length, "images": limits.images, "patches": limits.patches}
    bound = max(-(-totals[d] // limit) if (limit := most[d]) else 0 for d in DIMENSIONS)
    planned = unit.manifest.counts.get("packs", {})
    report.expect(unit.manifest.where, "counts.packs.bound", planned.get("bound"), bound)
    report.expect(unit.manifest.where, "counts.packs.split", planned.get("split"), num_split)


def _row_faults(row: Row, document: Document, recipe: Recipe, special: Mapping[str, int]) -> Iterator[str]:
    """Lengths, labels of text, plans, and runs."""
    images = [segment for segment in row["segments"] if segment["kind"] == SegmentKind.IMAGE]
    views = [view for segment in images for view in segment["plan"]["views"]]
    patches = sum(view["grid_t"] * view["grid_h"] * view["grid_w"] for view in views)
    lengths = dict(zip(DIMENSIONS, (len(document.ids), len(images), patches), strict=True))
    if row["lengths"] != lengths:
        yield f"has the lengths {row['lengths']}; {lengths} expected"
    is_first = "document_start" not in special
    for i, segment in enumerate(row["segments"]):
        if segment["kind"] == SegmentKind.TEXT:
            skipped = 1 if is_first and segment["ids"] else 0
            if segment["labels"] != [IGNORE] * skipped + segment["ids"][skipped:]:
                yield f"segment {i} has labels that are not its ids, the document's first token left out"
            is_first = is_first and not segment["ids"]
            continue
        is_first = False
        yield from (f"segment {i} {fault}" for fault in plan_faults(segment["plan"], recipe))
        laid, kept = lay_image(segment["plan"], special), lay_runs(segment["runs"])
        if any(a.tolist() != b.tolist() for a, b in zip(laid, kept, strict=True)):
            yield f"segment {i} has runs that are not the layout of its plan"


def _part_faults(unit: Contents, row: Row, document: Document) -> Iterator[str]:
    """What the packs hold of the document: all of its tokens, cut between segments."""
    identity = (row["id"]["shard"], row["id"]["ordinal"])
    packed, rejected = unit.packed.get(identity), unit.rejected.get(identity)
    if packed is None:
        if rejected is None or rejected.operator != LATE:
            yield "it is measured, but no pack holds it"
        return
    if packed.num_parts != row["num_parts"]:
        yield f"it has {row['num_parts']} parts; packs are of {packed.num_parts}"
    if not packed.is_whole:
        return
    if sum(packed.lengths.values()) != len(document.ids):
        yield f"it has {len(document.ids)} tokens; packs hold {sum(packed.lengths.values())}"
        return
    ends = [packed.span(part)[1] for part in packed.lengths]
    if not document.borders.issuperset(ends):
        yield f"it is cut at tokens {ends}; cuts between segments expected"
