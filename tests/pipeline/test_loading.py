"""A trainer gets every pack once, in order, at whatever place it resumes, as its model takes it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from pipeline.errors import ConfigError, StorageError
from pipeline.loading import PackedDataset, collate, row_groups
from pipeline.loading.packs import open_packs
from pipeline.schema import SCHEMA_VERSION, pack_schema
from pipeline.units import recipe_hash

LENGTH = 12
NO_COUNTS = {"counts": {}, "reasons": {}}
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
QWEN = {"scheme": "qwen", "patch": 14, "merge": 2}
LLAVA = {"scheme": "llava_next", "patch": 14}


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def png(array):
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return {"data": out.getvalue(), "format": "png"}


def view(array, pixels, **fields):
    height, width = array.shape[:2]
    defaults = {"sample": 0, "image": 0, "kind": "whole", "box": [0, 0, width, height], "grid_t": 1}
    grid = {"height": height, "width": width, "grid_h": height // 14, "grid_w": width // 14}
    return defaults | grid | {"pixels": pixels} | fields


def pack(number, views=(), num_rows=3):
    """Documents of 5 and 4 tokens, and 3 of padding."""
    positions = [*range(5), *range(4), *range(3)]
    return {
        "pack_id": f"pack-{number}",
        "input_ids": [number * 100 + i for i in range(LENGTH)],
        "labels": [-100, *range(1, 5), -100, *range(6, 9), -100, -100, -100],
        "position_ids": [[row * 10 + i for i in positions] for row in range(num_rows)],
        "cu_seqlens": [0, 5, 9, LENGTH],
        "views": list(views),
    }


def write(folder, files, *, slicing=QWEN, rule="mrope", pixels="encoded", schema=None, sources=("input",), **version):
    """A finished output of these files of packs, row groups of two; each file is of another unit, sources in turn."""
    units = []
    for number, packs in enumerate(files):
        path = folder / f"data/u{number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(packs, schema or pack_schema()), path, row_group_size=2)
        size = path.stat().st_size
        entry = {"path": f"data/u{number}.parquet", "bytes": size, "rows": len(packs), "kind": "data"}
        index = {"path": "i", "bytes": 1, "rows": 9, "kind": "index"}
        put_manifest(folder, f"u{number}", [index | {"sha256": ""}, entry | {"sha256": ""}])
        units.append(f"u{number}")
    profile = {"name": "p", "slicing": slicing, "positions": {"rule": rule}, "mean": MEAN, "std": STD}
    job = {"pixels": pixels, "sequence_length": LENGTH, "pack": {"long_documents": "split"}}
    recipe = {"profile": profile, "job": job}
    source = {"format": "pairs", "weight": 1.0, "max_samples": None, "totals": {}}
    named = {name: source | {"units": units[i :: len(sources)]} for i, name in enumerate(sources)}
    common = {"schema_version": SCHEMA_VERSION, "recipe_id": recipe_hash(recipe), "recipe": recipe}
    content = common | {"units": units, "sources": named, "totals": {}, "reasons": {}, "withheld_shards": []} | version
    put(folder / "versions/000001.json", content)
    return str(folder)


def put_manifest(folder, unit, files):
    common = {"schema_version": SCHEMA_VERSION, "recipe_id": recipe_hash({}), "recipe": {}}
    put(folder / f"manifests/{unit}.json", common | {"unit": unit, "inputs": [], "files": files} | NO_COUNTS)


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def numbered(folder, *sizes, sources=("input",)):
    """An output whose files have so many packs, without pictures; they are of the sources in turn."""
    firsts = np.cumsum([0, *sizes])
    files = [[pack(first + i) for i in range(size)] for first, size in zip(firsts, sizes, strict=False)]
    return write(folder, files, pixels="none", sources=sources)


def rows(data):
    return [row["row"] for row in data]


def only(folder, views, **options):
    """The model's keywords of an output's one pack."""
    (row,) = PackedDataset(write(folder, [[pack(0, views)]], **options))
    return row["model"]


def test_packs_come_in_the_order_of_units_and_files(tmp_path):
    found = list(PackedDataset(numbered(tmp_path, 3, 0, 4)))
    assert [(row["row"], row["pack_id"]) for row in found] == [(i, f"pack-{i}") for i in range(7)]
    assert [row["model"]["input_ids"][0, 0].item() for row in found] == [100 * i for i in range(7)]


def test_a_row_is_a_batch_of_one_that_nothing_masks_or_caches(tmp_path):
    (row,) = PackedDataset(numbered(tmp_path, 1))
    model = row["model"]
    assert sorted(model) == ["input_ids", "labels", "position_ids", "use_cache"]
    assert model["use_cache"] is False
    assert model["input_ids"].shape == model["labels"].shape == (1, LENGTH)
    assert {model[name].dtype for name in ("input_ids", "labels", "position_ids")} == {torch.int64}
    assert (row["cu_seqlens"].dtype, row["cu_seqlens"].tolist(), row["max_seqlen"]) == (torch.int32, [0, 5, 9, 12], 5)


def test_mrope_has_the_text_row_first(tmp_path):
    (row,) = PackedDataset(numbered(tmp_path, 1))
    positions = row["model"]["position_ids"]
    assert positions.shape == (4, 1, LENGTH)
    assert positions[0, 0].tolist() == [*range(5), *range(4), *range(3)]
    assert positions[1:, 0, 5].tolist() == [0, 10, 20]


def test_one_row_of_positions_stays_one(tmp_path):
    (row,) = PackedDataset(write(tmp_path, [[pack(0, num_rows=1)]], slicing=LLAVA, rule="1d", pixels="none"))
    assert row["model"]["position_ids"].tolist() == [[*range(5), *range(4), *range(3)]]


def test_loss_weights_come_beside_the_model_where_packs_have_them(tmp_path):
    weights = np.linspace(0, 1, LENGTH, dtype=np.float32)
    weighted = pack(0) | {"loss_weights": weights}
    (row,) = PackedDataset(write(tmp_path, [[weighted]], pixels="none", schema=pack_schema(weighted=True)))
    assert (row["loss_weights"].shape, row["loss_weights"].dtype) == ((1, LENGTH), torch.float32)
    assert row["loss_weights"][0].tolist() == weights.tolist()
    assert "loss_weights" not in row["model"]


@pytest.mark.parametrize("form", ["png", "patches"])
def test_qwen_patches_are_normalised_paired_and_in_block_order(tmp_path, form):
    array = noise(56, 84)
    blocks = array.reshape(2, 2, 14, 3, 2, 14, 3).transpose(0, 3, 1, 4, 6, 2, 5)
    pixels = png(array) if form == "png" else {"data": blocks.tobytes(), "format": "patches"}
    model = only(tmp_path, [view(array, pixels), view(array, pixels)])
    assert model["image_grid_thw"].tolist() == [[1, 4, 6]] * 2
    assert (model["pixel_values"].shape, model["pixel_values"].dtype) == ((48, 1176), torch.float32)
    patches = model["pixel_values"].reshape(2, 2, 3, 2, 2, 3, 2, 14, 14)
    # The second block of the first row, its upper right patch, green, second of the pair.
    expected = (array[0:14, 42:56, 1] / 255 - MEAN[1]) / STD[1]
    np.testing.assert_allclose(patches[1, 0, 1, 0, 1, 1, 1], expected, atol=1e-6)
    assert torch.equal(patches[..., 0, :, :], patches[..., 1, :, :])


@pytest.mark.parametrize("form", ["png", "planes"])
def test_llava_next_tiles_stand_in_one_stack_with_their_images_sizes(tmp_path, form):
    def pixels(array):
        return png(array) if form == "png" else {"data": array.transpose(2, 0, 1).tobytes(), "format": "planes"}

    arrays = [noise(28, 28, seed) for seed in range(5)]
    kinds = ["whole", "tile", "tile", "whole", "tile"]
    boxes = [[0, 0, 40, 30], [0, 0, 20, 30], [20, 0, 40, 30], [0, 0, 7, 9], [0, 0, 7, 9]]
    views = [
        view(array, pixels(array), kind=kind, box=box) for array, kind, box in zip(arrays, kinds, boxes, strict=True)
    ]
    packs = [[pack(0, views, num_rows=1)]]
    (row,) = PackedDataset(write(tmp_path, packs, slicing=LLAVA, rule="1d", pixels="encoded"))
    model = row["model"]
    assert model["image_sizes"].tolist() == [[30, 40], [9, 7]]
    assert model["pixel_values"].shape == (5, 3, 28, 28)
    expected = (np.stack(arrays) / 255 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(model["pixel_values"], expected.transpose(0, 3, 1, 2), atol=1e-6)


def test_internvl_tiles_come_without_sizes(tmp_path):
    array = noise(28, 28)
    slicing = {"scheme": "internvl", "patch": 14, "merge": 2}
    model = only(tmp_path, [view(array, png(array))], slicing=slicing)
    assert model["pixel_values"].shape == (1, 3, 28, 28)
    assert "image_sizes" not in model


def test_packs_without_pictures_have_no_pixels(tmp_path):
    assert "pixel_values" not in only(tmp_path / "no-views", [])
    unseen = view(noise(56, 84), None)
    assert "pixel_values" not in only(tmp_path / "none", [unseen], pixels="none")


def test_ranks_come_from_torch_distributed_where_it_runs(tmp_path):
    output = numbered(tmp_path / "out", 4)
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        assert rows(PackedDataset(output)) == [0, 1, 2, 3]
    finally:
        torch.distributed.destroy_process_group()


def test_the_newest_version_is_read_unless_one_is_named(tmp_path):
    output = numbered(tmp_path, 3)
    content = json.loads((tmp_path / "versions/000001.json").read_text())
    put_manifest(tmp_path, "u9", [])
    put(tmp_path / "versions/000002.json", content | {"units": ["u0", "u9", "u0"]})
    assert len(PackedDataset(output)) == 6
    assert len(PackedDataset(output, version=1)) == 3
    with pytest.raises(ConfigError, match="no version 3"):
        PackedDataset(output, version=3)


def test_row_groups_without_a_wanted_pack_are_not_read(tmp_path, monkeypatch):
    packs = open_packs(numbered(tmp_path, 6, 5))
    read = []
    original = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda *args, **named: read.append(args[1]) or original(*args, **named)
    )
    assert [number for number, _ in packs.read(range(1, 11, 7), ["pack_id"])] == [1, 8]
    assert read == [0, 1]


def test_outputs_in_a_store_are_read_as_local_ones(tmp_path):
    numbered(tmp_path, 3, 2)
    store = fsspec.filesystem("memory")
    store.put(str(tmp_path) + "/", "/loading-test/", recursive=True)
    assert rows(PackedDataset("memory://loading-test")) == list(range(5))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pixels": "source"}, "pixels: source.*encoded"),
        ({"rule": "v2pe"}, "rule v2pe.*1d, mrope"),
        ({"slicing": {"scheme": "phi3_5_v", "patch": 14}}, "scheme phi3_5_v.*idefics3, internvl, llava_1_5"),
        ({"slicing": {"scheme": "llava_onevision", "patch": 14}}, "long_documents is split.*=reject"),
        ({"schema_version": 1}, "schema version 1"),
    ],
)
def test_packs_that_no_model_takes_are_refused_before_any_is_read(tmp_path, changed, message):
    with pytest.raises(ConfigError, match=message):
        PackedDataset(write(tmp_path, [[pack(0)]], **changed))


def test_places_that_do_not_fit_are_refused(tmp_path):
    output = numbered(tmp_path, 2)
    for rank, world_size, message in [(0, None, "alone"), (2, 2, "0 to 1"), (0, 3, "2 packs for 3 ranks")]:
        with pytest.raises(ConfigError, match=message):
            PackedDataset(output, rank=rank, world_size=world_size)
    with pytest.raises(ConfigError, match="no finished version"):
        PackedDataset(str(tmp_path / "nowhere"))


def test_damaged_files_are_named(tmp_path):
    output = numbered(tmp_path, 2)
    path = Path(tmp_path, "data/u0.parquet")
    sound = path.read_bytes()
    for damaged in (
        sound[:-1] + b"2",
        sound[:-8] + b"\xff\xff\xff\x7fPAR1",
        bytes(len(sound) // 2) + sound[len(sound) // 2 :],
    ):
        path.write_bytes(damaged)
        with pytest.raises(StorageError, match=r"u0\.parquet is damaged"):
            list(PackedDataset(output))


def test_footers_longer_than_what_is_asked_for_at_first_are_read(tmp_path):
    output = numbered(tmp_path, 60)
    (path,) = (tmp_path / "data").iterdir()
    assert int.from_bytes(path.read_bytes()[-8:-4], "little") > row_groups.TAIL_BYTES
    assert rows(PackedDataset(output)) == list(range(60))


@pytest.mark.parametrize(("slicing", "batched"), [(QWEN, (4, 2, LENGTH)), (LLAVA, (2, LENGTH))], ids=["mrope", "1d"])
def test_rows_are_joined_to_a_batch(tmp_path, slicing, batched):
    rule, num_rows = ("mrope", 3) if slicing is QWEN else ("1d", 1)
    array = noise(28, 28)
    packs = [pack(number, [view(array, png(array))] * number, num_rows=num_rows) for number in range(3)]
    data = PackedDataset(write(tmp_path, [packs], slicing=slicing, rule=rule))
    one, two, three = data
    batch, rest = DataLoader(data, batch_size=2, collate_fn=collate)
    assert (batch["row"], batch["pack_id"], batch["repeated"]) == ([0, 1], ["pack-0", "pack-1"], [False, False])
    assert batch["model"]["position_ids"].shape == batched
    assert batch["model"]["use_cache"] is False
    assert torch.equal(batch["model"]["input_ids"], torch.cat([one["model"]["input_ids"], two["model"]["input_ids"]]))
    assert torch.equal(batch["model"]["pixel_values"], two["model"]["pixel_values"])
    assert batch["cu_seqlens"].tolist() == [0, 5, 9, 12, 17, 21, 24]
    assert (batch["cu_seqlens"].dtype, batch["max_seqlen"]) == (torch.int32, 5)
    assert torch.equal(rest["model"]["pixel_values"], three["model"]["pixel_values"])
    with pytest.raises(ConfigError, match="no rows"):
        collate([])


def test_batches_join_every_other_column(tmp_path):
    schema = pack_schema(weighted=True, aligned=True)
    packs = [pack(i) | {"loss_weights": [float(i)] * LENGTH, "cu_seqlens_unpadded": [0, 4, 8, 11]} for i in range(2)]
    batch = collate(list(PackedDataset(write(tmp_path, [packs], pixels="none", schema=schema))))
    assert batch["loss_weights"].tolist() == [[0.0] * LENGTH, [1.0] * LENGTH]
    assert batch["cu_seqlens_unpadded"].tolist() == [0, 4, 8, 11, 15, 19, 22]


def test_pictures_of_pixtral_are_padded_to_the_largest(tmp_path):
    small, wide, tall = noise(14, 28), noise(14, 42), noise(42, 14)
    packs = [
        pack(0, [view(small, png(small)), view(wide, png(wide))], num_rows=1),
        pack(1, [view(tall, png(tall))], num_rows=1),
    ]
    first, second = PackedDataset(write(tmp_path, [packs], slicing={"scheme": "pixtral", "patch": 14}, rule="1d"))
    assert first["model"]["pixel_values"].shape == (2, 3, 14, 42)
    assert first["model"]["image_sizes"].tolist() == [[14, 28], [14, 42]]
    assert not first["model"]["pixel_values"][0, :, :, 28:].any()
    batch = collate([first, second])["model"]
    assert batch["pixel_values"].shape == (3, 3, 42, 42)
    assert torch.equal(batch["pixel_values"][2, :, :, :14], second["model"]["pixel_values"][0])
    assert batch["image_sizes"].tolist() == [[14, 28], [14, 42], [42, 14]]
