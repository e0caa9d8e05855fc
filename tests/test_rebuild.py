"""A rebuild is `run` again: it makes what changed and keeps the rest, and `diff` says what that was."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from jobs.build import run_job
from jobs.chain import resolve_job
from jobs.progress import Screen
from jobs.prune.command import prune
from jobs.spec import load_job
from pipeline.types import Shard
from pipeline.units import group_shards
from tests.calling import call
from tests.support import QUICKSTART, ROOT, build, documents, tree, write_shard, write_small_shards

QUICK = ("unit.target_shards=4", "sequence_length=2048", "score=null", "budget=none")


def change(folder: Path, num_shards: int) -> set[str]:
    """Of the shards in a folder one is changed, one removed, and one added; their names."""
    spare = sorted(documents().values(), key=lambda members: sum(map(len, members.values())))[num_shards]
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


@pytest.mark.parametrize(
    ("num_shards", "pixels"), [(12, "pixels=source"), pytest.param(40, "pixels=encoded", marks=pytest.mark.slow)]
)
def test_of_many_shards_only_units_with_a_changed_one_or_a_moved_border_are_built(
    tmp_path: Path, num_shards: int, pixels: str
) -> None:
    fields = (*QUICK, pixels)
    write_small_shards(tmp_path / "in", num_shards, 1)
    pattern = str(tmp_path / "in" / "*.tar")
    build(tmp_path / "out", pattern, *fields)
    before, old = tree(tmp_path / "out"), manifests(tmp_path / "out")
    touched = change(tmp_path / "in", num_shards)
    summary = build(tmp_path / "out", pattern, *fields)
    new = manifests(tmp_path / "out")
    assert summary["new_version"]
    assert summary["units"]["built"] == len(new.keys() - old.keys()) <= 6
    assert summary["units"]["kept"] == len(new.keys() & old.keys()) > 0
    for unit in new.keys() - old.keys():
        assert touched & set(new[unit]) or new[unit] not in old.values()
    after = tree(tmp_path / "out")
    assert before.items() <= after.items()

    build(tmp_path / "scratch", pattern, *fields)
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
            groups = [set(group_shards([Shard(n, n) for n in some], 4)) for some in (names, others)]
            most[kind] = max(most[kind], len(groups[1] - groups[0]))
    assert most["removed"] <= 4
    assert most["added"] <= 4


class Counting(Screen):
    """Counts what each operator of a run did."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.rows = Counter[str]()

    def advance(self, operator: str, rows: int) -> None:
        self.rows[operator] += rows


def count(output: Path, shards: str, *fields: str) -> tuple[dict[str, Any], Counter[str]]:
    """The summary of a run, and how many rows each operator of it had."""
    fields = (f"tokenizer={ROOT}/jobs/samples/tokenizer.model", *fields)
    job = load_job(str(QUICKSTART), list(fields), output=str(output), input__shards=shards)
    with Counting() as screen:
        summary = run_job(resolve_job(job), local=True, workers=None, rebuild=True, progress=screen)
    return summary, screen.rows


@pytest.mark.parametrize("pixels", ["source", pytest.param("none", marks=pytest.mark.slow)])
def test_another_sequence_length_decodes_nothing_where_pixels_stay_in_the_shards(tmp_path: Path, pixels: str) -> None:
    shards = write_small_shards(tmp_path / "in", 4, 1)
    fields = (*QUICK, f"pixels={pixels}")
    _, first = count(tmp_path / "out", shards, *fields)
    assert first["decode"] >= 4
    summary, second = count(tmp_path / "out", shards, *fields, "sequence_length=4096")
    units = summary["units"]["built"]
    assert (summary["replanned"]["units"], summary["units"]["kept"]) == (units, 0)
    assert second["decode"] == second["slice"] == second["tokenize"] == 0
    assert (summary["requests"]["requests"], summary["requests"]["bytes"]) == (0, 0)
    build(tmp_path / "fresh", shards, *fields, "sequence_length=4096")
    wanted = {path: digest for path, digest in tree(tmp_path / "fresh").items() if not path.startswith("versions/")}
    assert wanted.items() <= tree(tmp_path / "out").items()
