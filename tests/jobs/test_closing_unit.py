"""The closing unit: fewer packs, the same bytes everywhere, built anew when a unit changes, and checked."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from rewriting import Output
from support import build, documents, tree, write_shard, write_small_shards

from jobs.inspect.explain import explain
from jobs.inspect.output import open_output
from jobs.verify import verify
from pipeline.errors import StorageError
from pipeline.loading import PackedDataset

SMALL = ("unit.target_shards=1", "sequence_length=2048")
CLOSING = (*SMALL, "pack.closing=true")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_small_shards(tmp_path_factory.mktemp("shards"), 4, 8)


@pytest.fixture(scope="module")
def closed(shards: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    output = tmp_path_factory.mktemp("closed") / "out"
    return output, build(output, shards, *CLOSING)


def manifests(output: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted((output / "manifests").iterdir())]


def closing_of(output: Path) -> dict[str, Any]:
    (found,) = (manifest for manifest in manifests(output) if "closes" in manifest)
    return found


def truths(output: Path) -> list[str]:
    return [finding.what for finding in verify(str(output)).findings]


def test_documents_of_part_filled_packs_are_packed_together(
    closed: tuple[Path, dict[str, Any]], shards: str, tmp_path: Path
) -> None:
    output, summary = closed
    plain = build(tmp_path / "plain", shards, *SMALL)
    assert summary["totals"]["tokens"]["packs"] < plain["totals"]["tokens"]["packs"]
    assert summary["totals"]["tokens"]["tokens"] == plain["totals"]["tokens"]["tokens"]
    for level in ("samples", "segments"):
        assert summary["totals"][level] == plain["totals"][level]
        assert summary["totals"][level]["carried"] == 0
        for manifest in manifests(output):
            counts = manifest["counts"][level]
            assert counts["read"] == sum(counts[name] for name in ("packed", "rejected", "withheld", "carried"))
    closing = closing_of(output)
    assert closing["counts"]["samples"]["packed"] > 4
    assert closing["counts"]["packs"]["planned"] == closing["counts"]["packs"]["bound"]
    assert truths(output) == []


def test_a_finished_job_has_nothing_to_do(closed: tuple[Path, dict[str, Any]], shards: str, tmp_path: Path) -> None:
    shutil.copytree(closed[0], tmp_path / "out")
    before = tree(tmp_path / "out")
    summary = build(tmp_path / "out", shards, *CLOSING)
    assert (summary["units"], summary["new_version"]) == ({"built": 0, "kept": 5}, False)
    assert tree(tmp_path / "out") == before


def test_a_run_that_was_killed_before_the_closing_unit_builds_that_alone(
    closed: tuple[Path, dict[str, Any]], shards: str, tmp_path: Path
) -> None:
    shutil.copytree(closed[0], tmp_path / "out")
    before = tree(tmp_path / "out")
    (tmp_path / "out" / "manifests" / f"{closing_of(tmp_path / 'out')['unit']}.json").unlink()
    shutil.rmtree(tmp_path / "out" / "versions")
    summary = build(tmp_path / "out", shards, *CLOSING)
    assert summary["units"] == {"built": 1, "kept": 4}
    assert tree(tmp_path / "out") == before


@pytest.mark.usefixtures("ray_session")
def test_ray_gives_the_same_bytes_also_for_the_closing_unit_alone(
    closed: tuple[Path, dict[str, Any]], shards: str, tmp_path: Path
) -> None:
    build(tmp_path / "out", shards, *CLOSING, local=False)
    assert tree(tmp_path / "out") == tree(closed[0])
    (tmp_path / "out" / "manifests" / f"{closing_of(tmp_path / 'out')['unit']}.json").unlink()
    assert build(tmp_path / "out", shards, *CLOSING, local=False)["units"] == {"built": 1, "kept": 4}
    assert tree(tmp_path / "out") == tree(closed[0])


def test_another_shard_changes_its_own_unit_and_the_closing_unit(
    closed: tuple[Path, dict[str, Any]], shards: str, tmp_path: Path
) -> None:
    shutil.copytree(closed[0], tmp_path / "out")
    shutil.copytree(Path(shards).parent, tmp_path / "in")
    more = dict(list(documents().items())[-2:])
    write_shard(
        tmp_path / "in" / "small-000004.tar", {name: data for found in more.values() for name, data in found.items()}
    )
    summary = build(tmp_path / "out", str(tmp_path / "in" / "*.tar"), *CLOSING)
    assert summary["units"]["built"] <= 3  # the new one, its neighbour if the border moved, and the closing unit
    assert truths(tmp_path / "out") == []
    build(tmp_path / "fresh", str(tmp_path / "in" / "*.tar"), *CLOSING)
    fresh = tree(tmp_path / "fresh")
    assert {path: fresh[path] for path in fresh if "versions" not in path}.items() <= tree(tmp_path / "out").items()


def test_a_split_document_is_never_carried(shards: str, tmp_path: Path) -> None:
    build(
        tmp_path / "out",
        shards,
        "unit.target_shards=1",
        "sequence_length=512",
        "pack.closing=true",
        "limits.max_reject_ratio=1",
    )
    carried = [
        row["num_parts"]
        for path in (tmp_path / "out" / "index").iterdir()
        for row in pq.read_table(path, columns=["num_parts", "carried"]).to_pylist()
        if row["carried"]
    ]
    assert set(carried) <= {1}
    assert truths(tmp_path / "out") == []


def test_a_sample_of_the_closing_unit_is_explained_and_loaded(closed: tuple[Path, dict[str, Any]]) -> None:
    output, summary = closed
    closing = closing_of(output)
    (path,) = (output / file["path"] for file in closing["files"] if file["kind"] == "data")
    identity = pq.read_table(path, columns=["samples"]).to_pylist()[0]["samples"][0]["id"]
    found = explain(open_output(str(output)), f"{identity['shard']}/{identity['key']}")
    assert (found["outcome"], found["unit"]) == ("packed", closing["unit"])
    assert found["parts"][0]["pack_id"].startswith(closing["unit"])
    assert len(PackedDataset(str(output), rank=0, world_size=1)) == summary["totals"]["tokens"]["packs"]


def test_a_shard_that_changed_before_the_closing_unit_is_told(
    closed: tuple[Path, dict[str, Any]], shards: str, tmp_path: Path
) -> None:
    shutil.copytree(Path(shards).parent, tmp_path / "in")
    pattern = str(tmp_path / "in" / Path(shards).name)
    build(tmp_path / "out", pattern, *CLOSING)
    (tmp_path / "out" / "manifests" / f"{closing_of(tmp_path / 'out')['unit']}.json").unlink()
    with pytest.MonkeyPatch.context() as patch:
        import jobs.build

        read = jobs.build.read_carried

        def meddled(*arguments: Any) -> Any:
            (tmp_path / "in" / "small-000001.tar").write_bytes(b"")
            return read(*arguments)

        patch.setattr(jobs.build, "read_carried", meddled)
        with pytest.raises(StorageError, match=r"small-000001\.tar"):
            build(tmp_path / "out", pattern, *CLOSING)


def packed_and_carried(output: Output) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        next(row for row in rows if not row["carried"])["carried"] = True

    output.table("index", change)


def not_carried(output: Output) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        next(row for row in rows if row["carried"])["carried"] = False

    output.table("index", change)


def closing_of_fewer(output: Output) -> None:
    output.manifest(lambda manifest: manifest["closes"].pop(), unit=-1)


def closing_left_out(output: Output) -> None:
    output.version(lambda version: version["units"].remove(output.units[-1]))


def closing_count_changed(output: Output) -> None:
    output.manifest(lambda manifest: manifest["counts"]["samples"].update(carried=-1), unit=-1)


def sample_of_closing_lost(output: Output) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[0]["samples"][0]["id"]["ordinal"] += 1000

    output.table("data", change, unit=-1)


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        (packed_and_carried, "packed and carried"),
        (not_carried, "neither packed nor rejected"),
        (closing_of_fewer, "closing units of"),
        (closing_left_out, "closing units of"),
        (closing_count_changed, "counts.samples.carried"),
        (sample_of_closing_lost, "no unit carries it to there"),
    ],
)
def test_a_lie_about_the_closing_unit_is_found(
    closed: tuple[Path, dict[str, Any]], tmp_path: Path, lie: Any, told: str
) -> None:
    shutil.copytree(closed[0], tmp_path / "out")
    lie(Output(tmp_path / "out"))
    assert any(told in str(finding) for finding in verify(str(tmp_path / "out")).findings)


def test_damage_that_only_writing_finds_is_rejected_by_the_closing_unit(tmp_path: Path) -> None:
    """Without scores `write` alone decodes a picture, and of a document that was handed on that of the closing unit."""
    for number in range(2):
        members = {}
        for i in range(3):
            key = f"{number}{i}"
            picture = io.BytesIO()
            Image.effect_noise((200, 160), 80).convert("RGB").save(picture, "JPEG")
            whole = picture.getvalue()
            index = {"texts": [f"page {key}", None], "images": [None, "0.jpg"]}
            members[f"{key}.json"] = json.dumps(index).encode()
            members[f"{key}.0.jpg"] = whole[: len(whole) // 2] if key == "11" else whole
        write_shard(tmp_path / "in" / f"s-{number:06d}.tar", members)
    options = ("score=null", "budget=none", "pixels=encoded", "limits.max_reject_ratio=1")
    summary = build(tmp_path / "out", str(tmp_path / "in" / "*.tar"), *CLOSING, *options)
    counts = summary["totals"]["samples"]
    assert {name: counts[name] for name in ("read", "packed", "rejected", "carried")} == {
        "read": 6,
        "packed": 5,
        "rejected": 1,
        "carried": 0,
    }
    closing = closing_of(tmp_path / "out")
    assert closing["counts"]["samples"] | {"packed": 5, "rejected": 1, "carried": -6} == closing["counts"]["samples"]
    assert truths(tmp_path / "out") == []
    found = explain(open_output(str(tmp_path / "out")), "11")
    assert (found["outcome"], found["unit"]) == ("rejected", closing["unit"])
