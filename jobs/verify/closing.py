"""The closing unit: it holds every document that the other units hand on, each once, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from jobs.verify.findings import Report
from jobs.verify.records import Manifest, PackSection, Version
from jobs.verify.units import LATE, Contents, name_of

CLOSING = "the closing unit"


def check_closes(
    where: str, manifests: Sequence[Manifest], version: Version, pack: PackSection, report: Report
) -> None:
    """One closing unit a source, of all its units that hand documents on, exactly where the job asks for it."""
    for name, source in version.sources.items():
        own = [manifest for manifest in manifests if manifest.unit in source.units]
        handing = tuple(sorted(m.unit for m in own if m.counts.get("samples", {}).get("carried", 0) > 0))
        found = [manifest.closes for manifest in own if manifest.closes is not None]
        if handing and not pack.closing:
            report.add(where, f"units {', '.join(handing)} carry documents; none expected without pack.closing")
        if found != ([handing] if handing else []):
            closed = [list(closes) for closes in found]
            report.add(where, f"closing units of {closed} in source {name}; one of {list(handing)} expected")


def check_carried(unit: Contents, report: Report) -> None:
    """Findings of a closing unit's documents and of the counts of its manifest."""
    counts = {level: Counter[str]() for level in ("samples", "segments")}
    for identity in sorted(unit.packed.keys() | unit.rejected.keys() | unit.rows.keys()):
        packed, rejected, row = unit.packed.get(identity), unit.rejected.get(identity), unit.row(identity)
        entry = packed or rejected
        name = name_of(identity, entry.key if entry else "")
        if row is None:
            report.add(name, f"is in {CLOSING}; no unit carries it to there")
            continue
        if (packed is None) == (rejected is None):
            report.add(name, f"is {'packed and rejected' if packed else 'lost'} by {CLOSING}; one of both expected")
        if rejected is not None and rejected.operator != LATE:
            report.add(name, f"is rejected by {rejected.operator} in {CLOSING}; only {LATE} can")
        if entry is not None and entry.key != row["id"]["key"]:
            report.add(name, f"is recorded under another key than its unit has, {row['id']['key']}")
        state = "packed" if packed else "rejected"
        for level, amount in (("samples", 1), ("segments", len(row["segments"]))):
            counts[level].update({state: amount, "carried": -amount})
    for level, found in counts.items():
        stated = unit.manifest.counts.get(level, {})
        for state in ("read", "derived", "repeated", "packed", "rejected", "withheld", "carried"):
            report.expect(unit.manifest.where, f"counts.{level}.{state}", stated.get(state), found[state])
