"""What became of one sample, and why: packed where, rejected by what, or withheld by a limit or its weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobs.inspect.find import Found, SampleId, find_sample, which_are
from jobs.inspect.output import Output, load_tokenizer
from operators.deriving.views import NUMBERS
from operators.tokenizers import Tokenizer
from pipeline import ledger
from pipeline.derived import original_of, view_of
from pipeline.operator import Row
from pipeline.types import Modality, SegmentKind

# Of relevance all but legibility, which is many bytes and nothing that people read.
RELEVANCE_FIELDS = (
    "rows", "cols", "propositional", "perspectival", "participatory", "weights", "combined", "query",
)  # fmt: skip
# Of a reduction how many tokens it leaves, and not which.
REDUCTION_FIELDS = ("methods", "num_tokens", "num_kept", "pools", "schedule", "expand", "decay")
INDEX_FIELDS = (
    *("number", "kind", "member", "offset", "size", "role", "ids", "labels", "format", "plan", "runs"),
    *(f"relevance.{name}" for name in RELEVANCE_FIELDS),
    *(f"reduction.{name}" for name in REDUCTION_FIELDS),
)
INDEX_COLUMNS = ("id", "lengths", "num_parts", *(f"segments.list.element.{name}" for name in INDEX_FIELDS))
PLACE_COLUMNS = ("pack_id", "samples", *(f"views.list.element.{name}" for name in ("sample", "image", "start")))
PLACE_FIELDS = ("shard", "member", "offset", "size")
REJECTION_FIELDS = ("operator", "reason", "detail", *PLACE_FIELDS)

Starts = dict[int, tuple[str, int]]
"""For each image of a sample the pack that has it, and its first visual token there."""


def explain(output: Output, wanted: str) -> dict[str, Any]:
    """The fate of the sample called KEY, SHARD/KEY or SHARD/KEY#ORDINAL; the same keys whatever it was.

    `outcome` is packed, rejected or withheld; `parts` say which tokens of which packs the sample has. `rejection`,
    and `reason` and `detail` of a segment, are null unless it was rejected. `made_of` is null unless it was made of
    another sample: then it has that one's id, and the view's name. A sample whose damage showed only while packs were
    written is rejected and has its measures all the same. Raises as `find_sample`.
    """
    found = find_sample(output, wanted)
    files = output.files(found.unit) if found.unit else {}
    row = next(output.rows(found.index[0], INDEX_COLUMNS, found.index[1])) if found.index else None
    rejects = _rejects(output, files["rejects"][0], found.id) if files else []
    parts, starts = _places(output, files["data"], found.id) if row else ([], {})
    tokenizer, why = load_tokenizer(output) if row else (None, "")
    segments = _segments(row, starts, tokenizer) if row else []
    return {
        "outcome": _outcome(found),
        "id": found.id._asdict(),
        "made_of": _made_of(found.id),
        "unit": found.unit,
        "lengths": row["lengths"] if row else None,
        "rejection": next(
            ({name: r[name] for name in REJECTION_FIELDS} for r in rejects if r["level"] == ledger.SAMPLE), None
        ),
        "parts": parts,
        "segments": _with_fates(segments, [reject for reject in rejects if reject["level"] == ledger.SEGMENT]),
        "text_missing": why or None,
    }


def _made_of(name: SampleId) -> dict[str, Any] | None:
    view = next((view for view, number in NUMBERS.items() if number == view_of(name.ordinal)), None)
    if view is None:
        return None
    return {
        "view": view,
        "shard": name.shard,
        "key": name.key.removesuffix(f"~{view}"),
        "ordinal": original_of(name.ordinal),
    }


def _outcome(found: Found) -> str:
    if found.unit is None:
        return "withheld"
    return "rejected" if found.is_rejected else "packed"


def _rejects(output: Output, path: str, name: SampleId) -> list[Row]:
    """The sample's own row if it was rejected, then one for each segment of it, or for each that was dropped."""
    table = output.read(path, ["level", "id", "segment", *REJECTION_FIELDS])
    return list(table.filter(which_are(table["id"].combine_chunks(), str(name))).to_pylist())


def _places(output: Output, files: Sequence[str], name: SampleId) -> tuple[list[dict[str, Any]], Starts]:
    """The parts of a sample in packs, and where its images start."""
    parts: list[dict[str, Any]] = []
    starts: Starts = {}
    for pack in (pack for path in files for pack in output.rows(path, PLACE_COLUMNS)):
        for i, sample in enumerate(pack["samples"]):
            if SampleId(**sample["id"]) == name:
                place = {key: sample[key] for key in ("copy", "part", "num_parts", "start", "length")}
                parts.append({"pack_id": pack["pack_id"]} | place)
                for view in pack["views"]:
                    if view["sample"] == i:
                        starts.setdefault(view["image"], (pack["pack_id"], view["start"]))
    return sorted(parts, key=lambda part: (part["copy"], part["part"])), starts


def _with_fates(segments: list[dict[str, Any]], fates: list[Row]) -> list[dict[str, Any]]:
    """Segments with the reason for which each was left out, or null.

    Of a sample never measured, and of a segment that a filter dropped, the place alone is known. What was dropped
    stands before what follows it in the document.
    """
    known = {segment["number"] for segment in segments}
    found = list(segments)
    for fate in fates:
        if fate["segment"] not in known:
            place = next((i for i, other in enumerate(found) if other["number"] > fate["segment"]), len(found))
            where = {name: fate[name] for name in PLACE_FIELDS[1:]}
            found.insert(place, {"number": fate["segment"], "kind": None} | where)
    why = {fate["segment"]: {"reason": fate["reason"], "detail": fate["detail"]} for fate in fates}
    return [segment | why.get(segment["number"], {"reason": None, "detail": None}) for segment in found]


def _segments(row: Row, starts: Starts, tokenizer: Tokenizer | None) -> list[dict[str, Any]]:
    """What the index knows of each segment: the tokens and text of texts, the plan and relevance of images."""
    segments: list[dict[str, Any]] = []
    image = 0
    for entry in row["segments"]:
        place = {name: entry[name] for name in ("number", "member", "offset", "size")}
        if entry["kind"] == SegmentKind.TEXT:
            text = tokenizer.decode(entry["ids"]) if tokenizer else None
            trained = sum(label >= 0 for label in entry["labels"])
            segments.append(
                {"kind": "text", "role": entry["role"]}
                | place
                | {"tokens": len(entry["ids"]), "trained": trained, "text": text}
            )
            continue
        pack_id, start = starts.get(image, (None, None))
        segments.append(
            {"kind": "image"}
            | place
            | {"image": image, "format": entry["format"], "pack_id": pack_id, "start": start}
            | {"tokens": _placeholders(entry["runs"]) - _gone(entry["reduction"])}
            | {name: entry[name] for name in ("plan", "relevance", "reduction")}
        )
        image += 1
    return segments


def _placeholders(runs: Sequence[Row]) -> int:
    """Tokens that features replace: those of views, and newlines, which have the same id and no view.

    Of an image that is written as ids all of those.
    """
    if discrete := [run["count"] for run in runs if run["modality"] == Modality.DISCRETE]:
        return sum(discrete)
    ids = {run["id"] for run in runs if run["view"] >= 0}
    return sum(run["count"] for run in runs if run["id"] in ids)


def _gone(reduction: Row | None) -> int:
    """Tokens of an image that its reduction takes away."""
    return 0 if reduction is None else int(reduction["num_tokens"] - reduction["num_kept"])
