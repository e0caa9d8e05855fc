"""Re-reads the shards of a unit: every sample in them is packed, rejected or withheld, and says what the index says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from jobs.verify.check import Check
from jobs.verify.content import content_faults
from jobs.verify.copies import Copies
from jobs.verify.derived import derived_samples, is_derived, original_of
from jobs.verify.findings import Report
from jobs.verify.reasons import FILTER
from jobs.verify.records import Input
from jobs.verify.samples import Found, as_utf8, read_samples
from jobs.verify.units import LATE, Contents, Id, Place, name_of
from jobs.verify.walk import CHUNK_BYTES, Source
from pipeline import storage
from pipeline.types import Segment

Row = dict[str, Any]
LEVELS = ("samples", "segments")
BEFORE = ("read", "decode", FILTER)
"""Operators that see a sample before others are made of it: what they reject has none."""


def check_inputs(unit: Contents, check: Check, report: Report) -> None:
    """Findings of every shard of the unit, and of its counts."""
    counts = {level: Counter[str]() for level in LEVELS}
    sizes = {entry.shard: entry.samples for entry in unit.manifest.inputs}
    for shard, ordinal in sorted(_recorded(unit)):
        if original_of(ordinal) >= sizes.get(shard, 0):
            report.add(
                unit.manifest.where, f"records sample {ordinal} of {shard}; below {sizes.get(shard, 0)} expected"
            )
    is_whole = True
    for entry in unit.manifest.inputs:
        found = Report(report.output, report.version)
        is_same = _check_shard(unit, entry, check, counts, found)
        is_whole = is_whole and is_same
        # Of a shard that is another one now every sample would be a finding; that it is another is the one that counts.
        report.findings += found.findings if is_same else found.findings[-1:]
        report.checked += found.checked
    if is_whole:
        _check_counts(unit, counts, report)


def _check_shard(unit: Contents, entry: Input, check: Check, counts: dict[str, Counter[str]], report: Report) -> bool:
    """Whether the shard is the one that was packed; its last finding says so if it is not."""
    job, take = check.recipe.job, check.takes.get(entry.shard)
    source_entry = check.sources[unit.manifest.unit]
    copies = Copies(entry.shard, source_entry.weight)
    ordinal, num_ignored = 0, 0
    asked: set[Id] = set()
    with storage.open_input(check.urls[entry.shard]) as (stream, _):
        source = Source(stream)
        for sample in read_samples(source, entry.shard, source_entry.format, job.limits):
            identity = (entry.shard, ordinal)
            expected = 0 if take is not None and ordinal >= take else copies.of(ordinal)
            _check_sample(unit, identity, sample, expected, check, counts, report)
            for other, made in _derived(unit, identity, sample, check) if expected else ():
                asked.add(other)
                _check_sample(unit, other, made, expected, check, counts, report)
            ordinal += 1
            num_ignored += sample.ignored
        while source.skip(CHUNK_BYTES):
            pass
    for surplus in sorted(one for one in _recorded(unit) - asked if one[0] == entry.shard and is_derived(one[1])):
        entry_of = unit.packed.get(surplus) or unit.rejected.get(surplus)
        report.add(
            name_of(surplus, entry_of.key if entry_of else ""),
            "is recorded; neither the job nor its document asks for it",
        )
    report.checked.update({"shards": 1, "bytes of input": source.offset, "samples": ordinal})
    if not report.expect(entry.shard, "bytes", source.offset, entry.bytes):
        return False
    if not report.expect(entry.shard, "sha256", source.sha256(), entry.sha256):
        return False
    report.expect(unit.manifest.where, f"samples of {entry.shard}", entry.samples, ordinal)
    report.expect(unit.manifest.where, f"ignored members of {entry.shard}", entry.ignored, num_ignored)
    return True


def _recorded(unit: Contents) -> set[Id]:
    return unit.rows.keys() | unit.rejected.keys() | unit.packed.keys()


def _check_sample(
    unit: Contents,
    identity: Id,
    sample: Found,
    expected: int,
    check: Check,
    counts: dict[str, Counter[str]],
    report: Report,
) -> None:
    """What became of one sample, and what the index says of it; expected: its copies."""
    state = _state(unit, identity, sample, report, expected)
    more = expected - 1 if state == "packed" else 0
    came = "derived" if is_derived(identity[1]) else "read"
    num_dropped = len(unit.dropped.get(identity, ()))
    for level, amount, lost in zip(LEVELS, (1, len(sample.segments)), (0, num_dropped), strict=True):
        counts[level].update({came: amount, "rejected": lost, "repeated": (amount - lost) * more})
        counts[level][state] += (amount - lost) * (1 + more)
    row = unit.row(identity)
    if row is not None and not sample.fault:
        kept = [segment for i, segment in enumerate(sample.segments) if i not in _dropped(row)]
        for fault in [*_dropped_faults(unit, identity, row, sample), *content_faults(row, sample, kept, check)]:
            report.add(name_of(identity, sample.key), fault)


def _derived(unit: Contents, identity: Id, sample: Found, check: Check) -> Iterator[tuple[Id, Found]]:
    """The samples that must have been made of what filters left of this one."""
    rejected, row = unit.rejected.get(identity), unit.row(identity)
    if sample.fault or (rejected is not None and rejected.operator in BEFORE):
        return
    dropped = rejected.dropped if rejected is not None else set(_dropped(row) if row is not None else ())
    kept = [segment for i, segment in enumerate(sample.segments) if i not in dropped]
    recipe = check.recipe
    for ordinal, key, segments in derived_samples(identity, sample.key, kept, recipe.job.derive, recipe.instructions):
        yield (identity[0], ordinal), Found(key, tuple(segments), places=frozenset(map(_place_of, segments)))


def _state(unit: Contents, identity: Id, sample: Found, report: Report, num_copies: int) -> str:
    """What became of a sample, which is exactly one of packed, rejected and withheld. No copies: it is withheld."""
    name = name_of(identity, sample.key)
    rejected, packed = unit.rejected.get(identity), unit.packed.get(identity)
    states = {"packed": packed is not None, "rejected": rejected is not None, "carried": identity in unit.carried}
    places = [place for place, is_held in states.items() if is_held]
    if not num_copies:
        if places or identity in unit.rows:
            report.add(
                name,
                f"is beyond the limit or left out by its weight, yet {' and '.join(places) or 'in the index'}; "
                "withheld expected",
            )
        return "withheld"
    if len(places) != 1:
        found = " and ".join(places) or "neither packed nor rejected"
        report.add(name, f"is {found}; one of packed, rejected and carried expected")
    for entry in (rejected, packed):
        if entry is not None and entry.key != sample.key:
            report.add(name, f"is recorded under the key {entry.key}")
    if rejected is not None:
        segments = dict(enumerate(map(_place_of, sample.segments)))
        report.expect(name, "the list of its rejected segments", rejected.segments, segments)
        if rejected.place not in sample.places:
            report.add(name, f"is rejected for {rejected.place}; one of its members, as (name, offset, size), expected")
        if sample.fault and rejected.operator != "read":
            report.add(name, f"{sample.fault}, but was rejected by {rejected.operator}; read expected")
        if not sample.fault and rejected.operator == "read":
            report.add(name, "was rejected by read, but its members are sound")
        if is_derived(identity[1]) and rejected.operator in BEFORE:
            report.add(name, f"was rejected by {rejected.operator}, which sees no sample that is made of another")
    if packed is not None and sorted(packed.copies) != list(range(num_copies)):
        report.add(name, f"has the copies {sorted(packed.copies)} packed; {list(range(num_copies))} expected")
    if sample.fault and packed is not None:
        report.add(name, f"{sample.fault}, but was packed; a reject expected")
    is_measured = packed is not None or states["carried"] or (rejected is not None and rejected.operator == LATE)
    if is_measured != (identity in unit.rows):
        report.add(name, f"is {'' if is_measured else 'not '}measured and {'not ' if is_measured else ''}in the index")
    return places[0] if places else "lost"


def _place_of(segment: Segment) -> Place:
    return as_utf8(segment.member), segment.offset, segment.size


def _dropped(row: Row) -> dict[int, Place]:
    """The places of segments that a row of the index says were dropped, by their numbers."""
    return {one["segment"]: (one["member"], one["offset"], one["size"]) for one in row["dropped"]}


def _dropped_faults(unit: Contents, identity: Id, row: Row, sample: Found) -> Iterator[str]:
    """Segments that filters took out: the same in the index and among the rejects, and of the document."""
    dropped = _dropped(row)
    rejected = unit.rejected.get(identity)
    recorded = unit.dropped.get(identity, {}) if rejected is None else rejected.segments
    if not dropped.items() <= recorded.items() or (rejected is None and len(recorded) != len(dropped)):
        yield f"drops the segments {sorted(dropped)} in the index and {sorted(recorded)} among the rejects"
    if sorted([*dropped, *(segment["number"] for segment in row["segments"])]) != list(range(len(sample.segments))):
        yield "has segments in the index whose numbers are not those of its document, each once"
    if not dropped.items() <= dict(enumerate(map(_place_of, sample.segments))).items():
        yield f"drops segments {sorted(dropped)} that have other places in its shard"
    for one in row["dropped"]:
        if unit.causes.get((identity, one["segment"])) != (one["reason"], one["detail"], tuple(one["rules"])):
            yield f"drops segment {one['segment']} for another reason in the index than among the rejects"


def _check_counts(unit: Contents, recounted: dict[str, Counter[str]], report: Report) -> None:
    """The manifest's counts against what was found: read + derived + repeated = packed + rejected + withheld."""
    for level in LEVELS:
        counts, found = unit.manifest.counts.get(level, {}), recounted[level]
        for name in ("read", "derived", "repeated", "packed", "rejected", "withheld", "carried"):
            report.expect(unit.manifest.where, f"counts.{level}.{name}", counts.get(name), found[name])
        before = sum(counts.get(name, 0) for name in ("read", "derived", "repeated"))
        after = sum(counts.get(name, 0) for name in ("packed", "rejected", "withheld", "carried"))
        report.expect(unit.manifest.where, f"read + derived + repeated of {level}", before, after)
