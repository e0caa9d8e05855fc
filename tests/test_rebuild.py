"""A rebuild is `run` again: it makes what changed and keeps the rest; `diff` says what, `prune` removes what is over."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import s3fs

from jobs.build import run_job
from jobs.chain import resolve_job
from jobs.progress import Screen
from jobs.prune import command
from jobs.prune.command import prune
from jobs.spec import load_job
from jobs.verify import verify
from jobs.verify.orphans import find_orphans
from pipeline import leases, storage
from pipeline.errors import StorageError
from pipeline.leases import PRUNING, RUNNING, holding
from pipeline.types import Shard
from pipeline.units import group_shards
from tests.calling import call
from tests.support import BUCKET, QUICKSTART, ROOT, build, documents, tree, write_shard, write_small_shards

QUICK = ("unit.target_shards=4", "sequence_length=2048", "score=null", "budget=none")


def change(folder: Path, num_shards: int) -> set[str]:
    """Of the shards in a folder one is changed, one removed, and one added; their names."""
    spare = list(documents().values())[-1]
    third = num_shards // 4
    changed, removed, added = f"small-{third:06d}.tar", f"small-{2 * third:06d}.tar", f"small-{3 * third:06d}b.tar"
    write_shard(folder / changed, spare)
    (folder / removed).unlink()
    write_shard(folder / added, spare)
    return {changed, removed, added}


def manifests(output: Path) -> dict[str, tuple[str, ...]]:
    """The shards of each unit of the newest version, by its id."""
    version = json.loads(max((output / "versions").iterdir()).read_bytes())
    found = {unit: json.loads((output / f"manifests/{unit}.json").read_bytes()) for unit in version["units"]}
    return {unit: tuple(entry["shard"] for entry in manifest["inputs"]) for unit, manifest in found.items()}


@pytest.mark.parametrize("num_shards", [16, pytest.param(40, marks=pytest.mark.slow)])
def test_of_many_shards_only_units_with_a_changed_one_or_a_moved_border_are_built(
    tmp_path: Path, num_shards: int
) -> None:
    write_small_shards(tmp_path / "in", num_shards, 1)
    pattern = str(tmp_path / "in" / "*.tar")
    build(tmp_path / "out", pattern, *QUICK)
    before, old = tree(tmp_path / "out"), manifests(tmp_path / "out")
    touched = change(tmp_path / "in", num_shards)
    summary = build(tmp_path / "out", pattern, *QUICK)
    new = manifests(tmp_path / "out")
    assert summary["new_version"]
    assert summary["units"]["built"] == len(new.keys() - old.keys()) <= 6
    assert summary["units"]["kept"] == len(new.keys() & old.keys()) > 0
    for unit in new.keys() - old.keys():
        assert touched & set(new[unit]) or new[unit] not in old.values()
    after = tree(tmp_path / "out")
    assert before.items() <= after.items()

    build(tmp_path / "scratch", pattern, *QUICK)
    wanted = tree(tmp_path / "scratch")
    newest = {path: digest for path, digest in wanted.items() if not path.startswith("versions/")}
    assert newest.items() <= after.items()
    assert after["versions/000002.json"] == wanted["versions/000001.json"]

    report = json.loads(call("diff", tmp_path / "out", "--json").out)
    found = report["inputs"]["input"]
    assert {*found["added"], *found["removed"], *found["changed"]} == touched
    assert {unit["unit"] for unit in report["units"]["new"]} == new.keys() - old.keys()
    assert {unit["unit"] for unit in report["units"]["gone"]} == old.keys() - new.keys()
    causes = {"added", "removed", "changed", "left", "moved"}
    assert all(causes & unit.keys() for unit in report["units"]["new"] + report["units"]["gone"])

    prune(str(tmp_path / "out"), keep=1, dry_run=False)
    pruned = tree(tmp_path / "out")
    assert {path.replace("000002", "000001"): digest for path, digest in pruned.items()} == wanted


def test_one_shard_more_or_less_never_changes_more_than_its_unit_and_the_next_few() -> None:
    names = [f"small-{number:06d}.tar" for number in range(200)]
    most = Counter[str]()
    for number in range(len(names)):
        for kind, others in (
            ("removed", names[:number] + names[number + 1 :]),
            ("added", sorted([*names, f"{names[number][:-4]}b.tar"])),
        ):
            groups = [{group for group in group_shards([Shard(n, n) for n in some], 4)} for some in (names, others)]
            most[kind] = max(most[kind], len(groups[1] - groups[0]))
    assert most["removed"] <= 4
    assert most["added"] <= 4
