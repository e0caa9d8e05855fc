"""What holds of each row of an index by itself and with the parts that packs hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import mul
from typing import Any

from jobs.verify.check import Check
from jobs.verify.copies import Copies
from jobs.verify.derived import original_of
from jobs.verify.discrete import choice_faults, discrete_faults, is_discrete
from jobs.verify.documents import Document, read_document
from jobs.verify.findings import Report
from jobs.verify.packs import aligned
from jobs.verify.plans import plan_faults, run_faults
from jobs.verify.records import Recipe
from jobs.verify.reductions import reduction_faults
from jobs.verify.replan import Planner
from jobs.verify.units import LATE, Contents, name_of
from pipeline.types import Place, SegmentKind

Row = dict[str, Any]
IGNORE = -100
MAPS = ("propositional", "perspectival", "participatory")
THOUSAND = 1000
OF_VIEWS = ("relevance", "reduction")
"""Of images whose features replace tokens."""
DIMENSIONS = ("tokens", "images", "patches", "tiles")


def check_index(unit: Contents, check: Check, report: Report) -> None:
    """Findings of every row of the unit's index, and of the counts that follow from it."""
    totals = dict.fromkeys([*DIMENSIONS, "aligned", "squares"], 0)
    num_split = 0
    recipe, special = check.recipe, check.text.special
    is_closing = unit.manifest.closes is not None
    weight = check.sources[unit.manifest.unit].weight
    for identity in unit.rows:
        row = unit.row(identity)
        if row is None:
            continue
        document = read_document(row, special, trains_discrete=recipe.trains_discrete)
        name = name_of(identity, row["id"]["key"])
        # Rows of a closing unit lie in the indexes of others, with which they are checked.
        faults = [] if is_closing else [*_row_faults(row, document, recipe, special, check.planner)]
        for fault in [*faults, *_part_faults(unit, row, document)]:
            report.add(name, f"in the index {fault}")
        if identity in unit.carried:
            report.checked["segments"] += len(row["segments"])
            continue
        num_copies = Copies(identity[0], weight).of(original_of(identity[1]))
        for dimension in DIMENSIONS:
            totals[dimension] += num_copies * row["lengths"][dimension]
        num_split += row["num_parts"] > 1
        for length in unit.packed[identity].lengths.values() if identity in unit.packed else [row["lengths"]["tokens"]]:
            totals["aligned"] += num_copies * aligned(length, recipe)
            totals["squares"] += num_copies * aligned(length, recipe) ** 2
        report.checked["segments"] += 0 if is_closing else len(row["segments"])
    limits = recipe.job.pack.limits
    most = limits.model_dump() | {"aligned": recipe.job.sequence_length}
    bound = max(-(-totals[d] // limit) if limit else 0 for d, limit in most.items())
    planned = unit.manifest.counts.get("packs", {})
    report.expect(unit.manifest.where, "counts.packs.bound", planned.get("bound"), bound)
    report.expect(unit.manifest.where, "counts.packs.split", planned.get("split"), num_split)


def _row_faults(
    row: Row, document: Document, recipe: Recipe, special: Mapping[str, int], planner: Planner
) -> Iterator[str]:
    """Lengths, labels of text, plans, and runs."""
    images = [segment for segment in row["segments"] if segment["kind"] == SegmentKind.IMAGE]
    name = "{shard}/{key}#{ordinal}".format_map(row["id"])
    views = [view for segment in images for view in segment["plan"]["views"]]
    patches = sum(view["grid_t"] * view["grid_h"] * view["grid_w"] for view in views)
    lengths = dict(zip(DIMENSIONS, (len(document.ids), len(images), patches, len(views)), strict=True))
    if row["lengths"] != lengths:
        yield f"has the lengths {row['lengths']}; {lengths} expected"
    is_chat = any(segment["role"] is not None for segment in row["segments"])
    is_first = is_chat or "document_start" not in special
    number, num_seen = 0, sum(not is_discrete(segment) for segment in images)
    yield from choice_faults(row, recipe.discrete, is_derived=row["id"]["ordinal"] != original_of(row["id"]["ordinal"]))
    reserved = set(recipe.tokenizer.special_tokens.values())
    for i, segment in enumerate(row["segments"]):
        if segment["kind"] == SegmentKind.TEXT:
            skipped = 1 if is_first and segment["ids"] else 0
            if segment["role"] is None:
                if segment["labels"] != [IGNORE] * skipped + segment["ids"][skipped:]:
                    yield f"segment {i} has labels that are not its ids, the document's first token left out"
                if not reserved.isdisjoint(segment["ids"]):
                    yield f"segment {i} has a special token in its text; only a document's start and end may be one"
            is_first = is_first and not segment["ids"]
            continue
        is_first = False
        if is_discrete(segment):
            faults = [*discrete_faults(segment["plan"], segment["runs"], recipe.discrete, planner.tokenizer)]
            faults += [f"is written as ids, and has {what}" for what in OF_VIEWS if segment[what] is not None]
            yield from (f"segment {i} {fault}" for fault in faults)
            continue
        faults = [*plan_faults(segment["plan"], recipe), *_relevance_faults(segment, recipe)]
        place = Place(number, num_seen)
        faults += [] if faults else planner.faults(segment["plan"], segment["runs"], place)
        number += 1
        yield from (f"segment {i} {fault}" for fault in faults)
        layout_faults = [
            *run_faults(segment["plan"], segment["runs"], special["placeholder"]),
            *reduction_faults(segment, recipe.job.reduce, name, place),
        ]
        yield from (f"segment {i} {fault}" for fault in layout_faults)


def _relevance_faults(segment: Row, recipe: Recipe) -> Iterator[str]:
    """Maps of one value a region, weighed as they say; none where nothing was scored."""
    maps, plan = segment["relevance"], segment["plan"]
    combined = [view["relevance"] for view in plan["views"]]
    if recipe.job.score is None or maps is None:
        if recipe.job.score is not None or maps is not None or any(value is not None for value in combined):
            yield "has relevance otherwise than the job, which says whether to score"
        return
    ways = {way: weight for way, weight in zip(MAPS, maps["weights"], strict=True) if maps[way] is not None}
    sizes = {maps["rows"] * maps["cols"], len(maps["combined"]), *(len(maps[way]) for way in ways)}
    if len(sizes) > 1 or (recipe.job.budget is None and sizes != {len(combined)}):
        yield f"has relevance maps of {maps['rows']}x{maps['cols']}; one value for each region expected"
    if sum(maps["weights"]) != THOUSAND or any(
        weight and maps[way] is None for way, weight in zip(MAPS, maps["weights"], strict=True)
    ):
        yield f"has weights {maps['weights']}; thousandths of the maps that it has expected"
    values = zip(*(maps[way] for way in ways), strict=False)
    means = [sum(map(mul, ways.values(), value)) / THOUSAND for value in values]
    if any(abs(mean - value) > 1 for mean, value in zip(means, maps["combined"], strict=False)):
        yield f"has a combined map {maps['combined']} that is not the mean of its maps with weights {ways}"
    if not {*combined} <= {*maps["combined"]} or (recipe.job.budget is None and combined != maps["combined"]):
        yield f"has views of relevance {combined}; {maps['combined']} of the combined map expected"
    codes = maps["legibility"]
    if codes is not None and len(codes) % (plan["grid_h"] * plan["grid_w"]):
        yield f"has {len(codes)} codes of legibility; as many a cell of {plan['grid_h']}x{plan['grid_w']} expected"


def _part_faults(unit: Contents, row: Row, document: Document) -> Iterator[str]:
    """What the packs hold of the document: all of its tokens, cut between segments."""
    identity = (row["id"]["shard"], row["id"]["ordinal"])
    packed, rejected = unit.packed.get(identity), unit.rejected.get(identity)
    if identity in unit.carried and row["num_parts"] > 1:
        yield f"it is carried, and has {row['num_parts']} parts; 1 expected"
    if packed is None and identity in unit.carried:
        return
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
    if not document.borders.keys() >= set(ends):
        yield f"it is cut at tokens {ends}; cuts between segments expected"
