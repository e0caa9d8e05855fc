"""`lodepack verify` passes what the build writes and finds every lie told about it, whoever fixed up the hashes."""

from __future__ import annotations

import ast
import io
import json
import random
import re
import shutil
import tarfile
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rewriting import Output
from typer.testing import CliRunner

import jobs.verify
from jobs.build import run_job
from jobs.chain import resolve_job
from jobs.cli import app
from jobs.progress import Screen
from jobs.sections import LimitsSection
from jobs.spec import check_job
from jobs.verify import verify
from jobs.verify.files import open_version
from jobs.verify.findings import SHOWN, Report
from jobs.verify.packs import read_packs, row_faults
from jobs.verify.plans import plan_faults
from jobs.verify.records import Manifest, Recipe, Version
from jobs.verify.samples import read_samples
from jobs.verify.takes import check_takes
from jobs.verify.walk import Source
from pipeline.errors import ConfigError
from pipeline.formats import FORMATS
from pipeline.read import read_shard

SAMPLES = Path(jobs.verify.__file__).parents[1] / "samples"
TOKENIZER = SAMPLES / "tokenizer.model"
TEXT, IMAGE, PADDING = 0, 1, 5


def tar_of(files, tar_format=tarfile.GNU_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def bundled(number, num_samples):
    """The members of the first samples of a bundled shard."""
    with tarfile.open(SAMPLES / f"gimp-sample-{number:06d}.tar") as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar.getmembers()]
    groups = [list(group) for _, group in groupby(members, key=lambda member: member[0].split(".")[0])]
    return [member for group in groups[:num_samples] for member in group]


def jpeg(width, height, seed, orientation=None):
    """A photograph of noise: large enough to be cut in the middle of its data."""
    picture = Image.frombytes("RGB", (width // 8, height // 8), random.Random(seed).randbytes(width * height // 64 * 3))
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    out = io.BytesIO()
    picture.resize((width, height)).save(out, "JPEG", exif=exif)
    return out.getvalue()


def build(folder, shards, **fields):
    """Writes `shards` (name: bytes) and builds them in this process; the output's path."""
    (folder / "in").mkdir(parents=True)
    for name, data in shards.items():
        (folder / "in" / name).write_bytes(data)
    job = {
        "name": "test",
        "input": {"shards": f"{folder}/in/*.tar", "format": fields.pop("format", "interleaved")},
        "output": f"{folder}/out",
        "profile": "qwen2_5_vl",
        "tokenizer": str(TOKENIZER),
        "sequence_length": 2048,
        "unit": {"target_shards": 1},
        "limits": {"max_reject_ratio": 1.0},
    }
    with Screen(quiet=True) as screen:
        resolved = resolve_job(check_job(job | fields, "test"))
        run_job(resolved, local=True, workers=None, rebuild=False, progress=screen)
    return folder / "out"


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """Two units: a document in parts, one without its json, a stray member, pictures in regions."""
    text = " ".join(f"line {i} of a long page" for i in range(60))
    index = {"texts": [text, None, text, None, text, text, text], "images": [None, "0.jpg", None, "1.jpg", *[None] * 3]}
    long = [
        ("long.json", json.dumps(index).encode()),
        ("long.0.jpg", jpeg(640, 480, 1)),
        ("long.1.jpg", jpeg(300, 900, 2)),
    ]
    shards = {
        "a.tar": tar_of([*bundled(0, 3), ("lost.0.png", b"x"), ("README", b"hello"), *long]),
        "b.tar": tar_of(bundled(1, 2)),
    }
    return build(tmp_path_factory.mktemp("sound"), shards)


@pytest.fixture
def output(sound, tmp_path):
    """A copy to tell lies in; it still knows where its inputs are."""
    shutil.copytree(sound, tmp_path / "out")
    return Output(tmp_path / "out")


def first(row, modality, more=0):
    """Index of a token of a modality that starts no document."""
    starts = {sample["start"] for sample in row["samples"]}
    return next(i for i, kind in enumerate(row["modality"]) if kind == modality and i not in starts) + more


def test_a_sound_output_passes(sound):
    report = verify(str(sound))
    assert report.findings == []
    assert report.notes == []
    assert (report.checked["units"], report.checked["shards"], report.checked["samples"]) == (2, 2, 8)
    assert all(report.checked[what] for what in ("packs", "tokens", "views", "segments", "bytes of input", "files"))


# --- lies ---------------------------------------------------------------------------------------------------------


def label_flipped(output):
    def change(rows):
        rows[0]["labels"][first(rows[0], TEXT)] += 1

    output.table("data", change)


def image_trained(output):
    def change(rows):
        rows[0]["labels"][first(rows[0], IMAGE)] = 4

    output.table("data", change)


def first_token_trained(output):
    def change(rows):
        rows[0]["labels"][0] = rows[0]["input_ids"][0]

    output.table("data", change)


def position_rows_swapped(output):
    def change(rows):
        positions = rows[0]["position_ids"]
        positions[1], positions[2] = positions[2], positions[1]

    output.table("data", change)


def position_row_missing(output):
    def change(rows):
        rows[0]["position_ids"].pop()

    output.table("data", change)


def placeholder_in_text(output):
    def change(rows):
        row = rows[0]
        placeholder = row["input_ids"][first(row, IMAGE)]
        place = first(row, TEXT)
        row["input_ids"][place] = row["labels"][place] = placeholder

    output.table("data", change)


def end_token_replaced(output):
    def change(rows):
        row, sample = next(
            (row, sample) for row in rows for sample in row["samples"] if sample["part"] == sample["num_parts"] - 1
        )
        place = sample["start"] + sample["length"] - 1
        row["input_ids"][place] = row["labels"][place] = 300

    output.table("data", change)


def border_moved(output):
    def change(rows):
        rows[0]["cu_seqlens"][-2] -= 1

    output.table("data", change)


def segment_id_moved(output):
    def change(rows):
        rows[0]["segment_ids"][0] = 1

    output.table("data", change)


def tail_as_text(output):
    def change(rows):
        row = next(row for row in rows if PADDING in row["modality"])
        row["modality"][-1] = TEXT

    output.table("data", change)


def tail_id_changed(output):
    def change(rows):
        next(row for row in rows if PADDING in row["modality"])["input_ids"][-1] = 300

    output.table("data", change)


def list_too_short(output):
    def change(rows):
        rows[0]["labels"].pop()

    output.table("data", change)


def sample_off_the_list(output):
    def change(rows):
        rows[0]["samples"].pop()

    output.table("data", change)


def pack_missing(output):
    def change(rows):
        rows.pop()

    output.table("data", change)


def pack_twice(output):
    def change(rows):
        rows.append(rows[-1])

    output.table("data", change)


def parts_renumbered(output):
    def change(rows):
        for row in rows:
            for sample in row["samples"]:
                if sample["num_parts"] > 1 and sample["part"] == 0:
                    sample["part"] = 5

    output.table("data", change)


def key_changed(output):
    def change(rows):
        rows[0]["samples"][0]["id"]["key"] = "else"

    output.table("data", change)


def box_changed(output):
    def change(rows):
        row = next(row for row in rows if row["views"])
        row["views"][0]["box"][2] -= 1

    output.table("data", change)


def view_moved(output):
    def change(rows):
        row = next(row for row in rows if row["views"])
        row["views"][0]["start"] += 1

    output.table("data", change)


def views_swapped(output):
    def change(rows):
        row = next(row for row in rows if len({view["image"] for view in row["views"]}) > 1)
        row["views"].reverse()

    output.table("data", change)


def pixels_of_another_size(output):
    def change(rows):
        row = next(row for row in rows if row["views"])
        out = io.BytesIO()
        Image.new("RGB", (28, 28)).save(out, "JPEG")
        row["views"][0]["pixels"] |= {"data": out.getvalue(), "format": "jpeg"}

    output.table("data", change)


def pixels_damaged(output):
    def change(rows):
        row = next(row for row in rows if row["views"])
        pixels = row["views"][0]["pixels"]
        pixels["data"] = pixels["data"][: len(pixels["data"]) // 2]

    output.table("data", change)


def column_of_another_type(output):
    def change(table):
        i = table.schema.get_field_index("cu_seqlens")
        return table.set_column(i, "cu_seqlens", table["cu_seqlens"].cast(pa.list_(pa.int64())))

    output.table("data", change)


def reject_off_the_list(output):
    def change(rows):
        rows[:] = [row for row in rows if row["id"]["key"] != "lost"]

    output.table("rejects", change)


def reject_of_nothing(output):
    def change(rows):
        rows.append(rows[0] | {"id": rows[0]["id"] | {"ordinal": 99}})

    output.table("rejects", change)


def reject_reason_open(output):
    def change(rows):
        rows[0]["reason"] = "bad-luck"

    output.table("rejects", change)


def sound_sample_rejected(output):
    def change(rows):
        common = rows[0] | {"reason": "field-missing", "operator": "read"}
        rows.insert(0, common | {"id": {"shard": "a.tar", "key": "00000000", "ordinal": 0}})

    output.table("rejects", change)


def reject_moved(output):
    def change(rows):
        rows[0]["offset"] += 512

    output.table("rejects", change)


def reject_without_place(output):
    def change(rows):
        rows[0]["offset"] = None

    output.table("rejects", change)


def relevance_made_up(output):
    def change(rows):
        maps = next(segment["relevance"] for row in rows for segment in row["segments"] if segment["relevance"])
        maps["propositional"][0] ^= 128

    output.table("index", change)


def _relevance(rows):
    """Of an image of which all three maps have something to say."""
    maps = (segment["relevance"] for row in rows for segment in row["segments"] if segment["relevance"])
    return next(found for found in maps if found["participatory"])


def weights_too_great(output):
    def change(rows):
        _relevance(rows)["weights"][0] += 1

    output.table("index", change)


def weight_of_no_map(output):
    def change(rows):
        _relevance(rows)["participatory"] = None

    output.table("index", change)


def map_of_a_region_less(output):
    def change(rows):
        _relevance(rows)["perspectival"].pop()

    output.table("index", change)


def maps_of_another_grid(output):
    def change(rows):
        _relevance(rows)["rows"] += 1

    output.table("index", change)


def legibility_cut(output):
    def change(rows):
        found = _relevance(rows)
        found["legibility"] = found["legibility"][:-1]

    output.table("index", change)


def relevance_of_a_view_made_up(output):
    def change(rows):
        view = _plan(rows)["views"][0]
        view["relevance"] ^= 128

    output.table("index", change)


def relevance_in_a_pack_made_up(output):
    def change(rows):
        row = next(row for row in rows if row["views"])
        row["views"][0]["relevance"] ^= 128

    output.table("data", change)


def box_of_three_sides(output):
    def change(rows):
        _plan(rows)["views"][0]["box"].pop()

    output.table("index", change)


def text_with_a_plan(output):
    def change(rows):
        rows[0]["segments"][0]["plan"] = _plan(rows)

    output.table("index", change)


def files_reordered(output):
    output.manifest(lambda manifest: manifest["files"].reverse())


def index_ids_changed(output):
    def change(rows):
        rows[0]["segments"][0]["ids"][1] += 1
        rows[0]["segments"][0]["labels"][1] += 1

    output.table("index", change)


def index_labels_changed(output):
    def change(rows):
        rows[0]["segments"][0]["labels"][1] = -100

    output.table("index", change)


def ids_changed_everywhere(output):
    """The same wrong id in index and packs: only the re-read text tells."""
    shards = []

    def change_index(rows):
        shards.append((rows[0]["id"], rows[0]["segments"][0]["ids"][1]))
        rows[0]["segments"][0]["ids"][1] = rows[0]["segments"][0]["labels"][1] = 300

    def change_data(rows):
        for row in rows:
            for sample in row["samples"]:
                if sample["id"] == shards[0][0] and sample["part"] == 0:
                    row["input_ids"][sample["start"] + 1] = row["labels"][sample["start"] + 1] = 300

    output.table("index", change_index)
    output.table("data", change_data)


def index_row_missing(output):
    def change(rows):
        rows.pop()

    output.table("index", change)


def index_out_of_order(output):
    def change(rows):
        rows.reverse()

    output.table("index", change)


def index_offset_changed(output):
    def change(rows):
        rows[0]["segments"][0]["offset"] += 512

    output.table("index", change)


def _plan(rows):
    return next(segment["plan"] for row in rows for segment in row["segments"] if segment["plan"])


def boxes_overlap(output):
    def change(rows):
        plan = next(
            segment["plan"]
            for row in rows
            for segment in row["segments"]
            if segment["plan"] and len(segment["plan"]["views"]) > 1
        )
        plan["views"][0]["box"][2] += 1

    output.table("index", change)


def budget_broken(output):
    def change(rows):
        view = _plan(rows)["views"][0]
        view["budget"] = view["tokens"] - 1

    output.table("index", change)


def budget_beyond_the_rule(output):
    def change(rows):
        view = _plan(rows)["views"][0]
        view["budget"] = 401

    output.table("index", change)


def _divided(rows):
    """The views of a picture of which a region has several, and the place of two of them."""
    plans = (segment["plan"]["views"] for row in rows for segment in row["segments"] if segment["plan"])
    for views in plans:
        for i in range(1, len(views)):
            if (views[i - 1]["row"], views[i - 1]["col"]) == (views[i]["row"], views[i]["col"]):
                return views, i
    raise AssertionError("no region has several views: the check is idle")


def budgets_of_one_region_apart(output):
    def change(rows):
        views, i = _divided(rows)
        views[i]["budget"] -= 1

    output.table("index", change)


def region_over_its_budget(output):
    def change(rows):
        views, i = _divided(rows)
        own = [view for view in views if (view["row"], view["col"]) == (views[i]["row"], views[i]["col"])]
        for view in own:
            view["budget"] = sum(view["tokens"] for view in own) - 1

    output.table("index", change)


def view_of_other_cells(output):
    """A column of cells goes from one view to its neighbour: they tile the picture, but not where they show it."""

    def change(rows):
        views, _ = _divided(rows)
        one, other = next(
            (one, other)
            for one in views
            for other in views
            if one["cells"][0::2] == other["cells"][0::2]
            and one["cells"][3] == other["cells"][1]
            and other["cells"][3] - other["cells"][1] > other["cols"]
        )
        one["cells"][3] += 1
        other["cells"][1] += 1

    output.table("index", change)


def grid_of_no_size(output):
    def change(rows):
        _plan(rows)["views"][0]["grid_h"] += 2

    output.table("index", change)


def picture_of_another_size(output):
    def change(rows):
        _plan(rows)["width"] += 1

    output.table("index", change)


def runs_changed(output):
    def change(rows):
        runs = next(segment["runs"] for row in rows for segment in row["segments"] if segment["runs"])
        runs[1]["id"] = runs[0]["id"]

    output.table("index", change)


def lengths_changed(output):
    def change(rows):
        rows[0]["lengths"]["patches"] += 4

    output.table("index", change)


def count_changed(output):
    """A sample less in the manifest and in the version: the sums still fit."""

    def change(record):
        counts = record["counts" if "counts" in record else "totals"]["samples"]
        counts["read"] -= 1
        counts["packed"] -= 1

    output.manifest(change)
    output.version(change)


def token_count_changed(output):
    def change(record):
        record["counts" if "counts" in record else "totals"]["tokens"]["trained"] += 1

    output.manifest(change)
    output.version(change)


def totals_changed(output):
    output.version(lambda version: version["totals"]["segments"].update(packed=1))


def reasons_changed(output):
    output.version(lambda version: version["reasons"].update({"no-loss": 1}))


def recipe_changed(output):
    output.version(lambda version: version["recipe"]["job"].update(sequence_length=4096))


def input_hash_changed(output):
    output.manifest(lambda manifest: manifest["inputs"][0].update(sha256="0" * 64))


def take_made_up(output):
    output.manifest(lambda manifest: manifest["inputs"][0].update(take=1))


def shard_withheld(output):
    output.version(lambda version: version["withheld_shards"].append("c.tar"))


def unit_left_out(output):
    output.version(lambda version: version["units"].pop())


def unit_named_twice(output):
    output.version(lambda version: version["units"].append(version["units"][-1]))


def unit_without_manifest(output):
    (output.root / f"manifests/{output.units[0]}.json").unlink()


def shard_in_two_units(output):
    def change(manifest):
        other = output.load(f"manifests/{output.units[1]}.json")
        manifest["inputs"].append(other["inputs"][0])

    output.manifest(change)


def manifest_without_files(output):
    output.manifest(lambda manifest: manifest.pop("files"))


def _data_file(output):
    return next((output.root / "data").glob(f"{output.units[0]}-*.parquet"))


def byte_flipped(output):
    path = _data_file(output)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def file_missing(output):
    _data_file(output).unlink()


def file_misnamed(output):
    path = _data_file(output)
    name = f"data/{output.units[0]}-0000-00000000.parquet"
    path.rename(output.root / name)
    old = f"data/{path.name}"
    output.manifest(lambda manifest: [file.update(path=name) for file in manifest["files"] if file["path"] == old])


LIES = {
    label_flipped: r"labels\[\d+\] is \d+; \d+ expected",
    image_trained: r"labels\[\d+\] is 4; -100 expected",
    first_token_trained: r"labels\[0\] is \d+; -100 expected",
    position_rows_swapped: r"position_ids\[1\]\[\d+\] is",
    position_row_missing: r"position_ids has 2 rows; 3 expected",
    placeholder_in_text: r"input_ids\[\d+\] is \d+; \d+ expected",
    end_token_replaced: r"input_ids\[\d+\] is 300; \d+ expected",
    border_moved: r"cu_seqlens are .* expected",
    segment_id_moved: r"segment_ids\[0\] is 1; 0 expected",
    tail_as_text: r"modality is padding\[2047\] is False; True expected",
    tail_id_changed: r"input_ids where there is padding\[2047\] is 300",
    list_too_short: r"labels has 2047 values; 2048 expected",
    sample_off_the_list: r"neither packed nor rejected|parts .* are packed; 0 to",
    pack_missing: r"neither packed nor rejected|parts .* are packed; 0 to",
    pack_twice: r"is packed twice",
    parts_renumbered: r"parts \[.*5\] are packed; 0 to \d expected",
    key_changed: r"is recorded under the key else",
    box_changed: r"view 0 has box",
    view_moved: r"view 0 has start",
    views_swapped: r"views are not in the order",
    pixels_of_another_size: r"has a JPEG of 28x28",
    pixels_damaged: r"view 0 has pixels that do not open",
    column_of_another_type: r"schema of a data file expected; other in cu_seqlens",
    reject_off_the_list: r"\(lost\): is neither packed nor rejected",
    reject_of_nothing: r"records sample 99 of a.tar",
    reject_reason_open: r"reason bad-luck, which is none of the closed list",
    sound_sample_rejected: r"is packed and rejected",
    reject_moved: r"is rejected for .* one of its members",
    reject_without_place: r"offset is null in 1 places",
    relevance_made_up: r"that is not the mean of its maps",
    weights_too_great: r"has weights \[331, 330, 340\]; thousandths of the maps that it has expected",
    weight_of_no_map: r"has weights .*; thousandths of the maps that it has expected",
    map_of_a_region_less: r"has relevance maps of \d+x\d+; one value for each region expected",
    maps_of_another_grid: r"has relevance maps of \d+x\d+; one value for each region expected",
    legibility_cut: r"has \d+ codes of legibility; as many a cell of \d+x\d+ expected",
    relevance_of_a_view_made_up: r"has views of relevance .* of the combined map expected",
    relevance_in_a_pack_made_up: r"view 0 has relevance",
    box_of_three_sides: r"segments.plan.views.box has not four numbers everywhere",
    text_with_a_plan: r"segments.plan is not there exactly where the segment is of kind image",
    files_reordered: r"order of files is",
    index_ids_changed: r"segment 0 has other ids in the index than the tokenizer",
    index_labels_changed: r"segment 0 has labels that are not its ids",
    ids_changed_everywhere: r"segment 0 has other ids in the index than the tokenizer",
    index_row_missing: r"is measured and not in the index",
    index_out_of_order: r"rows are not in the order of shard and ordinal",
    index_offset_changed: r"has other segments in the index than in its shard, from segment 0 on",
    boxes_overlap: r"boxes do not tile \d+x\d+: .* overlap",
    budget_broken: r"at most its budget|has a budget of",
    budget_beyond_the_rule: r"block 0, 0 has a budget of 401; \d+ to \d+ expected",
    budgets_of_one_region_apart: r"has views of budgets \[\d+, \d+\]; one for all of them expected",
    region_over_its_budget: r"block \d, \d has \d+ tokens; at most its budget, \d+, expected",
    view_of_other_cells: r"view \d+ has box .* expected",
    grid_of_no_size: r"patches of 14 pixels expected",
    picture_of_another_size: r"is planned as a png of",
    runs_changed: r"has the id \d+ for a visual token; the placeholder \d+ expected",
    lengths_changed: r"has the lengths",
    count_changed: r"counts.samples.read is \d+; \d+ expected",
    token_count_changed: r"counts.tokens.trained is \d+; \d+ expected",
    totals_changed: r"totals is",
    reasons_changed: r"reasons is",
    recipe_changed: r"recipe_id is '\w+'; '\w+' expected",
    input_hash_changed: r"unit is '\w+'; '\w+' expected",
    take_made_up: r"samples taken of a.tar is 1; None expected",
    shard_withheld: r"withholds c.tar; a limit that ends before it expected, found None",
    unit_left_out: r"totals is",
    unit_named_twice: r"units is",
    unit_without_manifest: r"no manifest, which versions/000001.json names",
    shard_in_two_units: r"shard b.tar is in units",
    manifest_without_files: r"no manifest.* files: Field required",
    byte_flipped: r"sha256 is",
    file_missing: r"cannot be read",
    file_misnamed: r"path of data file 0 is",
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_is_found(output, lie):
    lie(output)
    report = verify(str(output.root))
    lines = [f"{finding.where}: {finding.what}" for finding in report.findings]
    assert any(re.search(LIES[lie], line) for line in lines), lines
    assert all("\n" not in line for line in lines)


# --- inputs -------------------------------------------------------------------------------------------------------


def test_a_changed_shard_is_one_finding(output, tmp_path):
    source = Path(output.load(next((output.root / "runs").glob("*.json")).relative_to(output.root))["shards"]["a.tar"])
    shutil.copytree(source.parent, tmp_path / "moved")
    patterns = [f"{tmp_path}/moved/{{a,b}}.tar"]
    assert verify(str(output.root), patterns).findings == []
    data = bytearray(source.read_bytes())
    data[700] ^= 1
    (tmp_path / "moved/a.tar").write_bytes(data)
    (finding,) = verify(str(output.root), [f"{tmp_path}/moved/*.tar"]).findings
    assert finding.where == "a.tar"
    assert finding.what.startswith("sha256 is")


def test_inputs_that_are_gone_are_asked_for(output, tmp_path):
    with pytest.raises(
        ConfigError, match=r"shard [ab].tar is not at --input .*; say where the shards are with --input"
    ):
        verify(str(output.root), [f"{tmp_path}/nowhere/*.tar"])
    shutil.rmtree(output.root / "runs")
    with pytest.raises(ConfigError, match=r"shard [ab].tar is not at the last run's record"):
        verify(str(output.root))


def test_another_tokenizer_is_refused(output, tmp_path):
    (tmp_path / "other.model").write_bytes(TOKENIZER.read_bytes() + b"x")
    with pytest.raises(ConfigError, match="--tokenizer FILE"):
        verify(str(output.root), tokenizer=str(tmp_path / "other.model"))
    with pytest.raises(ConfigError, match="cannot be read; give the file with --tokenizer"):
        verify(str(output.root), tokenizer=str(tmp_path / "none.model"))


def test_the_highest_version_is_read_and_strays_are_noted(output):
    shutil.copy(output.root / "versions/000001.json", output.root / "versions/000012.json")
    output.record("versions/000012.json", lambda version: version["totals"]["samples"].update(packed=0))
    (output.root / "data/orphan.parquet").write_bytes(b"")
    report = verify(str(output.root))
    assert report.version == 12
    assert [finding.where for finding in report.findings] == ["versions/000012.json"]
    assert report.notes == [
        "1 files are named by no manifest (a killed run leaves some; list them with --orphans): data/orphan.parquet"
    ]


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"max_tokens": 64, "max_image_tokens": 64}, r"views have \d+ tokens; at most 64, as the job's budget says"),
        ({"rule": "query", "max_tokens": 65}, r"block \d, \d has a budget of \d+; 6\d to 65 expected"),
        ({"rule": "global", "image_tokens": 70}, r"views have \d+ tokens; at most 70, as the job's budget says"),
        ({"rule": "global", "image_share": 0.2}, r"views have \d+ tokens; at most \d+, as the job's budget says"),
        ({"rule": "global", "sample_tokens": 99}, r"views have \d+ tokens; at most 99, as the job's budget says"),
    ],
)
def test_an_image_beyond_the_budget_of_its_job_is_found(sound, budget, said):
    recipe = open_version(str(sound))[1].recipe
    budgets = recipe["job"]["budget"] | budget
    other = Recipe.model_validate(recipe | {"job": recipe["job"] | {"budget": budgets}})
    same = Recipe.model_validate(recipe)
    plans = [
        segment["plan"]
        for path in (sound / "index").glob("*.parquet")
        for row in pq.read_table(path).to_pylist()
        for segment in row["segments"]
        if segment["plan"]
    ]
    assert not any(fault for plan in plans for fault in plan_faults(plan, same))
    assert any(re.search(said, fault) for plan in plans for fault in plan_faults(plan, other))


NO_LIMITS = dict.fromkeys(("images", "patches", "tiles", "squares"))


@pytest.mark.parametrize("limit", ["images", "patches", "tiles", "squares"])
def test_a_pack_over_its_limits_is_found(sound, limit):
    version = open_version(str(sound))[1]
    fields = version.recipe | {
        "job": version.recipe["job"] | {"pack": version.recipe["job"]["pack"] | {"limits": NO_LIMITS | {limit: 1}}}
    }
    faults = []
    for path in sorted((sound / "data").glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches():
            for pack in read_packs(batch):
                faults += row_faults(
                    pack, Recipe.model_validate(fields), {"placeholder": 4, "padding": 0, "document_end": 0}
                )
    assert any(f"{limit}; at most 1 expected" in fault for fault in faults)


# --- every kind of output -----------------------------------------------------------------------------------------

KINDS = {
    "llava": {"profile": "llava_next", "budget": "none", "pixels": "patches", "sequence_length": 8192},
    "source": {"pixels": "source", "budget": "none"},
    "unscored": {"score": None, "budget": "none", "pixels": "encoded"},
    "qwen3-patches": {"profile": "qwen3_vl", "pixels": "patches", "pack": {"limits": {"images": 3, "patches": 2000}}},
    "short": {"sequence_length": 512, "pixels": "none"},
    "limited": {"limit": 4},
    "query": {"budget": {"rule": "query", "max_tokens": 150}, "score": {"balance": "opponent", "entropy": "channels"}},
    "even": {"budget": {"spread": "even", "min_tokens": 16, "max_image_tokens": 400}, "score": {"participatory": 0}},
    "image-share": {"budget": {"rule": "global", "image_share": 0.36}},
    "image-tokens": {"budget": {"rule": "global", "image_tokens": 100, "spread": "even"}},
    "sample-tokens": {"budget": {"rule": "global", "sample_tokens": 300}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_output_passes(tmp_path, kind):
    shards = {"a.tar": tar_of(bundled(0, 3)), "b.tar": tar_of(bundled(1, 2)), "c.tar": tar_of(bundled(1, 1))}
    output = build(tmp_path, shards, **KINDS[kind])
    report = verify(str(output))
    assert report.findings == []
    assert report.checked["views"]


def test_documents_without_any_picture_pass(tmp_path):
    index = {"texts": ["a page", "of text alone"], "images": [None, None]}
    files = [(f"{key}.json", json.dumps(index).encode()) for key in ("a", "b")]
    output = build(tmp_path, {"a.tar": tar_of(files)})
    report = verify(str(output))
    assert report.findings == []
    assert (report.checked["samples"], report.checked["views"]) == (2, 0)


def test_compound_names_pass_as_they_are_grouped(tmp_path):
    whole = [("0.jpg", jpeg(64, 64, 1)), ("0.meta.json", b"{}"), ("0.txt", b"with more"), ("0.x.cls", b"1")]
    mixed = [(f"{key}.{kind}", data) for key in ("1", "1.1") for kind, data in [("jpg", b"x"), ("txt", b"y")]]
    output = build(tmp_path, {"a.tar": tar_of([*whole, *mixed])}, format="pairs")
    report = verify(str(output))
    assert report.findings == []
    assert report.checked["samples"] == 2
    manifest = json.loads(next((output / "manifests").glob("*.json")).read_bytes())
    assert manifest["inputs"][0]["ignored"] == 2
    assert manifest["reasons"] == {"field-invalid": 1}


@pytest.mark.parametrize("unlike", [{"take": 2}, {"take": None}])
def test_a_limited_run_that_takes_otherwise_is_found(tmp_path, unlike):
    shards = {"a.tar": tar_of(bundled(0, 3)), "b.tar": tar_of(bundled(1, 2)), "c.tar": tar_of(bundled(1, 1))}
    output = Output(build(tmp_path, shards, limit=4))
    assert [output.load(f"manifests/{unit}.json")["inputs"][0]["take"] for unit in output.units] == [3, 1]
    output.manifest(lambda manifest: manifest["inputs"][0].update(unlike))
    lines = [f"{finding.where}: {finding.what}" for finding in verify(str(output.root)).findings]
    where = f"manifests/{output.units[0]}.json"
    assert f"{where}: samples taken of a.tar is {unlike['take']}; 3 expected" in lines
    assert any(line.startswith(f"{where}: unit is ") for line in lines)


@pytest.mark.parametrize(
    ("limit", "takes", "withheld", "fault"),
    [
        (4, {"a": (3, 3), "b": (1, 2)}, ["c"], None),
        (9, {"a": (3, 3), "b": (2, 2)}, [], None),
        (3, {"a": (3, 3), "b": (0, 0)}, [], None),
        (None, {"a": (None, 3), "b": (None, 2)}, [], None),
        (4, {"b": (1, 2), "a": (3, 3)}, ["c"], None),
        (4, {"a": (2, 3), "b": (2, 2)}, ["c"], "samples taken of a is 2; 3 expected"),
        (4, {"a": (3, 3)}, [], None),
        (4, {"a": (3, 3)}, ["b"], "withholds b; a limit that ends before it expected, found 4"),
        (3, {"a": (1, 1), "c": (2, 2)}, ["b"], "withholds b, yet c after it is in a unit"),
    ],
)
def test_takes_reach_the_limit_shard_by_shard(limit, takes, withheld, fault):
    common = {"schema_version": 1, "recipe_id": "", "recipe": {}, "reasons": {}}
    manifests = [
        Manifest(
            **common,
            unit=name,
            inputs=[{"shard": name, "sha256": "", "bytes": 0, "samples": samples, "ignored": 0, "take": take}],
            files=[],
            counts={},
        )
        for name, (take, samples) in takes.items()
    ]
    source = {"format": "pairs", "weight": 1.0, "max_samples": None, "units": sorted(takes), "totals": {}}
    sources = {"input": source}
    version = Version(**common, units=sorted(takes), sources=sources, totals={}, withheld_shards=withheld)
    report = Report("out", 1)
    check_takes(manifests, version, limit, report)
    assert {finding.what for finding in report.findings} >= ({fault} if fault else set())
    assert bool(report.findings) == (fault is not None)


@pytest.mark.parametrize("cut", [0, 1, 700, 20_000])
def test_a_damaged_shard_passes_when_its_damage_is_rejected(tmp_path, cut):
    data = bytearray(tar_of(bundled(0, 6)))
    start = data.index(b"00000004.0.png")
    data[start : start + 512] = bytes(512)
    output = build(tmp_path, {"a.tar": bytes(data[: len(data) - 10_240 - cut])})
    report = verify(str(output))
    assert report.findings == []
    rejects = pq.read_table(next((output / "rejects").glob("*.parquet"))).to_pylist()
    assert {"tar-header", "tar-truncated"} <= {row["reason"] for row in rejects}


def test_pictures_that_only_full_decoding_shows_damaged_pass_as_rejected(tmp_path):
    turned, whole = jpeg(640, 480, 1, orientation=6), jpeg(640, 480, 2)
    pairs = [("a.jpg", turned), ("a.txt", b"on its side"), ("b.jpg", whole[: len(whole) // 2]), ("b.txt", b"half")]
    output = build(
        tmp_path, {"a.tar": tar_of([*pairs, ("c.txt", b"alone")])}, format="pairs", score=None, budget="none"
    )
    report = verify(str(output))
    assert report.findings == []
    rejects = pq.read_table(next((output / "rejects").glob("*.parquet"))).to_pylist()
    assert {(row["id"]["key"], row["operator"]) for row in rejects} == {("b", "write"), ("c", "read")}


# --- the walk -----------------------------------------------------------------------------------------------------


def damaged(seed):
    """A small shard, its format, and whatever the years did to it."""
    draw = random.Random(seed)
    form = draw.choice(["pairs", "interleaved"])
    files = []
    for _ in range(draw.randint(1, 5)):
        key = draw.choice(["a", "a.1", "a.b", "a.1/c", "b", "ünï", "x/y", "long" * 30])
        if form == "pairs":
            files += [(f"{key}.jpg", b"img"), (f"{key}.txt", draw.choice([b"hi", b"\xff"]))]
        else:
            index = {"texts": ["t", None], "images": [None, draw.choice(["0.png", "1.png"])]}
            files += [(f"{key}.json", json.dumps(index).encode()), (f"{key}.0.png", draw.randbytes(900))]
        if draw.random() < 0.3:
            files.append((draw.choice(["README", ".hid", f"{key}.pkl", f"{key}.0.PNG", files[-1][0]]), b"x"))
        if draw.random() < 0.3:
            compound = ["meta.json", "x.pkl", "seg.PNG", "1.txt", "0.1.png", "x.cls", ".jpg"]
            files.insert(draw.randrange(len(files) - 1, len(files) + 1), (f"{key}.{draw.choice(compound)}", b"{}"))
    if draw.random() < 0.2:
        draw.shuffle(files)
    data = bytearray(tar_of(files, draw.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])))
    for _ in range(draw.choice([0, 1, 2])):
        place = draw.randrange(len(data) // 512) * 512
        harm = draw.choice(["cut", "flip", "zero", "drop", "add"])
        if harm == "cut":
            del data[max(512, place + draw.randrange(512)) :]
        elif harm == "flip":
            data[place + draw.randrange(512)] ^= 1 << draw.randrange(8)
        elif harm == "zero":
            data[place : place + 512] = bytes(512)
        elif harm == "drop":
            del data[max(512, place) : place + 1024]
        else:
            data += draw.choice([bytes(700), b"junk", bytes(data[:2048])])
    return bytes(data), form


TIGHT = [{}, {"max_sample_members": 2}, {"max_sample_bytes": 400}, {"max_text_bytes": 30}, {"max_member_bytes": 250}]
"""Limits that some of the samples exceed."""


def test_the_walk_agrees_with_the_reader_on_any_damage():
    """Two readers written apart: what one calls a sample, or damage, at a place, the other does."""
    for seed in range(400):
        data, form = damaged(seed)
        limits = LimitsSection(**random.Random(seed).choice(TIGHT))
        options = {"shard_name": "s", "unit": 0, "shard_number": 0, "limits": limits.reading, "take": None}
        tables = read_shard(io.BytesIO(data), len(data), format=FORMATS[form], **options)
        *rows, end = pa.concat_tables(tables).to_pylist()
        source = Source(io.BytesIO(data))
        found = list(read_samples(source, "0.tar", form, limits))
        assert [(sample.key, len(sample.segments), bool(sample.fault)) for sample in found] == [
            (row["key"], len(row["segments"]), row["rejection"] is not None) for row in rows
        ], seed
        assert (source.sha256(), sum(sample.ignored for sample in found)) == (
            end["shard_end"]["sha256"],
            end["shard_end"]["ignored"],
        ), seed


# --- the command and its independence -----------------------------------------------------------------------------


def test_the_command_says_what_was_checked(sound):
    result = CliRunner().invoke(app, ["verify", str(sound)])
    assert result.exit_code == 0
    assert "2 units" in result.output
    assert "nothing untrue was found" in result.output


def test_the_command_exits_1_with_the_first_findings_and_json_has_all(output):
    def change(rows):
        for row in rows:
            for view in row["views"]:
                view |= {"box": [1, 2, 3, 4], "row": 7}

    output.table("data", change)
    result = CliRunner().invoke(app, ["verify", str(output.root)])
    assert result.exit_code == 1
    assert len(re.findall("view . has", result.output)) == SHOWN
    assert "--json lists all" in result.output
    found = json.loads(CliRunner().invoke(app, ["verify", str(output.root), "--json"]).output)
    assert not found["ok"]
    assert len(found["findings"]) > SHOWN


def test_no_output_is_the_users_mistake(tmp_path, output):
    with pytest.raises(ConfigError, match="holds no finished data set"):
        verify(str(tmp_path / "nothing"))
    output.version(lambda version: version.update(schema_version=99))
    with pytest.raises(ConfigError, match="has schema version 99; this lodepack reads"):
        verify(str(output.root))
    (output.root / "versions/000002.json").write_text("{")
    with pytest.raises(ConfigError, match=r"versions/000002.json of .* is no version"):
        verify(str(output.root))


def test_verify_shares_no_code_with_the_build():
    ours = {"pipeline", "operators", "jobs"}
    allowed = {"pipeline.types", "pipeline.schema", "pipeline.errors", "pipeline.storage"}
    allowed |= {"pipeline.records"}  # says where the last run found its shards
    allowed |= {"pipeline.parquet_footer"}  # reads what pyarrow ends the process of; what follows is each one's own
    # How text becomes ids is the tokenizer libraries' work; these hand it to them.
    allowed |= {"operators.chat", "operators.tokenizers", "operators.tokenizers.opening"}
    # Schemes are held against the families' own processors; that one file may ask them again.
    replanning = {f"operators.{name}" for name in ("profiles", "slice", "slicing", "tokenize")}
    replanning |= {"operators.slicing.qwen", "operators.slicing.regions"}
    for path in Path(jobs.verify.__file__).parent.rglob("*.py"):
        names = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, path.name
                names |= (
                    {node.module} if node.module != "pipeline" else {f"pipeline.{alias.name}" for alias in node.names}
                )
        foreign = {name for name in names if name.split(".")[0] in ours and not name.startswith("jobs.verify")}
        assert foreign <= allowed | (replanning if path.stem == "replan" else set()), path.name
