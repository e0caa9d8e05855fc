"""What is written is what was planned; damage found here rejects its sample everywhere and moves no other."""

import io
import json
import tarfile
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw, JpegImagePlugin

from jobs.sections import LimitsSection
from operators.budget import BudgetConfig
from operators.decode import FINE_PIXELS, Decode, Measure
from operators.derive import Derive
from operators.drawing import Draw
from operators.layout import IGNORE
from operators.pack import Pack, PackConfig
from operators.pack_rows import WriteConfig
from operators.pictures import load_upright, open_picture, to_rgb
from operators.plans import plan_from_row
from operators.profiles import load_profile
from operators.raster import raster_of
from operators.score import Score
from operators.slice import Slice
from operators.slicing.qwen import QwenConfig
from operators.slicing.regions import MAX_REGIONS
from operators.slicing.render import to_patches, to_planes
from operators.tokenize import Tokenize
from operators.tokenizers.sentencepiece import SentencePieceTokenizer
from operators.vocabulary import resolve
from operators.weights import ScoreConfig
from operators.write import Write
from pipeline.errors import Reason, StorageError
from pipeline.formats import FORMATS
from pipeline.guard import run_here
from pipeline.ledger import close_counts, sort_rejects
from pipeline.read import read_shard
from pipeline.schema import INDEX, REJECTS, pack_schema
from pipeline.tasks import DATA, SUMMARY, TASK, from_stream, note_of
from pipeline.types import Modality
from tests.rendering import rendered
from tests.support import totals_of

MODEL = (Path(__file__).resolve().parents[2] / "jobs/samples/tokenizer.model").read_bytes()
LIMIT = 10**8


def saved(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def photo(width=120, height=90, seed=0, **options):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return saved(Image.fromarray(pixels), "JPEG", **options)


def chart(width=120, height=90):
    picture = Image.new("RGB", (width, height), (250, 250, 255))
    ImageDraw.Draw(picture).rectangle((10, 20, width // 2, height // 2), fill=(200, 30, 10), outline=(0, 0, 0))
    return saved(picture, "PNG")


def text(num_tokens):
    """A text of so many ids: characters that the model spells as one byte each."""
    return "\x01" * num_tokens


def cut(data):
    """A picture whose second half is missing."""
    return data[: len(data) // 2]


def write_tar(path, documents):
    """Interleaved samples; a document is texts and encoded pictures in order."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for number, parts in enumerate(documents):
            pictures = [part for part in parts if isinstance(part, bytes)]
            names = iter(f"{i}.png" for i in range(len(pictures)))
            images = [next(names) if isinstance(part, bytes) else None for part in parts]
            texts = [None if isinstance(part, bytes) else part for part in parts]
            members = {f"{number:03d}.json": json.dumps({"texts": texts, "images": images}).encode()}
            members |= {f"{number:03d}.{i}.png": data for i, data in enumerate(pictures)}
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return path


class Built:
    """The reports and files that the chain makes of one shard."""

    def __init__(
        self, folder, documents, profile="qwen2_5_vl", *, pixels="encoded", length=512, budget=None, **options
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.shard = write_tar(folder / "in.tar", documents)
        self.output = folder / "out"
        self.profile, self.pixels, self.length = load_profile(profile), pixels, length
        tokenizer = SentencePieceTokenizer(MODEL, self.profile.tokens.literals())
        self.vocabulary = resolve(self.profile, tokenizer)
        grey_pixels = FINE_PIXELS if budget else None
        measure = Measure(
            max_image_pixels=LIMIT, grey_pixels=grey_pixels, check="decode" if pixels in {"none", "source"} else None
        )
        decode = Decode(partial(run_here, measure))
        derive = [Derive(options["derive"])] if "derive" in options else []
        operators = [decode, *derive, Slice(self.profile, MAX_REGIONS if budget else None), Tokenize(tokenizer)]
        if budget:
            operators.append(Score(ScoreConfig(), budget, self.profile.slicing, "cpu"))
        pack = Pack(PackConfig(), length, self.vocabulary, {0: {"in.tar": str(self.shard)}}, {0: "recipe"})
        config = WriteConfig(self.profile, self.vocabulary, length, pixels, str(self.output))
        slicing = self.profile.slicing
        patches = [slicing.patch, slicing.merge] if isinstance(slicing, QwenConfig) else None
        draw = Draw(max_image_pixels=LIMIT, pixels=pixels, patches=patches, resize="pillow")
        self.write, self.reports, self.tasks = Write(config, partial(run_here, draw)), [], []
        for table in self.read():
            for operator in operators:
                table = operator(table)  # noqa: PLW2901
            for task in pack(table):
                options.get("before_write", lambda _: None)(self)
                self.tasks += task.to_pylist()
                self.reports += self.write(task).to_pylist()

    def read(self):
        with self.shard.open("rb") as stream:
            size = self.shard.stat().st_size
            options = {"format": FORMATS["interleaved"], "limits": LimitsSection().reading, "take": None}
            yield from read_shard(stream, size, shard_name="in.tar", unit=0, shard_number=0, **options)

    def files(self, kind):
        """(path, note) of each file of a kind."""
        notes = [note_of(report) for report in self.reports if report["kind"] == kind]
        return [(self.output / note["file"]["path"], note) for note in notes]

    def packs(self):
        return [row for path, _ in self.files("data") for row in pq.read_table(path).to_pylist()]

    def views(self):
        return [view for pack in self.packs() for view in pack["views"]]

    def index(self):
        ((path, _),) = self.files("index")
        return pq.read_table(path).to_pylist()

    def rejects(self):
        """The final rejects and counts, as the sink closes them."""
        (summary,) = (note_of(report) for report in self.reports if report["kind"] == SUMMARY)
        late = [row for report in self.reports for row in self.late(report)]
        rejects = sort_rejects(summary["rejects"] + late, {"in.tar": 0})
        return rejects, close_counts(summary["counts"], rejects)

    @staticmethod
    def late(report):
        if report["kind"] != DATA:
            return []
        table = from_stream(report["payload"])
        assert table.schema == REJECTS
        return table.to_pylist()


def keys(packs):
    return sorted({sample["id"]["key"] for pack in packs for sample in pack["samples"]})


def check_invariants(built):
    """What holds for every pack, and the counts that reports give of them."""
    counted = {}
    for pack in built.packs():
        length = built.length
        for name in ("input_ids", "labels", "segment_ids", "modality"):
            assert len(pack[name]) == length
        assert {len(row) for row in pack["position_ids"]} == {length}
        bounds = pack["cu_seqlens"]
        assert (bounds[0], bounds[-1]) == (0, length)
        assert bounds == sorted(set(bounds))
        used = pack["samples"][-1]["start"] + pack["samples"][-1]["length"]
        assert bounds == [*(s["start"] for s in pack["samples"]), used, *([length] if used < length else [])]
        for number, sample in enumerate(pack["samples"]):
            inside = slice(sample["start"], sample["start"] + sample["length"])
            assert set(pack["segment_ids"][inside]) == {number}
            assert pack["labels"][inside][0] == IGNORE
            assert [row[inside][0] for row in pack["position_ids"]] == [0] * len(pack["position_ids"])
            assert min(min(row[inside]) for row in pack["position_ids"]) == 0
        tail = length - used
        assert pack["segment_ids"][used:] == [-1] * tail
        assert pack["modality"][used:] == [Modality.PADDING] * tail
        assert pack["labels"][used:] == [IGNORE] * tail
        assert pack["input_ids"][used:] == [built.vocabulary.padding] * tail
        assert [row[used:] for row in pack["position_ids"]] == [list(range(tail))] * len(pack["position_ids"])
        visual = [i for i, kind in enumerate(pack["modality"]) if kind == Modality.IMAGE]
        assert {pack["input_ids"][i] for i in visual} <= {built.vocabulary.placeholder}
        assert sum(view["tokens"] for view in pack["views"]) == len(visual)
        for view in pack["views"]:
            sample = pack["samples"][view["sample"]]
            assert sample["start"] <= view["start"] <= sample["start"] + sample["length"] - view["tokens"]
        for name, amount in {
            "packs": 1,
            "tokens": used,
            "alignment": 0,
            "padding": tail,
            "text": pack["modality"].count(Modality.TEXT),
            "visual": len(visual),
            "trained": sum(label != IGNORE for label in pack["labels"]),
            "views": len(pack["views"]),
        }.items():
            counted[name] = counted.get(name, 0) + amount
    reported = {}
    for _, note in built.files("data"):
        for name, amount in note["counts"].items():
            reported[name] = reported.get(name, 0) + amount
    assert reported == counted


MIXED = [["a chart", chart(), "and a photo", photo()], ["text alone"], [photo(300, 200, 1)], [chart(64, 300), "after"]]


@pytest.mark.parametrize("profile", ["qwen2_5_vl", "qwen3_vl", "llava_next"])
@pytest.mark.parametrize("pixels", ["encoded", "patches", "source", "none"])
def test_packs_hold_every_document_and_their_invariants(tmp_path, profile, pixels):
    built = Built(tmp_path, MIXED, profile, pixels=pixels, length=4096 if profile == "llava_next" else 512)
    check_invariants(built)
    assert keys(built.packs()) == ["000", "001", "002", "003"]
    rejects, counts = built.rejects()
    assert rejects == []
    assert counts["samples"]["packed"] == 4
    assert counts["segments"]["packed"] == 8


def test_files_have_exactly_the_schemas_of_the_contract(tmp_path):
    built = Built(tmp_path, MIXED)
    for kind, schema in (("data", pack_schema()), ("index", INDEX)):
        ((path, note),) = built.files(kind)
        assert pq.read_table(path).schema.equals(schema, check_metadata=False)
        assert note["file"]["rows"] == pq.read_metadata(path).num_rows
        assert path.name.startswith(built.reports[0]["unit_id"])
        assert note["file"]["sha256"][:8] in path.name


def reference(built, view):
    """The picture of a view, opened and rendered here by the plan in the index."""
    row = next(row for row in built.index() if row["id"]["key"] == view["key"])
    segments = [segment for segment in row["segments"] if segment["kind"] == 1]
    segment = segments[view["image"]]
    data = built.shard.read_bytes()[segment["offset"] : segment["offset"] + segment["size"]]
    plan = plan_from_row(segment["plan"])
    return rendered(to_rgb(load_upright(open_picture(data, LIMIT))), plan)[view["number"]]


def numbered_views(built):
    """Each view of each pack with the key of its sample and its number in its image."""
    for pack in built.packs():
        seen = {}
        for view in pack["views"]:
            place = (view["sample"], view["image"])
            seen[place] = seen.get(place, -1) + 1
            yield view | {"key": pack["samples"][view["sample"]]["id"]["key"], "number": seen[place]}


@pytest.mark.parametrize("profile", ["qwen2_5_vl", "llava_next"])
def test_encoded_views_are_the_planned_ones(tmp_path, profile):
    built = Built(tmp_path, MIXED, profile, length=4096)
    forms = set()
    for view in numbered_views(built):
        expected, found = reference(built, view), Image.open(io.BytesIO(view["pixels"]["data"]))
        assert found.size == expected.size == (view["width"], view["height"])
        forms.add(view["pixels"]["format"])
        if view["pixels"]["format"] == "webp":
            assert found.convert("RGB").tobytes() == expected.tobytes()
        else:
            assert JpegImagePlugin.get_sampling(found) == 0
            assert np.abs(np.asarray(found).astype(int) - np.asarray(expected)).mean() < 8
    assert forms == {"webp", "jpeg"}


@pytest.mark.parametrize("profile", ["qwen2_5_vl", "qwen3_vl", "llava_next"])
def test_patches_and_planes_are_the_pixels_of_the_planned_views(tmp_path, profile):
    built = Built(tmp_path, MIXED, profile, pixels="patches", length=4096)
    slicing = built.profile.slicing
    for view in numbered_views(built):
        expected = reference(built, view)
        if isinstance(slicing, QwenConfig):
            assert view["pixels"]["format"] == "patches"
            assert view["pixels"]["data"] == to_patches(raster_of(expected), slicing.patch, slicing.merge)
            assert len(view["pixels"]["data"]) == view["grid_h"] * view["grid_w"] * 3 * slicing.patch**2
        else:
            assert view["pixels"]["format"] == "planes"
            assert view["pixels"]["data"] == to_planes(raster_of(expected))
            assert len(view["pixels"]["data"]) == 3 * 336 * 336


def test_source_pixels_name_the_bytes_in_the_shard(tmp_path):
    built = Built(tmp_path, MIXED, pixels="source")
    shard = built.shard.read_bytes()
    pictures = [part for document in MIXED for part in document if isinstance(part, bytes)]
    places = [(v["pixels"]["offset"], v["pixels"]["size"], v["pixels"]["format"]) for v in built.views()]
    assert sorted(shard[offset : offset + size] for offset, size, _ in places) == sorted(pictures)
    assert {form for _, _, form in places} == {"png", "jpeg"}
    assert all(view["pixels"]["data"] is None and view["pixels"]["shard"] == "in.tar" for view in built.views())
    assert [view["pixels"] for view in Built(tmp_path / "none", MIXED, pixels="none").views()] == [None] * 4


def test_budgeted_views_are_rendered_within_their_budget(tmp_path):
    budget = BudgetConfig()
    built = Built(tmp_path, [[chart(1300, 900), "x", photo(900, 900)]], length=4096, budget=budget)
    check_invariants(built)
    views = list(numbered_views(built))
    assert len(views) > 4
    for view in views:
        assert view["tokens"] <= view["budget"]
        found = Image.open(io.BytesIO(view["pixels"]["data"]))
        assert found.size == (view["width"], view["height"]) == reference(built, view).size
    assert {view["kind"] for view in views} == {"region"}
    assert len({view["tokens"] for view in views}) > 1


def test_writing_twice_gives_the_same_bytes(tmp_path):
    first, again = Built(tmp_path / "a", MIXED), Built(tmp_path / "b", MIXED)
    names = [[path.name for kind in ("data", "index") for path, _ in built.files(kind)] for built in (first, again)]
    assert names[0] == names[1]
    before = sorted((first.output / "data").iterdir())
    stamps = [path.read_bytes() for path in before]
    for task in first.tasks:
        first.write(pa.Table.from_pylist([task], TASK))
    assert sorted((first.output / "data").iterdir()) == before
    assert [path.read_bytes() for path in before] == stamps
    assert not list((first.output / "runs/tmp").iterdir())


@pytest.mark.parametrize(("pixels", "size"), [("encoded", 8), ("patches", 2)])
def test_row_groups_have_a_fixed_number_of_packs_and_packs_their_numbers(tmp_path, pixels, size):
    documents = [[text(79 - i)] for i in range(3 * size)]
    built = Built(tmp_path, documents, length=80, pixels=pixels)
    ((path, _),) = built.files("data")
    groups = pq.read_metadata(path)
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [size] * 3
    assert [pack["pack_id"] for pack in built.packs()] == [
        f"{built.reports[0]['unit_id']}-{i:06d}" for i in range(3 * size)
    ]


def test_picture_damaged_in_its_second_half_rejects_its_sample_and_no_other(tmp_path):
    broken = cut(photo())
    whole = Built(tmp_path / "whole", [["one", photo(seed=1)], ["two", chart(), photo()], ["three"]])
    built = Built(tmp_path / "cut", [["one", photo(seed=1)], ["two", chart(), broken], ["three"]])
    check_invariants(built)
    assert len(whole.packs()) == len(built.packs()) == 1
    assert keys(built.packs()) == ["000", "002"]
    kept = {s["id"]["key"]: s["length"] for s in built.packs()[0]["samples"]}
    assert kept == {s["id"]["key"]: s["length"] for s in whole.packs()[0]["samples"] if s["id"]["key"] != "001"}
    assert {view["image"] for view in built.views()} == {0}
    rejects, counts = built.rejects()
    sample, *segments = rejects
    offset = built.shard.read_bytes().index(broken)
    assert (sample["level"], sample["operator"], sample["reason"]) == ("sample", "write", Reason.DECODE_ERROR)
    assert (sample["member"], sample["offset"], sample["size"]) == ("001.1.png", offset, len(broken))
    assert "truncated" in sample["detail"]
    assert [(s["segment"], s["reason"]) for s in segments] == [
        (0, Reason.SAMPLE_REJECTED),
        (1, Reason.SAMPLE_REJECTED),
        (2, Reason.DECODE_ERROR),
    ]
    assert counts["samples"] == totals_of(read=3, packed=2, rejected=1)
    assert counts["segments"]["packed"] == 3
    assert [row["id"]["key"] for row in built.index()] == ["000", "001", "002"]


def test_pack_of_damaged_samples_alone_is_left_out_and_the_others_keep_their_ids(tmp_path):
    documents = [[text(80)], [cut(photo(200, 200)), text(25)], [text(70)]]
    built = Built(tmp_path, documents, length=90)
    planned = [[number for number, *_ in pack] for pack in note_of(built.tasks[0])["packs"]]
    assert sorted(planned) == [[0], [1], [2]]
    kept = [f"{i:06d}" for i, pack in enumerate(planned) if pack != [1]]
    assert [pack["pack_id"][-6:] for pack in built.packs()] == kept
    assert keys(built.packs()) == ["000", "002"]
    ((path, note),) = built.files("data")
    assert note["file"]["rows"] == 2 == pq.read_metadata(path).num_rows
    check_invariants(built)


def test_file_of_damaged_samples_alone_is_empty(tmp_path):
    built = Built(tmp_path, [[cut(photo())]])
    assert built.packs() == []
    ((_, note),) = built.files("data")
    assert (note["file"]["rows"], note["counts"]) == (0, {})
    assert built.rejects()[1]["samples"]["rejected"] == 1


@pytest.mark.parametrize("place", [0, 30, 69])
def test_split_document_with_one_damaged_picture_is_rejected_by_every_file_that_holds_a_part(tmp_path, place):
    parts = [text(60)] * 70
    parts.insert(place, cut(photo(56, 56)))
    built = Built(tmp_path, [["first"], parts, ["last"]], length=64)
    files = built.files("data")
    assert len(files) == 2
    held = [{p[0] for pack in note_of(task)["packs"] for p in pack} for task in built.tasks if task["kind"] == DATA]
    assert all(held)
    late = [Built.late(report) for report in built.reports if report["kind"] == DATA]
    assert [len(rows) for rows in late] == [72, 72]
    assert late[0] == late[1]
    assert keys(built.packs()) == ["000", "002"]
    rejects, counts = built.rejects()
    assert len(rejects) == 72
    assert counts["samples"] == totals_of(read=3, packed=2, rejected=1)
    check_invariants(built)


def test_split_document_spreads_over_packs_with_its_parts_numbered(tmp_path):
    parts = [text(50)] * 5
    parts.insert(2, photo(56, 56))
    built = Built(tmp_path, [parts], length=70)
    check_invariants(built)
    samples = sorted((s for pack in built.packs() for s in pack["samples"]), key=lambda s: s["part"])
    assert [s["part"] for s in samples] == list(range(len(samples)))
    assert {s["num_parts"] for s in samples} == {len(samples)}
    ends = [pack["input_ids"].count(built.vocabulary.document_end) for pack in built.packs()]
    padding = [pack["segment_ids"].count(-1) for pack in built.packs()]
    assert sum(ends) - sum(padding) == 1
    ((row),) = built.index()
    assert row["num_parts"] == len(samples)
    assert row["lengths"]["tokens"] == sum(s["length"] for s in samples)


def test_index_holds_ids_labels_plans_and_runs_per_segment(tmp_path):
    built = Built(tmp_path, [["first text", chart(), "second"]])
    ((row),) = built.index()
    text, image, more = row["segments"]
    assert text["labels"] == [IGNORE, *text["ids"][1:]]
    assert more["labels"] == more["ids"]
    assert (image["format"], image["ids"]) == ("png", None)
    assert plan_from_row(image["plan"]).views[0].tokens == image["runs"][1]["count"]
    ((pack),) = built.packs()
    expected = text["ids"] + [run["id"] for run in image["runs"] for _ in range(run["count"])] + more["ids"]
    assert pack["input_ids"][: len(expected)] == expected


def test_shard_that_changed_its_picture_fails_the_unit(tmp_path):
    def replace(built):
        data = built.shard.read_bytes()
        other, old = chart(90, 120), chart(300, 200)
        place = data.index(old)
        built.shard.write_bytes(data[:place] + (other + bytes(len(old)))[: len(old)] + data[place + len(old) :])

    assert len(chart(90, 120)) <= len(chart(300, 200))
    with pytest.raises(StorageError, match="changed while it was read"):
        Built(tmp_path, [[chart(300, 200), "x"]], before_write=replace)


def test_shard_that_was_cut_fails_the_unit(tmp_path):
    def shorten(built):
        built.shard.write_bytes(built.shard.read_bytes()[:1600])

    with pytest.raises(StorageError, match="changed"):
        Built(tmp_path, [[photo(), "x"]], before_write=shorten)


def test_summary_passes_unchanged(tmp_path):
    built = Built(tmp_path, MIXED)
    (task,) = (task for task in built.tasks if task["kind"] == SUMMARY)
    (report,) = (report for report in built.reports if report["kind"] == SUMMARY)
    assert task == report
    assert note_of(task)["reports"] == len(built.reports)


def test_samples_that_show_the_same_picture_have_each_the_pixels_of_its_own_plan(tmp_path):
    """What an image is asked decides what it gets; with its texts swapped, the second is asked to count too."""
    documents = [["count where", photo(420, 420), "a wall", photo(420, 420, seed=1)]]
    budget = BudgetConfig(rule="query")
    built = Built(tmp_path, documents, length=4096, budget=budget, derive=("shuffle-texts",))
    sizes = {}
    for view in built.views():
        found = Image.open(io.BytesIO(view["pixels"]["data"]))
        assert found.size == (view["width"], view["height"])
        sizes.setdefault((view["sample"], view["image"]), []).append(found.size)
    assert len(sizes) == 4
    assert sizes[0, 1] != sizes[1, 1]
