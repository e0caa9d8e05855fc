"""A run says what `write` asked of the stores, and nothing of it gets into the data set."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs import build as building
from jobs.progress import print_summary
from pipeline.sink import Sink
from tests.support import build, documents, tree, write_small_shards

FIELDS = ("unit.target_shards=1", "sequence_length=2048", "score=null", "budget=none")


def test_ranges_that_write_fetched_are_summed_by_unit_and_are_in_no_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sinks: list[Sink] = []
    monkeypatch.setattr(building, "Sink", lambda *given: sinks.append(Sink(*given)) or sinks[-1])
    shards = write_small_shards(tmp_path / "in", 3, 4)
    summary = build(tmp_path / "out", shards, *FIELDS)
    (sink,) = sinks
    assert sink.traffic.keys() == sink.manifests.keys()
    for name in ("requests", "bytes", "retries"):
        assert summary["requests"][name] == sum(unit[name] for unit in sink.traffic.values())
    pictures = sum(len(data) for shard in (tmp_path / "in").iterdir() for data in pngs(shard))
    assert summary["requests"]["retries"] == 0
    assert summary["requests"]["bytes"] >= pictures > 0
    for path in (tmp_path / "out/manifests").iterdir():
        assert b"traffic" not in path.read_bytes()
    assert build(tmp_path / "none", shards, *FIELDS, "pixels=none")["requests"]["requests"] == 0
    assert tree(tmp_path / "out").keys() != tree(tmp_path / "none").keys()


def pngs(shard: Path) -> list[bytes]:
    found = {data for members in documents(shard).values() for name, data in members.items() if name.endswith(".png")}
    return sorted(found)


@pytest.mark.parametrize(("retries", "line"), [(0, ""), (3, "3 retries; 12 ranges of 2.5 MB read to write")])
def test_retries_have_a_line_if_there_were_any(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, retries: int, line: str
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    summary = build(tmp_path / "out", write_small_shards(tmp_path / "in", 1, 2), *FIELDS, "pixels=none")
    print_summary(summary | {"requests": {"requests": 12, "bytes": 2_500_000, "retries": retries}})
    found = [one for one in capsys.readouterr().out.splitlines() if " retries;" in one]
    assert bool(found) == bool(line)
    assert all(line in one for one in found)
