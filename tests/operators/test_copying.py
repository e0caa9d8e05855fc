"""Views come out of older packs as they lie there; what is not there is not made up, and no more is read than that."""

from collections import Counter

import pyarrow.parquet as pq
import pytest
from support import build, write_small_shards

from operators.copying import OlderViews, Shown


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    """Data files of more than one row group."""
    folder = tmp_path_factory.mktemp("copying")
    options = ("score=null", "budget=none", "sequence_length=512", "limits.max_reject_ratio=1")
    build(folder / "out", write_small_shards(folder / "in", 2, 12), *options)
    files = sorted(map(str, (folder / "out" / "data").iterdir()))
    assert pq.ParquetFile(files[0]).num_row_groups > 1
    return files


def views(files):
    """What each view of the packs shows, its pixels, and its row group."""
    for file in files:
        with pq.ParquetFile(file) as packs:
            for group in range(packs.num_row_groups):
                for row in packs.read_row_group(group).to_pylist():
                    pictures = Counter((view["sample"], view["image"]) for view in row["views"])
                    for view in row["views"]:
                        identity = row["samples"][view["sample"]]["id"]
                        size = (view["height"], view["width"])
                        place = (identity["shard"], identity["ordinal"], view["image"], view["kind"])
                        of = pictures[view["sample"], view["image"]]
                        yield Shown(*place, tuple(view["box"]), *size, of), view["pixels"], (file, group)


def test_pixels_are_those_of_the_view(packs, tmp_path):
    known = list(views(packs))
    copies = OlderViews(packs).copies({shown for shown, _, _ in known}, tmp_path)
    for shown, pixels, _ in known:
        found = copies.get(shown)
        assert (found["data"], found["format"]) == (pixels["data"], pixels["format"])
    assert len({pixels["data"] for _, pixels, _ in known}) > 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change", [{"ordinal": 999}, {"image": 7}, {"box": (0, 0, 1, 1)}, {"height": 28}, {"kind": "tile"}, {"of": 2}]
)
def test_a_view_that_shows_anything_else_is_not_there(packs, tmp_path, change):
    shown = max((shown for shown, _, _ in views(packs)), key=lambda shown: shown.height)
    copies = OlderViews(packs).copies({shown, shown._replace(**change)}, tmp_path)
    assert copies.get(shown) is not None
    assert copies.get(shown._replace(**change)) is None


def test_pixels_are_read_of_the_row_groups_alone_that_hold_a_wanted_view(packs, tmp_path, monkeypatch):
    shown, _, (_, group) = list(views(packs))[-1]
    older = OlderViews(packs)
    read = []
    original = pq.ParquetFile.read_row_group

    def noted(self, number, columns):
        read.append((number, columns))
        return original(self, number, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noted)
    older.copies({shown}, tmp_path)
    ((number, columns),) = read
    assert number == group > 0
    assert all("pixels" in column for column in columns)


def test_samples_of_the_packs_are_known(packs):
    older = OlderViews(packs)
    assert older.holds("small-000000.tar", 0)
    assert not older.holds("small-000000.tar", 999)
    assert not older.holds("other.tar", 0)
