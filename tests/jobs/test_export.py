"""Exports hold what the packs hold: read back by each format's own reader, column for column and byte for byte."""

import gc
import importlib.util
import io
import json
import shutil
import sqlite3
import subprocess
import sys
import tracemalloc
import venv
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset
from PIL import Image
from typer.testing import CliRunner

from jobs.cli import app
from jobs.export.command import WRITERS, export_packs
from jobs.export.samples import Pixels, column_types, read_samples
from jobs.export.shards import Export, split
from jobs.export.target import open_target
from jobs.progress import Screen
from pipeline.errors import ConfigError, LodepackError, StorageError
from pipeline.loading.packs import open_packs
from pipeline.storage import uploads
from tests.jobs.exported import read_webdataset
from tests.support import BUCKET, build, write_small_shards

READER = Path(__file__).with_name("exported.py")
SMALL = ("sequence_length=1024", "unit.target_shards=2")
KINDS = {
    "encoded": ("pixels=encoded", "loss_weights=square"),
    "patches": ("pixels=patches",),
    "source": ("pixels=source",),
    "none": ("pixels=none",),
    "reduced": (
        "pixels=none",
        "pack.align=32",
        "profile=llava_1_5",
        "budget=none",
        "reduce=[{method: visionzip}]",
    ),
    "planes": ("pixels=patches", "profile=internvl", "score=none", "budget=none", "sequence_length=4096"),
}
SHARD_BYTES = 1 << 19
"""So small that every kind of pixels makes several shards, or packs that are larger alone."""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """A function that builds, once, the output of a kind of pixels."""
    folder = tmp_path_factory.mktemp("outputs")
    shards = write_small_shards(folder / "shards", 4, 5)

    def output(kind):
        if not (folder / kind).exists():
            build(folder / kind, shards, *SMALL, *KINDS[kind], limit=9 if kind == "planes" else None)
        return folder / kind

    return output


def export(output, to, target, *, version=None, shard_bytes=SHARD_BYTES):
    with Screen(quiet=True) as screen:
        return export_packs(str(output), to, str(target), version=version, shard_bytes=shard_bytes, progress=screen)


def packs(output):
    """The rows of the packs, straight from Parquet, as `exported.py` gives them."""
    rows = []
    version = json.loads(max((output / "versions").iterdir()).read_text())
    for unit in version["units"]:
        for file in json.loads((output / "manifests" / f"{unit}.json").read_text())["files"]:
            if file["kind"] == "data":
                table = pq.read_table(output / file["path"])
                types = {field.name: number_type(field.type) for field in table.schema}
                types = {name: kind for name, kind in types.items() if kind}
                rows += [{**row, "types": types} for row in table.to_pylist()]
    for row in rows:
        for view in row["views"]:
            if view["pixels"] is not None and view["pixels"]["data"] is not None:
                view["pixels"]["data"] = view["pixels"]["data"].hex()
    assert len(rows) > 1
    return rows


def number_type(kind):
    """The numbers' type of a list, or list of lists, of them."""
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    return {"int32": "int32", "int8": "int8", "float": "float32"}.get(str(kind))


def read_back(to, folder, python=sys.executable):
    done = subprocess.run([python, READER, to, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def tree(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.mark.parametrize("kind", KINDS)
def test_webdataset_reads_back_every_column_and_every_byte_of_pixels(kind, outputs, tmp_path):
    written = export(outputs(kind), "webdataset", tmp_path / "wds")
    rows = list(read_webdataset(tmp_path / "wds"))
    assert rows == packs(outputs(kind))
    assert written["num_packs"] == len(rows)
    about = json.loads((tmp_path / "wds/lodepack.json").read_text())
    assert sum(shard["num_samples"] for shard in about["shards"]) == about["num_packs"] == len(rows)
    source = (outputs(kind) / "versions/000001.json").read_bytes()
    assert about["source"] == {"version": 1, "sha256": sha256(source).hexdigest()}
    assert about["recipe"] == json.loads(source)["recipe"]
    listed = {"samples", "views"} | ({"plans"} if kind == "reduced" else set())
    assert {name for name, type_ in about["columns"].items() if type_ == "json"} == listed


def test_webdatasets_own_decoders_open_every_member(outputs, tmp_path):
    export(outputs("encoded"), "webdataset", tmp_path / "wds")
    urls = sorted(map(str, (tmp_path / "wds").glob("*.tar")))
    decoded = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))
    num_pictures = 0
    for sample, row in zip(decoded, packs(outputs("encoded")), strict=True):
        assert sample["input_ids.npy"].tolist() == row["input_ids"]
        assert sample["samples.json"] == row["samples"]
        for view, stored in zip(sample["views.json"], row["views"], strict=True):
            picture = Image.open(io.BytesIO(bytes.fromhex(stored["pixels"]["data"]))).convert("RGB")
            assert np.array_equal(sample[view["pixels"]["member"]], np.asarray(picture))
            num_pictures += 1
    assert num_pictures


@pytest.mark.parametrize("to", ["energon", "mds", "webdataset"])
def test_same_version_gives_same_bytes_in_bounded_shards(to, outputs, tmp_path):
    copy = shutil.copytree(outputs("encoded"), tmp_path / "moved")
    for output, target in ((outputs("encoded"), "a"), (copy, "b")):
        written = export(output, to, tmp_path / target, shard_bytes=150_000)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert written["num_shards"] > 1
    for shard in json.loads((tmp_path / "a/lodepack.json").read_text())["shards"]:
        path = tmp_path / "a" / shard["name"]
        assert path.stat().st_size == shard["num_bytes"]
        assert shard["num_bytes"] <= 150_000 or shard["num_samples"] == 1
        assert sha256(path.read_bytes()).hexdigest() == shard["sha256"]


@pytest.mark.parametrize("to", ["energon", "mds", "webdataset"])
def test_a_url_gets_the_bytes_of_a_folder_and_is_refused_when_it_holds_something(to, outputs, tmp_path):
    url = f"memory://{tmp_path.name}/{to}"
    export(outputs("encoded"), to, url)
    export(outputs("encoded"), to, tmp_path / "local")
    memory = fsspec.filesystem("memory")
    root = f"/{tmp_path.name}/{to}/"
    found = {path.removeprefix(root): sha256(memory.cat_file(path)).hexdigest() for path in memory.find(root)}
    assert found == tree(tmp_path / "local")
    with pytest.raises(ConfigError, match="is not empty"):
        export(outputs("encoded"), to, url)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("to", ["energon", "mds", "webdataset"])
def test_memory_of_an_export_to_s3_does_not_grow_with_its_shards(to, outputs, monkeypatch):
    monkeypatch.setattr(uploads, "PART_BYTES", 5 << 20)  # S3 takes no smaller ones
    monkeypatch.setattr(uploads, "PARTS_AT_ONCE", 1)
    opened = open_packs(str(outputs("encoded")))
    first = next(read_samples(opened))
    pixels = tuple(Pixels("jpeg", bytes(1 << 18), ()) for _ in first.pixels)
    samples = [replace(first, key=f"k{number}", pixels=pixels) for number in range((1 << 25) // (len(pixels) << 18))]
    peaks = []
    for shard_bytes in (1 << 23, 1 << 27):
        with open_target(f"s3://{BUCKET}/memory/{to}-{shard_bytes}") as target:
            gc.collect()
            tracemalloc.start()
            written = WRITERS[to](Export(opened, samples, column_types(first), target, shard_bytes))
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert [shard.num_samples for shard in written] == [len(samples)]
    assert written[0].num_bytes > 1 << 24
    assert peaks[1] < peaks[0] + (1 << 22), peaks


def test_shards_are_cut_before_they_are_too_large_and_no_sample_is_cut():
    sizes = [3, 4, 3, 11, 1, 10, 5, 5]
    cut = [list(shard) for shard in split(((i, size) for i, size in enumerate(sizes)), 10)]
    assert cut == [[0, 1, 2], [3], [4], [5], [6, 7]]


INDICES = {"energon": ".nv-meta/.info.json", "mds": "index.json", "webdataset": "lodepack.json"}


@pytest.mark.parametrize("to", INDICES)
def test_an_export_that_fails_half_way_has_no_index_and_is_not_written_over(to, outputs, tmp_path):
    output = shutil.copytree(outputs("encoded"), tmp_path / "out")
    for unit in json.loads((output / "versions/000001.json").read_text())["units"][1:]:
        for file in json.loads((output / "manifests" / f"{unit}.json").read_text())["files"]:
            if file["kind"] == "data":
                (output / file["path"]).unlink()
    with pytest.raises(StorageError):
        export(output, to, tmp_path / "target", shard_bytes=1)
    assert any((tmp_path / "target").iterdir())
    assert not (tmp_path / "target" / INDICES[to]).exists()
    with pytest.raises(ConfigError, match="is not empty; name a new folder"):
        export(outputs("encoded"), to, tmp_path / "target")


def test_a_certain_version_can_be_exported(tmp_path):
    shards = write_small_shards(tmp_path / "shards", 2, 7)
    output = tmp_path / "out"
    build(output, shards.replace("000001", "000000"), *SMALL)
    first = packs(output)
    build(output, shards, *SMALL)
    assert export(output, "webdataset", tmp_path / "one", version=1)["version"] == 1
    assert list(read_webdataset(tmp_path / "one")) == first
    assert export(output, "webdataset", tmp_path / "two")["version"] == 2
    assert list(read_webdataset(tmp_path / "two")) == packs(output)


MISTAKES = {
    "unknown format": ({"to": "hdf5"}, "--to hdf5: choose energon, mds, webdataset"),
    "no such version": ({"version": 7}, "has no version 7"),
    "no output": ({"output": "nowhere"}, "has no finished version"),
    "target is a file": ({"target": "file"}, "is not empty; name a new folder"),
    "target cannot be": ({"target": "file/below"}, ": Not a directory; "),
    "unknown scheme": ({"target": "foo://b"}, "use a local path, file:// or s3://"),
    "shards too large": ({"to": "mds", "shard_bytes": 1 << 32}, "--shard-size 4096: shards of mds are smaller"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_with_its_remedy(mistake, outputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("in the way")
    changed, expected = MISTAKES[mistake]
    options = {"output": outputs("none"), "to": "webdataset", "target": "target"} | changed
    with pytest.raises(LodepackError) as error:
        export(options.pop("output"), options.pop("to"), options.pop("target"), **options)
    assert expected in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_missing_package_is_named_with_what_installs_it(outputs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(ConfigError, match=r"pip install 'lodepack\[export\]'"):
        export(outputs("none"), "energon", tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert export(outputs("none"), "mds", tmp_path / "mds")["num_packs"]


def test_the_command_prints_a_line_or_one_json_object(outputs, tmp_path):
    call = ["export", str(outputs("none")), "--to", "mds", "--shard-size", "1", "--output"]
    told = CliRunner().invoke(app, [*call, str(tmp_path / "a")])
    assert told.exit_code == 0, told.output
    assert "of version 1 in 1 mds shard(s)" in told.stdout
    found = json.loads(CliRunner().invoke(app, [*call, str(tmp_path / "b"), "--json"]).stdout)
    assert found["export"] == str(tmp_path / "b")
    assert found["num_bytes"] == sum(path.stat().st_size for path in (tmp_path / "b").glob("*.mds"))
    assert "Example" in CliRunner().invoke(app, ["export", "--help"]).stdout


def has_energon():
    try:
        return importlib.util.find_spec("megatron.energon") is not None
    except ModuleNotFoundError:
        return False


energon = pytest.mark.skipif(not has_energon(), reason="megatron-energon, of the dev extra, is not installed")


FURTHER = [pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "encoded"]


@energon
@pytest.mark.parametrize("kind", ["encoded", *FURTHER])
def test_energon_reads_back_every_column_and_every_byte_of_pixels(kind, outputs, tmp_path):
    export(outputs(kind), "energon", tmp_path / "energon")
    assert read_back("energon", tmp_path / "energon") == packs(outputs(kind))


@energon
def test_energons_own_preparation_writes_the_same_indices(outputs, tmp_path):
    export(outputs("encoded"), "energon", tmp_path / "ours")
    shards = sorted(path.name for path in (tmp_path / "ours").glob("*.tar"))
    for name in shards:
        (tmp_path / "theirs").mkdir(exist_ok=True)
        shutil.copy(tmp_path / "ours" / name, tmp_path / "theirs" / name)
    code = (
        "import sys; from megatron.energon.flavors import BaseWebdatasetFactory as factory; "
        "factory.prepare_dataset(sys.argv[1], sys.argv[2:], split_parts_ratio=[('train', 1.0)], workers=1)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "theirs", *shards], check=True, capture_output=True)
    for name in shards:
        assert (tmp_path / "ours" / f"{name}.idx").read_bytes() == (tmp_path / "theirs" / f"{name}.idx").read_bytes()
    ours, theirs = ((tmp_path / side / ".nv-meta") for side in ("ours", "theirs"))
    counts = [json.loads((side / ".info.json").read_text())["shard_counts"] for side in (ours, theirs)]
    assert counts[0] == counts[1]
    assert rows_of(ours / "index.sqlite") == rows_of(theirs / "index.sqlite")


def rows_of(database):
    """Columns of each table and index, and the sorted rows of each table."""
    with sqlite3.connect(database) as connection:
        names = sorted(connection.execute("SELECT type, name, tbl_name FROM sqlite_master").fetchall())
        columns = {
            name: connection.execute(f"PRAGMA {'table' if kind == 'table' else 'index'}_info({name})").fetchall()
            for kind, name, _ in names
        }
        rows = {name: sorted(connection.execute(f"SELECT * FROM {name}")) for kind, name, _ in names if kind == "table"}
    return names, columns, rows


def test_mds_shards_are_laid_out_as_its_format_says(outputs, tmp_path):
    export(outputs("encoded"), "mds", tmp_path)
    found = []
    for entry in json.loads((tmp_path / "index.json").read_text())["shards"]:
        data = (tmp_path / entry["raw_data"]["basename"]).read_bytes()
        count = int.from_bytes(data[:4], "little")
        offsets = np.frombuffer(data, "<u4", count + 1, 4)
        config = data[4 + offsets.nbytes : offsets[0]]
        assert json.loads(config).items() <= entry.items()
        assert (count, offsets[-1]) == (entry["samples"], len(data))
        for start in offsets[:-1].tolist():
            names = entry["column_names"]
            sizes = np.frombuffer(data, "<u4", len(names), start)
            starts = start + sizes.nbytes + np.cumsum([0, *sizes])
            found.append(
                {name: data[first : first + size] for name, first, size in zip(names, starts, sizes, strict=False)}
            )
    for sample, row in zip(found, packs(outputs("encoded")), strict=True):
        assert sample["pack_id"].decode() == row["pack_id"]
        assert sample["pixels"] == b"".join(bytes.fromhex(view["pixels"]["data"]) for view in row["views"])
        assert sample["input_ids"] == bytes([4 + 1, 0, 4]) + np.array(row["input_ids"], "<i4").tobytes()
        assert json.loads(sample["samples"]) == row["samples"]


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory):
    """A Python with mosaicml-streaming, which needs numpy < 2.2 and transformers < 5: not ours."""
    folder = tmp_path_factory.mktemp("mosaic")
    venv.create(folder, with_pip=True)
    packages = ["torch==2.13.0", "mosaicml-streaming==0.13.0"]
    done = subprocess.run(
        [folder / "bin/pip", "install", "-q", *packages], capture_output=True, text=True, check=False, timeout=580
    )
    assert done.returncode == 0, done.stderr
    yield folder / "bin/python"
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_mosaicml_streaming_reads_back_every_column_and_every_byte_of_pixels(kind, outputs, mosaic, tmp_path):
    export(outputs(kind), "mds", tmp_path / "mds")
    assert read_back("mds", tmp_path / "mds", mosaic) == packs(outputs(kind))
