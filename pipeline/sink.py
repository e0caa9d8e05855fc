"""Makes finished units visible: whole or not at all, exactly once, through any number of crashes.

Files lie under the names of their content before anything refers to them. A unit's manifest, created exclusively,
is its one commit; a version, created exclusively after all manifests, names the units that make the data set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import ledger, storage
from pipeline.errors import StorageError
from pipeline.finished import finished_version
from pipeline.operator import Row
from pipeline.parquet import write_parquet
from pipeline.planning import HASHES, Plan, latest_version, version_url
from pipeline.records import read_manifest
from pipeline.schema import REJECTS, SCHEMA_VERSION
from pipeline.tasks import SUMMARY, from_stream, note_of
from pipeline.types import ONLY_SOURCE, Source
from pipeline.units import canonical_json, recipe_hash, unit_recipe

EXAMPLES = 3
"""Rejected samples named when a job stops for having too many."""
EARLY_SAMPLES = 1000
"""A run stops before its end once it has read this many and rejected more of them than the job allows."""


@dataclass(slots=True)
class _Open:
    """Reports of a unit that has not all of them yet."""

    reports: dict[tuple[str, int], Row] = field(default_factory=dict)
    _num_expected: int | None = None

    def add(self, row: Row) -> None:
        self.reports[row["kind"], row["number"]] = row
        if row["kind"] == SUMMARY:
            self._num_expected = int(note_of(row)["reports"])  # read once: it may name 80,000 rejects

    def is_complete(self) -> bool:
        return len(self.reports) == self._num_expected


class Sink:
    """Collects the reports of `write` and commits each unit when its last one is there."""

    def __init__(self, output: str, plan: Plan, max_reject_ratio: float) -> None:
        self._output = output
        self._plan = plan
        self._max_reject_ratio = max_reject_ratio
        self._open: dict[tuple[int, str, str], _Open] = {}
        self._sources = {unit.number: unit.source for unit in plan.todo}
        self._urls = {unit.number: {shard.name: shard.url for shard in unit.shards} for unit in plan.todo}
        self._left = set(self._urls)
        self._kept = [*plan.done]
        self._totals: dict[str, Any] = {}
        """Counts of this run's units."""
        self._reasons: dict[str, int] = {}
        """Their rejected samples by reason."""
        self.views: dict[str, int] = {}
        """Views of this run's packs by how they came: copied from older packs, or rendered."""
        self.traffic: dict[str, dict[str, int]] = {}
        """What `write` asked of the stores for each unit that this run commits, as a storage.Traffic has it. It differs
        from run to run, so no manifest has it."""
        self._older: dict[str, dict[str, Any]] = {}
        """Of units that were committed before, once they are read, what `manifests` has of others."""
        self.manifests: dict[str, dict[str, Any]] = {}
        """Of the units that this run commits, what is asked of them later: a whole one has 150 KB in memory."""
        self.committed: list[dict[str, Any]] = []
        """Manifests, whole, of the units that the last `add` committed."""
        self.hashes: dict[str, str] = {}
        """sha256 by URL of the shards of those units."""

    def finished(self) -> tuple[int, dict[str, Any]] | None:
        """The newest version's number and content if it is what the plan would make: there is nothing to do.

        StorageError if more samples were rejected than the job allows.
        """
        found = finished_version(self._output, self._plan)
        if found is not None:
            self._check_rejects(found[1]["units"], found[1]["totals"], found[1]["reasons"])
        return found

    def keep(self, unit: str) -> None:
        """Names a unit that is committed already: it belongs to the version."""
        self._kept.append(unit)

    def expect(self, number: int, urls: Mapping[str, str], source: Source) -> None:
        """One more unit to be committed: its number, the URL of each of its shards by name in order, its source."""
        self._urls[number] = dict(urls)
        self._sources[number] = source
        self._left = self._left | {number}

    @property
    def units(self) -> list[dict[str, Any]]:
        """Of the version's units so far what `manifests` has, by their ids. StorageError if units are missing."""
        if self._left:
            raise StorageError(f"{len(self._left)} units are not committed; run again to resume")
        units = sorted({*self._kept, *self.manifests})
        with ThreadPoolExecutor(storage.THREADS) as threads:
            return list(threads.map(self._manifest, units))

    @property
    def left(self) -> set[int]:
        """Numbers of the units not committed yet. The set is replaced, never changed."""
        return self._left

    def add(self, reports: pa.Table) -> set[int]:
        """Takes reports in any order, repeated ones too; returns the numbers of the units still open."""
        self.committed = []
        for row in reports.to_pylist():
            if row["unit"] in self._left:
                # By id and plan too: a shard may change between two rounds, and a timeout be judged otherwise.
                unit = self._open.setdefault((row["unit"], row["unit_id"], row["plan"]), _Open())
                unit.add(row)
                if unit.is_complete():
                    self._commit(row["unit"], unit.reports)
        return self.left

    def _commit(self, number: int, reports: dict[tuple[str, int], Row]) -> None:
        """Writes the unit's rejects and its manifest. Another run's commit of the same unit is as good as ours."""
        summary_row = reports.pop((SUMMARY, 0))
        summary, identity = note_of(summary_row), summary_row["unit_id"]
        self._check_unchanged(number)
        notes = [note_of(row) for _, row in sorted(reports.items())]
        found = [reject for _, row in sorted(reports.items()) for reject in from_stream(row["payload"]).to_pylist()]
        order = {name: i for i, name in enumerate(self._urls[number])}
        late = ledger.sort_rejects(found, order)
        rejects = ledger.sort_rejects(summary["rejects"] + late, order)
        source = self._sources[number]
        counts = ledger.close_counts(ledger.without_copies(summary["counts"], late, source.weight), rejects)
        recipe = unit_recipe(self._plan.recipe, source)
        tokens: dict[str, int] = {}
        traffic: dict[str, int] = {}
        for note in notes:
            traffic = ledger.add_counts(traffic, note["traffic"])
            tokens = ledger.add_counts(tokens, note["counts"])
            self.views = ledger.add_counts(self.views, note.get("views", {}))
        reject_file = write_parquet(self._output, "rejects", identity, REJECTS, [rejects])
        files = [*(note["file"] for note in notes), reject_file]
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "unit": identity,
            "recipe_id": recipe_hash(recipe),
            "recipe": recipe,
            "inputs": summary["inputs"],
            **({"closes": summary["closes"]} if "closes" in summary else {}),
            "files": sorted(files, key=lambda file: str(file["path"])),
            "counts": counts | {"tokens": tokens, "packs": summary["packs"]},
            "reasons": dict(Counter(row["reason"] for row in rejects if row["level"] == ledger.SAMPLE)),
        }
        if summary["inputs"]:
            self._remember_hashes(number, identity, summary["inputs"])
        self._check_there(files)
        url = storage.join(self._output, "manifests", f"{identity}.json")
        if not storage.create_exclusive(url, canonical_json(manifest)):
            manifest = read_manifest(url)  # what is committed counts, should a timeout have been judged otherwise there
        self.committed.append(manifest)
        self.manifests[identity] = _kept(manifest)
        self.traffic[identity] = traffic
        self._left = self._left - {number}
        self._open = {key: held for key, held in self._open.items() if key[0] != number}
        self._totals = ledger.add_counts(self._totals, manifest["counts"])
        self._reasons = ledger.add_counts(self._reasons, manifest["reasons"])
        if _taken(self._totals) >= EARLY_SAMPLES:
            self._check_rejects(sorted(self.manifests), self._totals, self._reasons)

    def _check_there(self, files: Iterable[Row]) -> None:
        """StorageError if a file is gone: somebody may have taken it for what a dead run had left.

        Or it never was here: an actor on another machine wrote it to a path of its own.
        """
        paths = [str(file["path"]) for file in files]
        urls = [storage.join(self._output, path) for path in paths]
        for path, is_there in zip(paths, _exist(urls), strict=True):
            if not is_there:
                hint = "; every node must see that path" if storage.is_local(self._output) else ""
                raise StorageError(f"{path} of {self._output} is gone before its commit; run again to resume{hint}")

    def _check_unchanged(self, number: int) -> None:
        """StorageError if a shard is not what it was before the run: `read` and `write` may have seen two of it."""
        urls = list(self._urls[number].values())
        found = storage.fingerprints(urls)
        for url in urls:
            if found.get(url) != self._plan.fingerprints[url]:
                raise StorageError(f"{url} changed while it was read; run the job again")

    def _remember_hashes(self, number: int, identity: str, inputs: Iterable[Row]) -> None:
        """Before the manifest: a run killed right after the commit must know its shards by hash without reading."""
        urls = self._urls[number]
        entries = {
            urls[entry["shard"]]: [self._plan.fingerprints[urls[entry["shard"]]], entry["sha256"]] for entry in inputs
        }
        storage.overwrite(self._output, f"{HASHES}/{identity}.json", canonical_json(entries))
        self.hashes |= {url: sha256 for url, (_, sha256) in entries.items()}

    def finish(self) -> tuple[int, dict[str, Any], bool]:
        """The number and content of the version that names all units, and whether it had to be written.

        StorageError if units are missing, or if more samples were rejected than the job allows.
        """
        sources = {source.label: _entry(source) for source in self._plan.sources}
        totals: dict[str, Any] = {}
        reasons: dict[str, int] = {}
        manifests = self.units
        units = [manifest["unit"] for manifest in manifests]
        for manifest in manifests:
            totals = ledger.add_counts(totals, manifest["counts"])
            source = sources[manifest["recipe"]["source"].get("name", ONLY_SOURCE)]
            source["units"].append(manifest["unit"])
            source["totals"] = ledger.add_counts(source["totals"], manifest["counts"])
            reasons = ledger.add_counts(reasons, manifest["reasons"])
        self._check_rejects(units, totals, reasons)
        version = {
            "schema_version": SCHEMA_VERSION,
            "recipe_id": self._plan.recipe_id,
            "recipe": self._plan.recipe,
            "units": units,
            "sources": sources,
            "totals": totals,
            "reasons": reasons,
            "withheld_shards": list(self._plan.withheld_shards),
        }
        number, latest = latest_version(self._output)
        while latest != version:
            number += 1
            if storage.create_exclusive(version_url(self._output, number), canonical_json(version)):
                return number, version, True
            number, latest = latest_version(self._output)
        return number, version, False

    def _manifest(self, unit: str) -> dict[str, Any]:
        if unit not in self.manifests and unit not in self._older:
            self._older[unit] = _kept(read_manifest(storage.join(self._output, "manifests", f"{unit}.json")))
        return self.manifests.get(unit) or self._older[unit]

    def _check_rejects(self, units: list[str], totals: dict[str, Any], reasons: Mapping[str, int]) -> None:
        """What filters reject is what the job asks for: it does not count."""
        filtered = ledger.num_filtered(reasons)
        taken, rejected = _taken(totals) - filtered, totals.get("samples", {}).get("rejected", 0) - filtered
        if rejected <= self._max_reject_ratio * taken:
            return
        examples: list[str] = []
        for manifest in map(self._manifest, units):
            if manifest["reasons"] and len(examples) < EXAMPLES:
                examples += self._rejected_keys(manifest)
        faults = Counter({why: count for why, count in reasons.items() if not why.startswith(ledger.FILTERED)})
        top = ", ".join(f"{reason} {count}" for reason, count in faults.most_common(3))
        raise StorageError(
            f"{rejected} of {taken} samples were rejected ({top}; for example {', '.join(examples[:EXAMPLES])}); "
            f"limits.max_reject_ratio allows {self._max_reject_ratio:.0%}; see rejects/, mend the input or raise it"
        )

    def _rejected_keys(self, manifest: dict[str, Any]) -> list[str]:
        (path,) = (file["path"] for file in manifest["files"] if file["kind"] == "rejects")
        table = pq.read_table(pa.BufferReader(storage.read_bytes(storage.join(self._output, path))))
        rows = table.select(["level", "id", "reason"]).to_pylist()
        return [
            f"{row['id']['shard']}/{row['id']['key']}"
            for row in rows
            if row["level"] == ledger.SAMPLE and not row["reason"].startswith(ledger.FILTERED)
        ]


def _exist(urls: Sequence[str]) -> list[bool]:
    """Of each URL of one output whether it is there. One by one a store takes three seconds for a unit's 160 files."""
    if storage.is_local(urls[0]):
        return list(map(storage.exists, urls))
    with ThreadPoolExecutor(storage.THREADS) as threads:
        return list(threads.map(storage.exists, urls))


def _kept(manifest: dict[str, Any]) -> dict[str, Any]:
    """What is asked of a committed unit until the version is written: it grows with the counts' fields alone."""
    kept = {name: manifest[name] for name in ("unit", "counts", "reasons")}
    files = [file for file in manifest["files"] if file["kind"] != "data"]
    return kept | {"recipe": {"source": manifest["recipe"]["source"]}, "files": files}


def _entry(source: Source) -> dict[str, Any]:
    """A source as the version lists it, before its units are added."""
    return {
        "format": source.format,
        "weight": source.weight,
        "max_samples": source.max_samples,
        "units": [],
        "totals": {},
    }


def _taken(totals: dict[str, Any]) -> int:
    """Samples that were packed or rejected, those made of others among them: a limited run withholds the rest."""
    samples = totals.get("samples", {})
    return int(samples.get("read", 0) + samples.get("derived", 0) - samples.get("withheld", 0))
