"""`lodepack prune`: what no kept version refers to goes, in an order that a kill cannot spoil; all else stays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import s3fs

from jobs import build as jobs_build
from jobs import chain as jobs_chain
from jobs.prune import command
from jobs.prune.command import find_prunable, prune
from jobs.verify import verify
from jobs.verify.orphans import find_orphans
from operators.write import Write
from pipeline import storage
from pipeline.errors import StorageError
from pipeline.leases import PRUNING, RUNNING, holding
from tests.calling import call
from tests.support import BUCKET, build, documents, tree, write_shard, write_small_shards

FIELDS = ("unit.target_shards=1", "sequence_length=2048", "score=null", "budget=none", "pixels=source")
SPARE = list(documents().values())


def build_three(output: str, folder: Path) -> str:
    """Three versions of three units, each of which differs from the one before in a unit; the shards' pattern."""
    write_small_shards(folder, 3, 1)
    pattern = str(folder / "*.tar")
    for number in range(3):
        if number:
            write_shard(folder / "small-000001.tar", SPARE[number])
        build(output, pattern, *FIELDS)
    return pattern


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("built")
    return folder / "out", build_three(str(folder / "out"), folder / "in")


@pytest.fixture
def output(built: tuple[Path, str], tmp_path: Path) -> Path:
    return Path(shutil.copytree(built[0], tmp_path / "out"))


def referred(output: Path) -> set[str]:
    """Every file that the versions which are there refer to, by themselves or by their manifests."""
    found = set()
    for path in (output / "versions").iterdir():
        for unit in json.loads(path.read_bytes())["units"]:
            found.add(f"manifests/{unit}.json")
            manifest = output / f"manifests/{unit}.json"
            found |= {file["path"] for file in json.loads(manifest.read_bytes())["files"]}
    return found


def test_what_no_kept_version_refers_to_goes_and_nothing_else(built: tuple[Path, str], output: Path) -> None:
    before = tree(output)
    card = (output / "README.md").read_bytes()
    shown = json.loads(call("prune", output, "--keep", 2, "--dry-run", "--json").out)
    assert tree(output) == before
    assert prune(str(output), keep=9, dry_run=False)["paths"] == []
    done = call("prune", output, "--keep", 2)
    assert done.out.splitlines()[0] == "versions/000001.json"
    assert "removed 1 version(s), 1 unit(s), 3 file(s)" in done.out
    assert "kept 2 version(s) of 4 unit(s)" in done.out
    left = tree(output)
    assert left.keys() == referred(output) | {"versions/000002.json", "versions/000003.json"}
    assert {path for path in shown["paths"] if not path.startswith("runs/")} == before.keys() - left.keys()
    assert [path for path in shown["paths"] if path.startswith("runs/shards/")] != []
    assert left.items() <= before.items()
    assert (output / "README.md").read_bytes() == card
    assert verify(str(output)).findings == []
    assert find_orphans(str(output)) == []
    assert "choose one of 2 to 3" in call("stats", output, "--version", 1).err
    assert json.loads(call("diff", output, "--json").out)["from"] == 2
    again = build(output, built[1], *FIELDS)
    assert (again["version"], again["new_version"]) == (3, False)


def test_stopped_anywhere_it_leaves_no_version_that_refers_to_what_is_gone(output: Path, tmp_path: Path) -> None:
    stages = find_prunable(str(output), 1).stages
    whole = shutil.copytree(output, tmp_path / "whole")
    prune(str(whole), keep=1, dry_run=False)
    for most in range(1, sum(map(len, stages))):
        left = most

        def remove(url: str) -> None:
            nonlocal left
            if PRUNING not in url:
                left -= 1
                if left < 0:
                    raise StorageError("stopped")
            storage.listing.remove(url)

        target = shutil.copytree(output, tmp_path / f"{most}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(command, "BATCH", 1)
            patch.setattr(command.storage, "remove", remove)
            with pytest.raises(StorageError, match="stopped"):
                prune(str(target), keep=1, dry_run=False)
        assert referred(target) <= tree(target).keys()
        prune(str(target), keep=1, dry_run=False)
        assert tree(target) == tree(whole)


def test_nothing_is_removed_while_a_run_is_active_and_no_run_starts_while_something_is(
    output: Path, tmp_path: Path
) -> None:
    shards = write_small_shards(tmp_path / "in", 4, 1)
    refused: list[str] = []

    class Pruned(Write):
        def __call__(self, table):  # type: ignore[no-untyped-def]
            for dry_run in (True, False):
                with pytest.raises(StorageError) as caught:
                    prune(str(output), keep=1, dry_run=dry_run)
                refused.append(str(caught.value))
            return super().__call__(table)

    before = tree(output)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs_chain, "Write", Pruned)
        build(output, shards, *FIELDS)
    assert len(refused) >= 2
    assert all("is being built by process" in line for line in refused)
    assert before.items() <= tree(output).items()
    with holding(str(output), PRUNING, against=RUNNING):
        assert not build(output, shards, *FIELDS)["new_version"]  # nothing to do: it writes nothing
        with pytest.raises(StorageError, match="is being pruned"):
            build(output, shards, *FIELDS, "sequence_length=4096", rebuild=True)
    prune(str(output), keep=1, dry_run=False)
    assert verify(str(output)).findings == []


def test_units_of_a_run_that_stopped_stay_for_the_next_one(output: Path, tmp_path: Path) -> None:
    shards = write_small_shards(tmp_path / "in", 5, 1)

    class Stopping(Write):
        def __call__(self, table):  # type: ignore[no-untyped-def]
            if table["unit"][0].as_py() > 3:
                raise StorageError("no space left")
            return super().__call__(table)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs_chain, "Write", Stopping)
        with pytest.raises(StorageError, match="no space left"):
            build(output, shards, *FIELDS)
    report = prune(str(output), keep=1, dry_run=False)
    assert report["units"]["unfinished"] == 1
    assert "of a run that did not end" in "\n".join(command.to_lines(report))
    summary = build(output, shards, *FIELDS)
    assert summary["units"]["built"] == 2  # the last, and one that only a removed version named
    assert verify(str(output)).findings == []


def test_a_run_stops_if_units_that_it_planned_to_keep_were_pruned_before_it_began(
    built: tuple[Path, str], output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(Path(built[1]).parent, tmp_path / "in")
    write_shard(tmp_path / "in" / "small-000001.tar", SPARE[5])

    def late(*arguments: Any, **options: Any) -> Any:
        for path in (output / "manifests").iterdir():
            path.unlink()
        return holding(*arguments, **options)

    monkeypatch.setattr(jobs_build, "holding", late)
    with pytest.raises(StorageError, match=r"2 units of .* were pruned as the run began; run the job again"):
        build(output, str(tmp_path / "in" / "*.tar"), *FIELDS)


def test_nothing_is_removed_where_a_record_that_stays_is_damaged(output: Path) -> None:
    newest = json.loads((output / "versions" / "000003.json").read_bytes())
    manifest = output / f"manifests/{newest['units'][0]}.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(b"{")
    with pytest.raises(StorageError, match="nobody knows what it names"):
        prune(str(output), keep=1, dry_run=False)
    manifest.unlink()
    with pytest.raises(StorageError, match=r"000003\.json names the unit .*, which has no manifest"):
        prune(str(output), keep=1, dry_run=False)
    manifest.write_bytes(whole)
    assert len(list((output / "versions").iterdir())) == 3


@pytest.mark.slow
def test_an_output_on_s3_is_pruned_to_the_bytes_of_a_local_one(
    store: s3fs.S3FileSystem, built: tuple[Path, str], output: Path, tmp_path: Path
) -> None:
    url = f"s3://{BUCKET}/pruned"
    build_three(url, tmp_path / "in")
    report = prune(url, keep=1, dry_run=False)
    prune(str(output), keep=1, dry_run=False)
    assert (report["versions"]["removed"], report["units"]["removed"]) == ([1, 2], 2)
    store.invalidate_cache()
    left = {path.removeprefix(f"{BUCKET}/pruned/") for path in store.find(f"{BUCKET}/pruned")}
    assert {path for path in left if not path.startswith(("runs/", "README"))} == tree(output).keys()
    assert not any(path.startswith((RUNNING, PRUNING)) for path in left)
    assert verify(url).findings == []
    assert find_orphans(url) == []
