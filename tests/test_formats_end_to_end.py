"""Every format: what is read is written back the same, `auto` names it, and a build of it verifies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.verify import verify
from pipeline.errors import ConfigError
from pipeline.formats import FORMATS
from pipeline.formats.recognise import recognise
from pipeline.read import samples_of
from pipeline.schema import SEGMENT
from pipeline.tar import Member
from pipeline.types import ReadLimits, Sample
from tests.formats_made import MAKERS, Members, made
from tests.support import build, tree, write_shard

LIMITS = ReadLimits(1 << 20, 1 << 20, 1 << 20, 1000)
PLAIN = ("score=null", "budget=none")
ALSO = {("interleaved", "energon")}
"""A format, and another that reads the same samples: Energon's names of pictures may be numbers."""


def members_of(files: Members) -> list[Member]:
    return [Member(name, 512 * place, len(data), data) for place, (name, data) in enumerate(files.items())]


def read(files: Members, name: str) -> list[Sample]:
    return list(samples_of(members_of(files), FORMATS[name], LIMITS))


def content(sample: Sample) -> list[tuple[object, ...]]:
    """A document without the places that it came from."""
    return [(s.kind, s.text, s.data, s.role, s.turn, s.encoding) for s in sample.segments]


def written(tmp_path: Path, name: str) -> str:
    return str(write_shard(tmp_path / "in" / f"{name}-000000.tar", made(name)))


@pytest.mark.parametrize("name", MAKERS)
def test_documents_are_written_back_and_read_the_same(name: str) -> None:
    found = read(made(name), name)
    assert len(found) > 1
    assert all(sample.rejection is None for sample in found)
    back = {member: data for sample in found for member, data in FORMATS[name].to_members(sample)}
    again = read(back, name)
    assert [(one.key, content(one)) for one in again] == [(one.key, content(one)) for one in found]


@pytest.mark.parametrize("name", MAKERS)
def test_auto_names_every_format_and_says_why(name: str) -> None:
    files = made(name)
    found = recognise(members_of(files))
    assert found is not None
    assert (found.format, found.num_documents) == (name, found.num_samples)
    assert found.why.startswith("begins with ")
    assert any(member in found.why for member in files)


def test_auto_says_what_it_saw() -> None:
    found = recognise(members_of(made("interleaved")))
    assert found is not None
    assert found.why == ("begins with 0000.json, which has the lists texts and images, and 0000.0.png")


@pytest.mark.parametrize("name", MAKERS)
def test_every_other_format_is_told_what_the_shard_looks_like(name: str, tmp_path: Path) -> None:
    shard = written(tmp_path, name)
    for other in MAKERS.keys() - {name}:
        if (name, other) in ALSO:
            continue
        with pytest.raises(ConfigError) as caught:
            build(tmp_path / "out", shard, f"input.format={other}", *PLAIN)
        line = str(caught.value)
        assert line.startswith(f"input.format is {other}, and {name}-000000.tar looks like {name} (")
        assert line.endswith(f"say format: {name}, or auto")
    assert not (tmp_path / "out").exists()


def packable(name: str) -> Members:
    """The fixture as far as a build of this schema can pack it."""
    files = made(name)
    if name == "mmc4" and "encoding" not in [field.name for field in SEGMENT]:
        files.pop("0000.json")
    return files


def test_builds_of_all_formats_verify_and_auto_gives_their_bytes(tmp_path: Path) -> None:
    """As the sources of one mixture: a build takes seconds to start, whatever it reads."""
    for name in MAKERS:
        write_shard(tmp_path / "in" / f"{name}-000000.tar", packable(name))

    def mixture(formats: dict[str, str]) -> str:
        sources = (f"{name}: {{shards: {tmp_path}/in/{name}-*.tar, format: {form}}}" for name, form in formats.items())
        return f"input={{sources: {{{', '.join(sources)}}}}}"

    summary = build(tmp_path / "auto", None, mixture(dict.fromkeys(MAKERS, "auto")), *PLAIN)
    assert {name: source["format"] for name, source in summary["sources"].items()} == {name: name for name in MAKERS}
    assert all(line.startswith(f"{name}: {name}/{name}-000000.tar ") for name, line in summary["recognised"].items())
    assert summary["recognised"].keys() == MAKERS.keys()
    assert summary["totals"]["samples"]["rejected"] == 0
    assert verify(str(tmp_path / "auto")).findings == []
    again = build(tmp_path / "named", None, mixture({name: name for name in MAKERS}), *PLAIN)
    assert again["recognised"] == {}
    assert tree(tmp_path / "auto") == tree(tmp_path / "named")


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_build_of_every_format_alone_verifies(name: str, tmp_path: Path) -> None:
    shard = str(write_shard(tmp_path / "in" / f"{name}-000000.tar", packable(name)))
    build(tmp_path / "out", shard, f"input.format={name}", *PLAIN)
    assert verify(str(tmp_path / "out")).findings == []


def test_auto_passes_over_shards_in_which_nothing_can_be_read(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", {})
    (tmp_path / "b.tar").write_bytes(b"junk" * 4000)
    write_shard(tmp_path / "c.tar", made("text"))
    summary = build(tmp_path / "out", f"{tmp_path}/*.tar", "input.format=auto", *PLAIN, "limits.max_reject_ratio=1")
    assert summary["recognised"] == {"input": "text: c.tar begins with a.txt"}
    assert summary["totals"]["samples"]["packed"] == len(made("text"))


def test_auto_that_knows_nothing_lists_what_it_saw(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", {"x.html": b"<p>", "y.pdf": b"%PDF"})
    with pytest.raises(
        ConfigError, match=r"input.format is auto, and a.tar looks like none of .*: it has x.html, y.pdf"
    ):
        build(tmp_path / "out", str(shard), "input.format=auto", *PLAIN)


def test_shard_that_no_format_knows_is_left_to_be_rejected(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", {"0.json": b"{", "0.0.png": b"x"})
    summary = build(tmp_path / "out", str(shard), *PLAIN, "limits.max_reject_ratio=1")
    assert summary["totals"]["samples"]["rejected"] == 1


def test_sidecar_of_img2dataset_is_told_of_and_is_no_shard(tmp_path: Path) -> None:
    shard = written(tmp_path, "pairs")
    status = ["success"] * 3 + ["failed_to_download"] * 2
    pq.write_table(pa.table({"key": list("abcde"), "status": status}), shard.replace(".tar", ".parquet"))
    Path(shard.replace(".tar", "_stats.json")).write_text("{}")
    summary = build(tmp_path / "out", shard, "input.format=auto", *PLAIN)
    assert summary["recognised"]["input"].endswith(
        "; pairs-000000.parquet beside it lists 5 pictures, 3 of them downloaded"
    )
    with pytest.raises(ConfigError, match=r"names .*\.parquet, which stands beside a shard, .*\.tar, and is none"):
        build(tmp_path / "other", f"{tmp_path}/in/*", "input.format=pairs", *PLAIN)


def test_texts_that_are_too_large_beside_carried_pictures_are_rejected() -> None:
    files = made("mmc4")
    limits = replace(LIMITS, text_bytes=400)
    samples = list(samples_of(members_of(files), FORMATS["mmc4"], limits))
    assert samples[0].rejection is None
    assert len(files["0000.json"]) > 1000
    samples = list(samples_of(members_of(files), FORMATS["mmc4"], replace(LIMITS, text_bytes=60)))
    assert samples[0].rejection is not None
    assert samples[0].rejection.reason == "text-too-large"
