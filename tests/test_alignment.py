"""Aligned documents begin at multiples, their padding is theirs, and nothing else changes."""

import pyarrow.parquet as pq
import pytest
from support import build, write_small_shards

from jobs.verify import verify
from pipeline.errors import ConfigError
from pipeline.types import Modality


def packs_of(output):
    return [row for path in sorted((output / "data").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_small_shards(tmp_path_factory.mktemp("aligned"), 2, 6)


@pytest.mark.parametrize("profile", ["qwen2_5_vl", "llava_next"])
def test_documents_begin_at_multiples_and_are_padded_to_them(shards, tmp_path, profile):
    options = ("budget=none", "score=null", "pixels=none", "loss_weights=token", f"profile={profile}")
    build(tmp_path / "plain", shards, *options)
    summary = build(tmp_path / "out", shards, *options, "pack.align=16")
    assert [finding.what for finding in verify(str(tmp_path / "out")).findings] == []
    plain = {
        sample["id"]["key"]: row["input_ids"][sample["start"] : sample["start"] + sample["length"]]
        for row in packs_of(tmp_path / "plain")
        for sample in row["samples"]
    }
    added = 0
    for row in packs_of(tmp_path / "out"):
        assert all(border % 16 == 0 for border in row["cu_seqlens"])
        ends = row["cu_seqlens"][1:]
        for number, (sample, end) in enumerate(zip(row["samples"], ends, strict=False)):
            start, stop = sample["start"], sample["start"] + sample["length"]
            assert row["input_ids"][start:stop] == plain[sample["id"]["key"]]
            assert set(row["modality"][stop:end]) <= {Modality.PADDING}
            assert set(row["labels"][stop:end]) <= {-100}
            assert set(row["loss_weights"][stop:end]) <= {0.0}
            assert set(row["segment_ids"][start:end]) == {number}
            assert row["cu_seqlens_unpadded"][number + 1] - row["cu_seqlens_unpadded"][number] == sample["length"]
            added += end - stop
    assert summary["totals"]["tokens"]["alignment"] == added > 0


def test_alignment_that_does_not_divide_the_length_is_told_before_any_work(shards, tmp_path):
    with pytest.raises(ConfigError, match=r"pack\.align is 24, which does not divide sequence_length, 8192"):
        build(tmp_path / "out", shards, "pack.align=24")


@pytest.mark.parametrize("limit", ["images", "patches", "tiles", "squares"])
def test_every_limit_binds(shards, tmp_path, limit):
    options = ("score=null", "budget=none", "pixels=none")
    free = build(tmp_path / "free", shards, *options)
    (index,) = (tmp_path / "free" / "index").glob("*.parquet")
    lengths = [row["lengths"] for row in pq.read_table(index, columns=["lengths"]).to_pylist()]
    sizes = [found["tokens"] ** 2 if limit == "squares" else found[limit] for found in lengths]
    most = max(*sizes, sum(sizes) // 2)
    bound = build(tmp_path / "bound", shards, *options, f"pack.limits.{limit}={most}")
    assert free["totals"]["tokens"]["packs"] < bound["totals"]["tokens"]["packs"]
    assert bound["totals"]["packs"]["bound"] == -(-sum(sizes) // most)
    assert [finding.what for finding in verify(str(tmp_path / "bound")).findings] == []
