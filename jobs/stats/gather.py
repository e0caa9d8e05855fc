"""Counts what is in each source of a data set: from its records, its indexes and its rejects, never from a pack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pyarrow as pa

from jobs.inspect.output import Output
from jobs.stats.facts import Facts
from jobs.stats.indexed import read_index
from jobs.stats.rejects import read_rejects

READING_THREADS = 4
DOCUMENTS = ("read", "derived", "repeated", "packed", "rejected", "withheld")


def gather(output: Output) -> dict[str, Facts]:
    """The facts of each source, by name. StorageError where a file of the output is damaged or gone.

    In memory at once, of each of READING_THREADS units: its rejects, or one row group of its index.
    """
    return {name: _gather_source(output, source) for name, source in output.version["sources"].items()}


def _gather_source(output: Output, source: Mapping[str, Any]) -> Facts:
    has_start = bool(output.recipe["profile"]["tokens"]["document_start"])
    samples = source["totals"].get("samples", {})
    facts = Facts(documents=Counter({name: samples.get(name, 0) for name in DOCUMENTS}))
    late: list[str] = []
    with ThreadPoolExecutor(READING_THREADS) as threads:
        files = list(threads.map(output.files, source["units"]))
        # All rejects first: of a document that was carried they are with the closing unit, and its index is not.
        for rejected, found_late in threads.map(partial(read_rejects, output), _paths(files, "rejects")):
            facts.add(rejected)
            late += found_late
        read = partial(read_index, output, source["weight"], pa.array(late, pa.string()), has_start)
        for measured in threads.map(read, _paths(files, "index")):
            facts.add(measured)
    return facts


def _paths(files: Iterable[Mapping[str, Sequence[str]]], kind: str) -> list[str]:
    return [path for found in files for path in found[kind]]
