"""Writes the data card of an output's newest version: what it is, how to load it, and where it came from.

All of it follows from the version and its manifests, so that one version has one card, wherever and whenever it is
written. It is no part of the data set: versions do not name it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from jobs.terminal import printable
from pipeline import storage
from pipeline.ledger import fill
from pipeline.records import read_manifest
from pipeline.units import canonical_json

CARD = "README.md"
TEMPLATE = Path(__file__).with_name("card.md.j2")
MARK = "<!-- lodepack: card of version "
"""A README.md without it is the user's own and stays."""
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
"""The hub's names for numbers of rows, by what they are below."""
COUNTS = ("read", "derived", "repeated", "packed", "rejected", "withheld")


def keep_card(output: str, number: int, version: Mapping[str, Any]) -> bool:
    """Writes the card of a version unless it is there, or something of the user's is; whether it was written."""
    url = storage.join(output, CARD)
    found = storage.read_bytes(url).decode("utf-8", "replace") if storage.exists(url) else ""
    if found and (MARK not in found or _mark(number, version) in found):
        return False
    addresses = [storage.join(output, "manifests", f"{unit}.json") for unit in version["units"]]
    with ThreadPoolExecutor(storage.THREADS) as threads:
        manifests = list(threads.map(read_manifest, addresses))
    storage.overwrite(output, CARD, render_card(number, version, manifests).encode())
    return True


def render_card(number: int, version: Mapping[str, Any], manifests: Sequence[Mapping[str, Any]]) -> str:
    """The card as Markdown with YAML front matter. manifests: of the version's units, in order."""
    files = [file for manifest in manifests for file in manifest["files"] if file["kind"] == "data"]
    recipe = version["recipe"]
    sources = {name: source["totals"] for name, source in version["sources"].items()}
    whole = [("**all**", version["totals"])] if len(sources) > 1 else []
    # Markdown of ours with the user's names in it: what would break a table's row is replaced.
    environment = Environment(  # noqa: S701
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["cell"] = lambda value: printable(str(value)).replace("|", "\\|").replace("\n", " ")
    return environment.from_string(TEMPLATE.read_text("utf-8")).render(
        front=_front(recipe, version["totals"], [file["path"] for file in files]),
        mark=_mark(number, version),
        number=number,
        version=version,
        job=recipe["job"],
        recipe=recipe,
        whole=_counts(version["totals"]),
        counts={name: _counts(totals) for name, totals in (*sources.items(), *whole)},
        shown=[name for name in COUNTS if version["totals"].get("samples", {}).get(name)],
        reasons=sorted(version["reasons"].items(), key=lambda entry: (-entry[1], entry[0])),
        job_yaml=yaml.safe_dump(recipe["job"], sort_keys=True, allow_unicode=True),
        num_files=len(files),
        num_bytes=sum(file["bytes"] for file in files),
        shards={name: _shards(name, version, manifests) for name in version["sources"]},
    )


def _front(recipe: Mapping[str, Any], totals: Mapping[str, Any], paths: Sequence[str]) -> str:
    """What the hub reads. Files by name: no pattern tells them from those of other versions in the same folder."""
    num_packs = totals.get("tokens", {}).get("packs", 0)
    size = next((name for limit, name in SIZES if num_packs < limit), "n>1M")
    front: dict[str, Any] = {"tags": ["lodepack", "packed-sequences", recipe["profile"]["name"]]}
    if totals.get("tokens", {}).get("visual"):
        front["task_categories"] = ["image-text-to-text"]
    front["size_categories"] = [size]
    if paths:
        files = [{"split": "train", "path": list(paths)}]
        front["configs"] = [{"config_name": "default", "data_files": files}]
    return yaml.safe_dump(front, sort_keys=False, allow_unicode=True)


def _mark(number: int, version: Mapping[str, Any]) -> str:
    return f"{MARK}{number}, {hashlib.sha256(canonical_json(version)).hexdigest()[:16]}."


def _counts(totals: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table of counts."""
    tokens, packs = totals.get("tokens", {}), totals.get("packs", {})
    return {
        "samples": totals.get("samples", {}),
        "segments": totals.get("segments", {}).get("packed", 0),
        "tokens": {name: tokens.get(name, 0) for name in ("packs", "tokens", "text", "visual", "trained", "views")},
        "bound": packs.get("bound", 0),
        "fill": fill(totals),
    }


def _shards(source: str, version: Mapping[str, Any], manifests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many shards a source has, and one hash over the name and hash of each, which tells two inputs apart."""
    units = set(version["sources"][source]["units"])
    inputs = [entry for manifest in manifests if manifest["unit"] in units for entry in manifest["inputs"]]
    content = sorted([entry["shard"], entry["sha256"]] for entry in inputs)
    return {
        "number": len(inputs),
        "bytes": sum(entry["bytes"] for entry in inputs),
        "sha256": hashlib.sha256(canonical_json(content)).hexdigest(),
        "format": version["sources"][source]["format"],
        "weight": version["sources"][source]["weight"],
    }
