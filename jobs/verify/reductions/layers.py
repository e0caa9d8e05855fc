"""Methods that decide what layers, or late tokens of an answer, still see: their counts are those of the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from jobs.verify.reductions.image import Check, Image, share

Method = Mapping[str, Any]
Steps = list[tuple[int, int]]
PROGRESSIVE = ((0, 576), (7, 256), (16, 144), (24, 64))
SPARSEVLM = {
    ("1.5", 192): (300, 200, 110),
    ("1.5", 128): (303, 110, 36),
    ("1.5", 96): (238, 48, 26),
    ("1.5", 64): (66, 30, 17),
    ("plus", 192): (300, 200, 118),
    ("plus", 128): (238, 108, 60),
    ("plus", 96): (246, 54, 28),
    ("plus", 64): (66, 34, 20),
}
"""What layers 2, 6 and 15 keep of 576 tokens."""


def _rank(method: Method, image: Image) -> Iterator[str]:
    expected: Steps = []
    for layer, left in _rank_steps(method, image.num_kept):
        if left < (expected[-1][1] if expected else image.num_kept):
            expected.append((layer, left))
    yield from _schedule_faults(image, expected)


def _rank_steps(method: Method, count: int) -> Steps:
    schedule = method["schedule"]
    if schedule == "fastv":
        return [(method["layer"], share(count, 1 - _said(method["drop"])))]
    if schedule == "pyramid":
        pairs = zip(method["layers"], method["ratios"], strict=True)
        return [(layer, share(count, _said(ratio))) for layer, ratio in pairs]
    if schedule == "progressive":
        return [(layer, share(count, Fraction(left, 576))) for layer, left in PROGRESSIVE]
    return [(layer, left if isinstance(left, int) else share(count, _said(left))) for layer, left in schedule]


def _sparsevlm(method: Method, image: Image) -> Iterator[str]:
    version, rank = method["version"], method["rank"]
    if version == "1":
        keep = max(1, int(rank * _said(method["scale"]) + _said(method["bias"])))
        keeps = [(layer, keep) for layer in (2, 6, 15, 19)]
    else:
        of_layer = zip((2, 6, 15), SPARSEVLM[version, method["tokens"]], strict=True)
        keeps = [(layer, share(image.num_kept, Fraction(left, 576))) for layer, left in of_layer]
    expected, recycled, counts = list[tuple[int, int]](), list[list[int]](), list[tuple[int, int, int]]()
    before, num_clusters = image.num_kept, 0
    for layer, keep in keeps:
        seen = before + num_clusters
        if (version == "1" and seen == rank) or (keep >= before and not num_clusters):
            continue
        left = min(before, keep)
        taken = 0 if version == "plus" or seen == left else min((seen - left) * 3 // 10 + 1, before - left)
        num_clusters = taken // 10 + 1 if taken else 0
        if taken:
            counts.append((layer, taken, num_clusters))
            recycled.append(image.reduction["order"][left : left + taken])
        expected.append((layer, left))
        before = left
    yield from _schedule_faults(image, expected)
    clusters = image.reduction["clusters"] or []
    found = [(one["layer"], len(one["members"]), len(set(one["groups"]))) for one in clusters]
    if found != counts:
        yield f"recycles {found}, as layer, tokens and clusters; {counts} expected"
    elif [one["members"] for one in clusters] != recycled:
        yield "recycles other tokens than the best of those that a layer drops"


def _mustdrop(method: Method, image: Image) -> Iterator[str]:
    """One step at most: which tokens pass, the scores decide, but 8 % that stand out always do."""
    found = _schedule(image)
    least = -(-8 * image.num_kept // 100)
    if found and (len(found) > 1 or found[0][0] != method["layer"] or found[0][1] < least):
        yield f"has a schedule of {found}; one step at layer {method['layer']}, of {least} tokens at least, expected"


def _dyrate(method: Method, image: Image) -> Iterator[str]:
    expected = [(at, share(image.num_kept, 1 - Fraction(rate - 1, method["rates"]))) for at, rate in method["schedule"]]
    found = [(step["answer_token"], step["tokens"]) for step in image.reduction["decay"]]
    if found != expected:
        yield f"has a decay of {found}; {expected} expected"


def _schedule_faults(image: Image, expected: Steps) -> Iterator[str]:
    if _schedule(image) != expected:
        yield f"has a schedule of {_schedule(image)}; {expected} expected"


def _schedule(image: Image) -> Steps:
    return [(step["layer"], step["tokens"]) for step in image.reduction["schedule"] or []]


def _said(number: float) -> Fraction:
    """The decimal that the job writes."""
    return Fraction(str(number))


LAYERED: dict[str, Check] = {"dyrate": _dyrate, "mustdrop": _mustdrop, "rank": _rank, "sparsevlm": _sparsevlm}
