"""`lodepack requeue`: rejected samples, cut out as they were, and the job that packs them when a limit is raised."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest
import yaml
from PIL import Image

from jobs.requeue import requeue_rejects
from jobs.verify import verify
from pipeline.errors import ConfigError, StorageError
from tests.calling import call
from tests.support import build, write_shard

FIELDS = ("sequence_length=2048", "score=null", "budget=none", "limits.max_reject_ratio=1", "limits.max_image_pixels=50000", "input.format=pairs")  # fmt: skip # noqa: E501

ODD_KEYS = ("../../up", "/abs", f"{'d' * 90}/../ünïcode{'k' * 60}")


def png(width: int, height: int, shade: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (shade, shade, 9)).save(stream, "PNG")
    return stream.getvalue()


def members(*keys: str, size: int = 300) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for number, key in enumerate(keys):
        found |= {f"{key}.png": png(size, size, number), f"{key}.txt": f"text of {key}".encode()}
    return found


@pytest.fixture
def shards(tmp_path: Path) -> str:
    """Two shards of one base name: small pictures, large ones, one that is none, a nameless member, no end mark."""
    odd = {"none.png": b"no picture", "none.txt": b"t", "nameless": b"n"}
    write_shard(
        tmp_path / "in" / "a.tar",
        members("s1", size=100) | members("big") | members("s2", size=100) | members("big.x") | odd,
    )
    cut = write_shard(tmp_path / "in" / "q" / "a.tar", members(*ODD_KEYS) | members("s3", size=100))
    cut.write_bytes(cut.read_bytes().rstrip(b"\0") + bytes(100))
    return f"{tmp_path}/in/{{a.tar,q/a.tar}}"


def test_samples_rejected_for_a_limit_are_packed_by_the_requeued_job_when_it_is_raised(
    shards: str, tmp_path: Path
) -> None:
    first = build(tmp_path / "out", shards, *FIELDS)
    assert first["reasons"] == {"image-too-large": 5, "format-not-allowed": 1, "name-invalid": 1, "tar-truncated": 1}
    result = call("requeue", tmp_path / "out", "--to", tmp_path / "again", "--json")
    assert result.code == 0, result.err
    requeued = json.loads(result.out)
    assert requeued["reasons"] == {
        "format-not-allowed": {"requeued": 1, "left": 0},
        "image-too-large": {"requeued": 5, "left": 0},
        "name-invalid": {"requeued": 0, "left": 1},
        "tar-truncated": {"requeued": 0, "left": 1},
    }
    assert requeued["num_samples"] == 6
    job = tmp_path / "again" / "requeue.yaml"
    same = call("run", job, "--local", "--json")
    assert json.loads(same.out)["reasons"] == {"format-not-allowed": 1, "image-too-large": 5}
    raised = call("run", job, "--local", "--json", "--set", "limits.max_image_pixels=1000000", "--rebuild")
    found = json.loads(raised.out)
    assert found["totals"]["samples"]["packed"] == 5
    assert found["reasons"] == {"format-not-allowed": 1}
    assert verify(str(tmp_path / "again" / "out")).findings == []


def test_members_go_from_tar_to_tar_as_they_were_and_never_onto_the_disk(shards: str, tmp_path: Path) -> None:
    build(tmp_path / "out", shards, *FIELDS)
    requeue_rejects(str(tmp_path / "out"), str(tmp_path / "again"), ["image-too-large"])
    written = {str(path.relative_to(tmp_path / "again")) for path in (tmp_path / "again").rglob("*")}
    assert written == {"requeue.yaml", "shards", "shards/a.tar", "shards/q", "shards/q/a.tar"}
    with tarfile.open(tmp_path / "again" / "shards" / "q" / "a.tar") as archive:
        found = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert found == members(*ODD_KEYS)


def test_samples_that_would_be_one_side_by_side_are_kept_apart_or_left(tmp_path: Path) -> None:
    between = members("s", size=100)
    write_shard(tmp_path / "a.tar", members("big") | between | members("big.x") | members("t", size=100) | members("z"))
    build(tmp_path / "out", str(tmp_path / "a.tar"), *FIELDS)
    apart = requeue_rejects(str(tmp_path / "out"), str(tmp_path / "apart"), [])
    assert apart["reasons"] == {"image-too-large": {"requeued": 3, "left": 0}}
    again = build(tmp_path / "packed", str(tmp_path / "apart/shards/a.tar"), *FIELDS, "limits.max_image_pixels=1000000")
    assert again["totals"]["samples"]["packed"] == 3
    write_shard(tmp_path / "a.tar", members("big") | between | members("big.x"))
    build(tmp_path / "two", str(tmp_path / "a.tar"), *FIELDS)
    left = requeue_rejects(str(tmp_path / "two"), str(tmp_path / "left"), [])
    assert left["reasons"] == {"image-too-large": {"requeued": 1, "left": 1}}


def test_each_source_of_a_mixture_is_requeued_under_its_name_and_in_full(tmp_path: Path) -> None:
    for name in ("one", "two", "sound"):
        size = 100 if name == "sound" else 300
        write_shard(tmp_path / name / "a.tar", members(*(f"{name}{i}" for i in range(8)), size=size))
    sources = ", ".join(
        f"{name}: {{shards: {tmp_path}/{name}/a.tar, format: pairs, weight: {weight}, max_samples: 6}}"
        for name, weight in (("one", 0.5), ("two", 1), ("sound", 1))
    )
    fields = [field for field in FIELDS if not field.startswith("input.")]
    first = build(tmp_path / "out", None, *fields, f"input={{sources: {{{sources}}}}}")
    requeued = requeue_rejects(str(tmp_path / "out"), str(tmp_path / "again"), [])
    assert requeued["num_samples"] == first["totals"]["samples"]["rejected"] == 9
    job = yaml.safe_load((tmp_path / "again" / "requeue.yaml").read_text())
    assert job["input"]["sources"].keys() == {"one", "two"}
    result = call("run", requeued["job"], "--local", "--json", "--set", "limits.max_image_pixels=1000000")
    assert json.loads(result.out)["totals"]["samples"]["packed"] == 9


def test_what_cannot_be_requeued_is_one_clear_error(shards: str, tmp_path: Path) -> None:
    build(tmp_path / "out", shards, *FIELDS)
    output = str(tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(ConfigError, match="is not empty"):
        requeue_rejects(output, str(tmp_path / "full"), [])
    with pytest.raises(ConfigError, match="--reason nonsense: choose "):
        requeue_rejects(output, str(tmp_path / "x"), ["nonsense"])
    with pytest.raises(ConfigError, match="rejected no sample for no-loss"):
        requeue_rejects(output, str(tmp_path / "x"), ["no-loss"])
    with pytest.raises(ConfigError, match="a folder whose path has none of"):
        requeue_rejects(output, str(tmp_path / "x*"), [])
    with pytest.raises(ConfigError, match="a local path is expected"):
        requeue_rejects(output, "s3://bucket/x", [])
    write_shard(tmp_path / "in" / "a.tar", members("big"))
    with pytest.raises(StorageError, match="is not the shard that was packed"):
        requeue_rejects(output, str(tmp_path / "y"), [])
    shutil.rmtree(tmp_path / "out" / "runs")
    with pytest.raises(ConfigError, match="does not record its job"):
        requeue_rejects(output, str(tmp_path / "z"), [])
