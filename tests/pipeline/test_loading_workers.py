"""Real workers, real stores and other readers see the same rows."""

from __future__ import annotations

import gc
import threading
import time

import datasets
import pyarrow.parquet as pq
import pytest
import ray
from fsspec.asyn import get_loop, sync
from test_loading import noise, numbered, pack, png, rows, view, write
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from pipeline.loading import PackedDataset
from pipeline.loading.ahead import ahead
from tests.support import BUCKET, build, write_small_shards

SIZES = (9, 1, 12, 5)
STARTED_ANEW = ("forkserver", "spawn")
"""Ways to start a worker that import torch again: 5 s each."""


def collect_in_io_thread(worker):
    """Collects garbage where chance may let it be collected, in the thread of fsspec that serves connections."""

    async def collect():
        gc.collect()

    sync(get_loop(), collect)


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return numbered(tmp_path_factory.mktemp("workers"), *SIZES)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_loader_give_what_one_process_gives(output, method):
    data = PackedDataset(output, rank=1, world_size=2, shuffle=True)
    alone = rows(data)
    loader = DataLoader(data, batch_size=None, num_workers=2, multiprocessing_context=method)
    assert rows(loader) == alone
    assert len(loader) == len(alone)


def test_workers_that_persist_hear_of_the_epoch(output):
    data = PackedDataset(output, shuffle=True)
    loader = DataLoader(data, batch_size=None, num_workers=2, persistent_workers=True)
    first = rows(loader)
    data.set_epoch(1)
    second = rows(loader)
    assert first != second == rows(data)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_stateful_loaders_of_torchdata_resume_where_they_were(output, num_workers):
    def loader():
        return StatefulDataLoader(PackedDataset(output, shuffle=True), batch_size=None, num_workers=num_workers)

    whole = rows(loader())
    for taken in (1, 6, 13, 26):
        begun = loader()
        reader = iter(begun)
        first = [next(reader)["row"] for _ in range(taken)]
        again = loader()
        again.load_state_dict(begun.state_dict())
        assert first + rows(again) == whole


def test_a_state_of_the_whole_pass_starts_every_worker_there(output):
    data = PackedDataset(output, shuffle=True)
    whole = rows(data)
    data.load_state_dict(data.state_dict() | {"epoch": 0, "row": 7})
    assert rows(DataLoader(data, batch_size=None, num_workers=2)) == whole[7:]


def reading_threads():
    """Of this process; threads of other tests may end at any time."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("lodepack-loading")}


def test_reading_ahead_is_bounded_and_ends_with_its_reader():
    drawn = []
    before = reading_threads()

    def numbers():
        for number in range(100):
            drawn.append(number)
            yield number

    reader = ahead(numbers(), 3)
    assert [next(reader) for _ in range(5)] == list(range(5))
    reader.close()
    assert len(drawn) <= 5 + 3
    assert reading_threads() == before


def test_errors_of_reading_ahead_come_in_their_place():
    def numbers():
        yield 1
        raise ValueError("two")

    reader = ahead(numbers(), 4)
    assert next(reader) == 1
    with pytest.raises(ValueError, match="two"):
        next(reader)


@pytest.mark.parametrize("method", [None, pytest.param("spawn", marks=pytest.mark.slow), "fork"])
def test_outputs_in_s3_are_read_as_local_ones(store, tmp_path, method):
    local = numbered(tmp_path, *SIZES)
    store.put(local, f"{BUCKET}/packs-{method}", recursive=True)
    data = PackedDataset(f"s3://{BUCKET}/packs-{method}", shuffle=True)
    num_workers = 0 if method is None else 2
    loader = DataLoader(data, batch_size=None, num_workers=num_workers, multiprocessing_context=method)
    for epoch in range(2):
        data.set_epoch(epoch)
        assert rows(data) == rows(loader)


@pytest.mark.parametrize("method", ["fork", *(pytest.param(name, marks=pytest.mark.slow) for name in STARTED_ANEW)])
def test_workers_and_their_parent_read_s3_in_turn_without_a_stall(store, tmp_path, method):
    store.put(numbered(tmp_path, *SIZES), f"{BUCKET}/turns-{method}", recursive=True)
    data = PackedDataset(f"s3://{BUCKET}/turns-{method}", shuffle=True)
    options = {"batch_size": None, "num_workers": 2, "multiprocessing_context": method}
    loader = DataLoader(data, **options, worker_init_fn=collect_in_io_thread)
    for turn in range(4):
        begun = time.monotonic()
        assert rows(loader) == rows(data)
        # Started anew, two workers take 10 s; a store that is not heard costs two minutes.
        assert time.monotonic() - begun < 40, turn


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A real output, and its packs as pyarrow reads them, by id."""
    folder = tmp_path_factory.mktemp("built")
    build(folder / "out", write_small_shards(folder / "in", 2, 3), "sequence_length=2048")
    paths = sorted((folder / "out" / "data").iterdir())
    packs = {row["pack_id"]: row for path in paths for row in pq.read_table(path).to_pylist()}
    assert any(row["views"] for row in packs.values())
    return [str(path) for path in paths], packs


@pytest.mark.usefixtures("ray_session")
def test_ray_data_reads_the_same_packs(built):
    paths, packs = built
    found = ray.data.read_parquet(paths).take_all()
    assert len(found) == len(packs)
    for row in found:
        expected = packs[row["pack_id"]]
        assert list(row["input_ids"]) == expected["input_ids"]
        assert [list(axis) for axis in row["position_ids"]] == expected["position_ids"]
        assert [view["pixels"]["data"] for view in row["views"]] == [v["pixels"]["data"] for v in expected["views"]]


@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_of_hugging_face_reads_the_same_packs(built, tmp_path, streaming):
    paths, packs = built
    named = {"split": "train", "streaming": streaming, "cache_dir": str(tmp_path)}
    found = list(datasets.load_dataset("parquet", data_files=paths, **named))
    assert {row["pack_id"]: row for row in found} == packs


def test_rows_do_not_hold_the_row_groups_they_came_from(tmp_path):
    arrays = [noise(280, 280, seed) for seed in range(2)]
    packs = [pack(number, [view(array, png(array))]) for number, array in enumerate(arrays)]
    (file,) = PackedDataset(write(tmp_path, [packs]))._packs.files
    found = [row for _, row in PackedDataset(str(tmp_path))._packs.read([0], ["views"])]
    assert found[0]["views"].values.nbytes < 0.6 * file.size
