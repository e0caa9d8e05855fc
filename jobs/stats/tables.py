"""The figures of `lodepack stats --json`, made of what `gather` counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any

from jobs.stats.facts import Facts, Refused
from pipeline import ledger

BINS = (0, 1, 2, 3, 5, 9, 17)
"""Images of a document are counted from each of these up to the next; the last has no end."""
LEVELS = {"documents": ledger.SAMPLE, "segments": ledger.SEGMENT}


def describe(facts: Facts) -> dict[str, Any]:
    """One source, or all together, in numbers; the same keys whatever is in it.

    documents   as the version counts them; `without_image` of the packed ones, which are all that images, texts and
                tokens tell of, each as often as it is packed
    images      total; `per_document` and `tokens_each` (placeholders): mean, median and max, null where there is none;
                `histogram`
    texts       the same; a conversation's have the words of its template
    tokens      total = text + visual + markers; `visual_share` of the total, `visual_per_text`
    filters     of documents and of segments, for each rule: how many it removed as the first that spoke (`first`), how
                many break it and were removed by another before (`also`), and how many no other would have removed
                (`alone`). Of what it was shown, a rule by itself would remove first + also
    overlap     for each two rules how many break both; for a rule and itself how many break it
    reasons     all rejects
    """
    documents, tokens = facts.documents, {name: facts.tokens[name] for name in ("text", "visual", "markers")}
    total = sum(tokens.values())
    return {
        "documents": {**documents, "without_image": facts.images_per_document[0]},
        "images": _amount(facts.images_per_document, facts.tokens_per_image)
        | {"histogram": _histogram(facts.images_per_document)},
        "texts": _amount(facts.texts_per_document, facts.tokens_per_text),
        "tokens": tokens
        | {
            "total": total,
            "visual_share": _ratio(tokens["visual"], total),
            "visual_per_text": _ratio(tokens["visual"], tokens["text"]),
        },
        "filters": {name: _filters(facts.refused, level) for name, level in LEVELS.items()},
        "overlap": {name: _overlap(facts.refused, level) for name, level in LEVELS.items()},
        "reasons": {
            name: {reason: amount for (found, reason), amount in sorted(facts.reasons.items()) if found == level}
            for name, level in LEVELS.items()
        },
    }


def _filters(refused: Counter[Refused], level: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row, amount in refused.items():
        broken = _broken(row) if row.level == level else frozenset()
        for rule in broken:
            counts = found.setdefault(rule, {"first": 0, "also": 0, "alone": 0})
            counts["first" if rule == row.reason else "also"] += amount
            counts["alone"] += amount if broken == {row.reason} else 0
    return dict(sorted(found.items()))


def _overlap(refused: Counter[Refused], level: str) -> dict[str, dict[str, int]]:
    """A row and a column a rule, zeros too."""
    both: Counter[tuple[str, str]] = Counter()
    for row, amount in refused.items():
        if row.level == level:
            both.update({(a, b): amount for a in _broken(row) for b in _broken(row)})
    rules = sorted({rule for rule, _ in both})
    return {rule: {other: both[rule, other] for other in rules} for rule in rules}


def _broken(row: Refused) -> frozenset[str]:
    """The rules of filters that a row breaks."""
    return frozenset(rule for rule in (row.reason, *row.rules) if rule.startswith(ledger.FILTERED))


def _amount(per_document: Counter[int], tokens_each: Counter[int]) -> dict[str, Any]:
    return {
        "total": tokens_each.total(),
        "per_document": _spread(per_document),
        "tokens_each": _spread(tokens_each),
    }


def _spread(found: Counter[int]) -> dict[str, float | None]:
    """Mean, median and maximum of values of which each is there so often."""
    times = found.total()
    if not times:
        return {"mean": None, "median": None, "max": None}
    values = sorted(found)
    ends = list(accumulate(found[value] for value in values))
    middle = [next(v for v, end in zip(values, ends, strict=True) if end > i) for i in ((times - 1) // 2, times // 2)]
    mean = sum(value * amount for value, amount in found.items()) / times
    return {"mean": round(mean, 6), "median": sum(middle) / 2, "max": values[-1]}


def _histogram(found: Mapping[int, int]) -> list[dict[str, int | None]]:
    """Documents by their number of images, from `least` to `most`; the last has no `most`."""
    ends = [*(following - 1 for _, following in pairwise(BINS)), None]
    return [
        {
            "least": least,
            "most": most,
            "documents": sum(n for images, n in found.items() if least <= images and (most is None or images <= most)),
        }
        for least, most in zip(BINS, ends, strict=True)
    ]


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None
