"""Shards that are no tars, through real local builds: the same tokens as of a tar, the same bytes twice, verified."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from jobs.verify import verify
from pipeline.errors import ConfigError
from tests.calling import call
from tests.support import BUCKET, Documents, build, documents, tree, write_shard

PLAIN = ("score=null", "budget=none", "sequence_length=2048", "unit.target_shards=1", "limits.max_reject_ratio=1")
TALK = [{"from": "human", "value": "What is a layer?"}, {"from": "gpt", "value": "A sheet of the picture."}]
OBELICS = pa.schema([("texts", pa.list_(pa.string())), ("images", pa.list_(pa.binary()))])


def light(count: int) -> Documents:
    """The first documents of the bundled shards, lightest first."""
    found = sorted(documents().items(), key=lambda entry: sum(map(len, entry[1].values())))
    return dict(found[:count])


def write_rows(path: Path, found: Documents) -> None:
    """The documents as rows of OBELICS, a few in a row group."""
    rows = [json.loads(members[f"{key}.json"]) for key, members in found.items()]
    for row, (key, members) in zip(rows, found.items(), strict=True):
        row["images"] = [None if name is None else members[f"{key}.{name}"] for name in row["images"]]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, OBELICS), path, row_group_size=3)


def indexed(output: Path) -> list[Any]:
    """What the index says of every sample but where it is from."""
    (path,) = (output / "index").glob("*.parquet")
    fields = ("kind", "ids", "labels", "format", "plan", "runs")
    return [[[one[name] for name in fields] for one in row["segments"]] for row in pq.read_table(path).to_pylist()]


def test_rows_of_obelics_give_the_tokens_and_pixels_of_the_same_documents_in_a_tar(tmp_path: Path) -> None:
    found = light(8)
    write_rows(tmp_path / "rows" / "a.parquet", found)
    write_shard(
        tmp_path / "tar" / "a.tar", {name: data for members in found.values() for name, data in members.items()}
    )
    for name, pattern in (("rows", "*.parquet"), ("again", "*.parquet"), ("tar", "*.tar")):
        folder = tmp_path / ("tar" if name == "tar" else "rows")
        summary = build(tmp_path / f"{name}-out", f"{folder}/{pattern}", *PLAIN)
        assert summary["totals"]["samples"]["packed"] == 8
    assert tree(tmp_path / "rows-out") == tree(tmp_path / "again-out")
    assert indexed(tmp_path / "rows-out") == indexed(tmp_path / "tar-out")
    assert verify(str(tmp_path / "rows-out")).findings == []


def test_a_job_mixes_containers_and_its_rejects_are_requeued(tmp_path: Path) -> None:
    found = light(4)
    large = dict(list(light(60).items())[-1:])
    write_rows(tmp_path / "in" / "a.parquet", found | large)
    write_shard(tmp_path / "in" / "b.tar", {name: data for members in found.values() for name, data in members.items()})
    lines = [json.dumps({"conversations": TALK}), "", "no json", *[json.dumps({"conversations": TALK})] * 3]
    (tmp_path / "in" / "c.jsonl").write_text("\n".join(lines))
    sources = (
        f"input={{sources: {{pages: {{shards: '{tmp_path}/in/{{a.parquet,b.tar}}', weight: 1.5}}, "
        f"talk: {{shards: '{tmp_path}/in/*.jsonl', format: conversations}}}}}}"
    )
    most = max(len(data) for members in found.values() for data in members.values())
    fields = (*PLAIN, f"limits.max_member_bytes={most}")
    summary = build(tmp_path / "out", None, sources, *fields)
    assert summary["reasons"] == {"field-invalid": 1, "member-too-large": 1}
    assert verify(str(tmp_path / "out")).findings == []
    result = call("requeue", tmp_path / "out", "--to", tmp_path / "more", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["num_samples"] == 2
    with tarfile.open(tmp_path / "more" / "shards" / "pages" / "a.parquet.tar") as archive:
        names = archive.getnames()
    assert names[0] == "00000004.json"
    assert all(name.startswith("00000004.") for name in names)
    with tarfile.open(tmp_path / "more" / "shards" / "talk" / "c.jsonl.tar") as archive:
        member = archive.extractfile("00000002.json")
        assert member is not None
        assert member.read() == b"no json"
    result = call("run", tmp_path / "more" / "requeue.yaml", "--local", "--set", "limits.max_member_bytes=10000000")
    assert result.code == 0, result.err


def test_a_limit_counts_rows_and_lines(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.parquet", light(7))
    summary = build(tmp_path / "out", f"{tmp_path}/*.parquet", *PLAIN, limit=4)
    assert summary["totals"]["samples"]["packed"] == 4
    assert summary["totals"]["samples"]["withheld"] == 3
    assert verify(str(tmp_path / "out")).findings == []


@pytest.mark.slow
def test_rows_and_lines_on_s3_give_the_bytes_of_local_ones(store: s3fs.S3FileSystem, tmp_path: Path) -> None:
    write_rows(tmp_path / "in" / "a.parquet", light(7))
    (tmp_path / "in" / "b.jsonl").write_text('{"texts": ["One."], "images": [null]}\nno json\n')
    for path in (tmp_path / "in").iterdir():
        store.put_file(str(path), f"{BUCKET}/containers/{path.name}")
    for name, folder in (("local", f"{tmp_path}/in"), ("remote", f"s3://{BUCKET}/containers")):
        build(tmp_path / name, f"{folder}/{{a.parquet,b.jsonl}}", *PLAIN)
    assert tree(tmp_path / "local") == tree(tmp_path / "remote")
    assert verify(str(tmp_path / "remote")).findings == []


@pytest.mark.slow
def test_rows_and_lines_run_on_ray_to_the_bytes_of_a_local_build(tmp_path: Path) -> None:
    write_rows(tmp_path / "in" / "a.parquet", light(7))
    (tmp_path / "in" / "b.jsonl").write_text('{"texts": ["One."], "images": [null]}\nno json\n')
    for name, local in (("local", True), ("ray", False)):
        build(tmp_path / name, f"{tmp_path}/in/*", *PLAIN, local=local)
    assert tree(tmp_path / "local") == tree(tmp_path / "ray")


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_the_source_of_pixels_cannot_be_a_shard_without_ranges(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ConfigError, match=rf"pixels: source, and \S*{name} is no tar; .* say pixels: encoded"):
        build(tmp_path / "out", f"{tmp_path}/{name}", "pixels=source")
