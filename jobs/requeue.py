"""`lodepack requeue`: a job of the rejects of an output, with the samples as they were in their shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.compute as pc
import yaml
from rich.console import Console
from rich.table import Table

from jobs.inspect.output import Output, open_output
from jobs.requeue_shards import write_rejected
from jobs.spec import check_job, local_target, writing
from pipeline import ledger
from pipeline.containers import TAR, container_of
from pipeline.derived import original_of
from pipeline.errors import ConfigError, Reason
from pipeline.formats import FORMATS
from pipeline.records import read_last_run

JOB = "requeue.yaml"
SHARDS = "shards"
WILD = frozenset("*?[]{},")
HEAD = """\
# The samples that {output} rejected, as they were. They were rejected once for what this job still says:
# raise a limit with --set, or here, and run it. Shards stand under the names of those that they came from.
"""

Rejects = dict[str, dict[int, str]]
"""Reason by ordinal, of the rejected samples of each shard."""


def requeue_rejects(output: str, to: str, reasons: Sequence[str]) -> dict[str, Any]:
    """Writes shards with the rejected samples, and DIR/requeue.yaml, into a new or empty folder; what was requeued.

    reasons: only samples rejected for one of them; none: for any. ConfigError if there is nothing to requeue, if the
    output does not say what built it, or if the folder holds something; StorageError if a shard is gone or another.
    """
    folder = _folder(to)
    unknown = sorted(set(reasons) - {*Reason})
    if unknown:
        raise ConfigError(f"--reason {', '.join(unknown)}: choose {', '.join(sorted(Reason))}")
    found = open_output(output)
    record = read_last_run(output, ended=True)
    if not {"job", "shards", "tokenizer"} <= record.keys():
        raise ConfigError(f"{output} does not record its job (runs/*.json); run its job again first")
    rejects = _rejects(found, set(reasons))
    if not rejects:
        why = f" for {', '.join(reasons)}" if reasons else ""
        filtered = 0 if reasons else ledger.num_filtered(found.version["reasons"])
        others = f" but the {filtered} that its filters did, which --reason asks for by name" if filtered else ""
        raise ConfigError(f"{output} rejected no sample{why}{others}; there is nothing to requeue")
    requeued: Counter[str] = Counter()
    left: Counter[str] = Counter()
    written: list[str] = []
    hashes = {entry["shard"]: entry["sha256"] for unit in found.units for entry in found.manifest(unit)["inputs"]}
    with writing(folder):
        for shard, wanted in sorted(rejects.items()):
            if shard not in record["shards"]:
                raise ConfigError(f"runs/ of {output} does not say where shard {shard} is; run its job again first")
            format = FORMATS[_source(found, shard)["format"]]  # noqa: A001
            target = folder / SHARDS / _safe(shard if container_of(shard) is TAR else f"{shard}.tar")
            ordinals = write_rejected(record["shards"][shard], hashes[shard], format, wanted.keys(), target)
            requeued.update(wanted[ordinal] for ordinal in ordinals)
            left.update(reason for ordinal, reason in wanted.items() if ordinal not in ordinals)
            written += [shard] if ordinals else []
        if written:
            job = _job(record, folder, written)
            check_job(job, JOB)
            head = HEAD.format(output=" ".join(output.split()))
            (folder / JOB).write_text(head + yaml.safe_dump(job, sort_keys=False, allow_unicode=True), "utf-8")
    return {
        "folder": str(folder),
        "job": str(folder / JOB) if written else None,
        "num_shards": len(written),
        "num_samples": requeued.total(),
        "reasons": {
            reason: {"requeued": requeued[reason], "left": left[reason]} for reason in sorted({*requeued, *left})
        },
    }


def print_requeued(requeued: Mapping[str, Any]) -> None:
    """The same for people."""
    console = Console(highlight=False, markup=False, emoji=False)
    table = Table("reason", title="rejected samples", title_justify="left")
    for name in ("requeued", "cannot be cut out"):
        table.add_column(name, justify="right")
    for reason, counts in requeued["reasons"].items():
        table.add_row(reason, f"{counts['requeued']:,}", f"{counts['left']:,}")
    console.print(table)
    if requeued["job"] is None:
        console.print("nothing could be requeued")
    else:
        console.print(f"wrote {requeued['num_samples']:,} samples in {requeued['num_shards']:,} shard(s)")
        console.print(f"next: lodepack run {requeued['job']}", soft_wrap=True)


def _folder(to: str) -> Path:
    folder = local_target(to)
    if WILD & set(str(folder)):
        raise ConfigError(f"{folder}: a folder whose path has none of {' '.join(sorted(WILD))} is expected")
    with writing(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder} is not empty; name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _rejects(output: Output, reasons: set[str]) -> Rejects:
    """Of a sample that was made of another, that other one: it stands in the shard, and makes it again."""
    found: Rejects = {}
    for unit in output.units:
        for path in output.files(unit)["rejects"]:
            table = output.read(path, ["level", "id", "reason"])
            for row in table.filter(pc.equal(table["level"], ledger.SAMPLE)).to_pylist():
                # What a filter rejected it would reject again.
                if row["reason"] in reasons or not (reasons or row["reason"].startswith(ledger.FILTERED)):
                    found.setdefault(row["id"]["shard"], {}).setdefault(
                        original_of(row["id"]["ordinal"]), row["reason"]
                    )
    return found


def _source(output: Output, shard: str) -> dict[str, Any]:
    """What the version says of the source of a shard; a job that mixes none has one source alone."""
    sources: dict[str, dict[str, Any]] = output.version["sources"]
    return sources.get(shard.partition("/")[0]) or next(iter(sources.values()))


def _safe(shard: str) -> PurePosixPath:
    """A shard's name as a path below the new folder. ConfigError for one that would lead out of it."""
    path = PurePosixPath(shard)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in shard:
        raise ConfigError(f"shard {shard!r} has a name that leads out of a folder; it cannot be requeued")
    return path


def _job(record: Mapping[str, Any], folder: Path, shards: Sequence[str]) -> dict[str, Any]:
    """The job of the last run, reading the new shards. What chose among samples chose already."""
    job = dict(record["job"])
    root = folder / SHARDS
    if "sources" in job["input"]:
        sources = {}
        for name, section in job["input"]["sources"].items():
            own = [shard.removeprefix(f"{name}/") for shard in shards if shard.startswith(f"{name}/")]
            if own:
                sources[name] = _input(section, root / name, own)
        job["input"] = {"sources": sources}
    else:
        job["input"] = _input(job["input"], root, shards)
    job |= {"name": f"{job['name']}: rejects", "output": str(folder / "out"), "tokenizer": record["tokenizer"]}
    job["limits"] = {**job["limits"], "max_reject_ratio": 1.0}  # that some are rejected again is no news
    if Path(job["profile"]).suffix:
        job["profile"] = str(Path(job["profile"]).absolute())
    if job.get("score") and job["score"].get("encoder"):
        job["score"] = {**job["score"], "encoder": str(local_target(job["score"]["encoder"]))}
    return {name: value for name, value in job.items() if name not in {"limit", "address"}}


def _input(section: Mapping[str, Any], root: Path, names: Iterable[str]) -> dict[str, Any]:
    """A source of the new shards: a pattern for each depth, so that their names are the paths below `root`."""
    depths = sorted({name.count("/") + 1 for name in names})
    return {
        "shards": [f"{root}/{'/'.join('*' * depth)}" for depth in depths],
        "format": section["format"],
        # A rejected sample of a source that is thinned was one of those it keeps.
        "weight": max(1.0, section["weight"]),
    }
