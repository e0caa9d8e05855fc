"""`lodepack gather` makes shards that build and verify, the same each time, and tells of each record it leaves out."""

from __future__ import annotations

import hashlib
import json
import tarfile

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.gather.records import CHUNK_CHARS, read_records
from jobs.verify import verify
from pipeline.errors import ConfigError
from pipeline.formats import FORMATS
from pipeline.read import samples_of
from pipeline.tar import Member
from pipeline.types import ReadLimits
from tests.formats_made import GOLDEN, picture
from tests.support import build

LIMITS = ReadLimits(1 << 20, 1 << 20, 1 << 20, 1000)
LLAVA = [
    {"id": "a/1", "image": "coco/a.jpg", "conversations": [{"from": "human", "value": "<image>What?"}]},
    {"id": "2", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]},
    {
        "images": ["coco/a.jpg", "b.PNG"],
        "messages": [{"role": "user", "content": "<image> or <image>?"}, {"role": "assistant", "content": "b"}],
    },
]
MMC4 = [
    {
        "text_list": ["One.", "Two.", "Three."],
        "image_info": [{"image_name": "b.PNG", "raw_url": "u"}, {"image_name": "1.jpg"}],
        "similarity_matrix": GOLDEN,
    }
]
COMM = [
    {
        "title": "T",
        "summary_info": [{"type": "image", "image_path": "coco/a.jpg"}],
        "step_info": [[{"type": "text", "content": "One."}, {"type": "image", "image_path": "1.jpg"}]],
    }
]
RECORDS = {"conversations": LLAVA, "mmc4": MMC4, "comm": COMM}


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    (folder / "coco").mkdir(parents=True)
    (folder / "coco/a.jpg").write_bytes(picture(1))
    (folder / "b.PNG").write_bytes(picture(2, "PNG"))
    (folder / "1.jpg").write_bytes(picture(3))
    (tmp_path / "secret.jpg").write_bytes(picture(4))
    (folder / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    return folder


def call(*arguments):
    return CliRunner().invoke(app, ["gather", *map(str, arguments)])


def gathered(tmp_path, images, records, form, *more, name="docs.jsonl"):
    source = tmp_path / name
    text = json.dumps(records) if name.endswith(".json") else "".join(f"{json.dumps(one)}\n" for one in records)
    source.write_text(text)
    result = call(source, "--format", form, "--images", images, "--output", tmp_path / "out", "--json", *more)
    return result, json.loads(result.stdout) if result.stdout.startswith("{") else None


def members_of(shard):
    with tarfile.open(shard) as archive:
        return [
            Member(one.name, one.offset_data, one.size, archive.extractfile(one).read()) for one in archive.getmembers()
        ]


@pytest.mark.parametrize("name", ["docs.json", "docs.jsonl"])
@pytest.mark.parametrize("form", RECORDS)
def test_records_become_samples_of_their_format(form, name, tmp_path, images):
    result, done = gathered(tmp_path, images, RECORDS[form], form, name=name)
    assert result.exit_code == 0, result.output
    assert (done["documents"], done["missing"], done["invalid"]) == (len(RECORDS[form]), 0, 0)
    found = list(samples_of(members_of(tmp_path / "out/docs-000000.tar"), FORMATS[form], LIMITS))
    assert [one.rejection for one in found] == [None] * len(RECORDS[form])
    assert [one.key for one in found] == [f"{number:09d}" for number in range(len(found))]
    pictures = [segment.data for one in found for segment in one.segments if segment.data is not None]
    expected = {"conversations": (1, 1, 2), "mmc4": (3, 2), "comm": (1, 3)}[form]
    assert pictures == [picture(seed, "PNG" if seed == 2 else "JPEG") for seed in expected]


def test_mmc4_pictures_are_matched_as_its_matrix_says(tmp_path, images):
    gathered(tmp_path, images, MMC4, "mmc4")
    (found,) = samples_of(members_of(tmp_path / "out/docs-000000.tar"), FORMATS["mmc4"], LIMITS)
    assert [one.text or "picture" for one in found.segments] == ["One.", "picture", "Two.", "picture", "Three."]


def test_shards_build_and_verify(tmp_path, images):
    gathered(tmp_path, images, LLAVA[1:], "conversations")
    summary = build(tmp_path / "built", f"{tmp_path}/out/*.tar", "input.format=auto", "score=null", "budget=none")
    assert summary["totals"]["samples"]["packed"] == 2
    assert verify(str(tmp_path / "built")).findings == []


def test_same_records_give_the_same_bytes_in_shards_of_the_size(tmp_path, images):
    noise = [{"image": "big.jpg", "conversations": [{"from": "human", "value": "<image>What?"}]}] * 3
    (images / "big.jpg").write_bytes(bytes(600_000))
    hashes = []
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        _, done = gathered(tmp_path / run, images, noise, "conversations", "--shard-size", "1")
        assert done["shards"] == 3
        shards = sorted((tmp_path / run / "out").glob("*.tar"))
        assert [shard.name for shard in shards] == [f"docs-00000{number}.tar" for number in range(3)]
        assert all(shard.stat().st_size <= 1 << 20 for shard in shards)
        hashes.append([hashlib.sha256(shard.read_bytes()).hexdigest() for shard in shards])
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("gone.jpg", "No such file"),
        ("../secret.jpg", "leads out of"),
        ("coco/../../secret.jpg", "leads out of"),
        ("link.jpg", "leads out of"),
        ("/etc/hostname.jpg", "leads out of"),
        ("notes.txt", "none of a picture"),
        ("a\0.jpg", "no path"),
        (7, "a path is expected"),
    ],
)
def test_picture_that_cannot_be_had_is_told_with_its_line(path, why, tmp_path, images):
    records = [LLAVA[0], LLAVA[0] | {"image": path}, LLAVA[1]]
    result, done = gathered(tmp_path, images, records, "conversations")
    assert result.exit_code == 1
    assert (done["documents"], done["missing"], done["invalid"]) == (2, 1, 0)
    (fault,) = done["faults"]
    assert f"{tmp_path}/docs.jsonl line 2 names " in fault
    assert why in fault
    assert [one.name for one in members_of(tmp_path / "out/docs-000000.tar")][-1] == "000000002.json"


def test_missing_pictures_are_skipped_where_that_is_said(tmp_path, images):
    result, done = gathered(
        tmp_path, images, [LLAVA[0] | {"image": "gone.jpg"}, LLAVA[1]], "conversations", "--skip-missing"
    )
    assert (result.exit_code, done["documents"], done["missing"]) == (0, 1, 1)


def test_mmc4_document_goes_on_without_a_missing_picture(tmp_path, images):
    record = json.loads(json.dumps(MMC4[0]))
    record["image_info"][0]["image_name"] = "gone.jpg"
    result, done = gathered(tmp_path, images, [record], "mmc4", "--skip-missing")
    assert (result.exit_code, done["documents"], done["images"], done["dropped_images"]) == (0, 1, 1, 1)
    (found,) = samples_of(members_of(tmp_path / "out/docs-000000.tar"), FORMATS["mmc4"], LIMITS)
    assert [one.text or "picture" for one in found.segments] == ["One.", "picture", "Two.", "Three."]


def test_records_that_no_build_would_take_are_told_and_left_out(tmp_path, images):
    source = tmp_path / "docs.jsonl"
    wrong = {"image": "1.jpg", "conversations": [{"from": "human", "value": "no mark"}]}
    source.write_text(f'{json.dumps(wrong)}\n{{"cut": \n[1]\n\n{json.dumps(LLAVA[1])}\n')
    result = call(source, "--format", "conversations", "--images", images, "--output", tmp_path / "out", "--json")
    done = json.loads(result.stdout)
    assert (result.exit_code, done["documents"], done["invalid"]) == (1, 1, 3)
    assert [fault.removeprefix(f"{source} ")[:6] for fault in done["faults"]] == ["line 1", "line 2", "line 3"]


def test_long_list_is_read_piece_by_piece_with_the_place_of_each(tmp_path):
    source = tmp_path / "long.json"
    values = [{"text": "é" * (CHUNK_CHARS // 3), "number": number} for number in range(7)] + [{}]
    source.write_text(f"\n [ {' ,'.join(json.dumps(one, ensure_ascii=False) for one in values)} \n]")
    found = list(read_records(source))
    assert [one.value for one in found] == values
    data = source.read_bytes()
    for one in found:
        place = int(one.where.rpartition(" ")[2])
        assert data[place : place + 1] == b"{"
    assert len({one.where for one in found}) == len(values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", []),
        ("[\n]", []),
        ("[1, 2]", [1, 2]),
        ('{"a":\n 1}', [{"a": 1}]),
        ('{"a": 1}', [{"a": 1}]),
        ('{"a": 1}\n{"a": 2}', [{"a": 1}, {"a": 2}]),
        ("", []),
    ],
)
def test_lists_lines_and_single_objects_are_read(text, expected, tmp_path):
    (tmp_path / "a.json").write_text(text)
    assert [one.value for one in read_records(tmp_path / "a.json")] == expected


@pytest.mark.parametrize("text", ["[1, 2", "[1 2 {]", "[", '[{"a": tru}]', "[1, [2]"])
def test_broken_list_is_told_from_where_on(text, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigError, match=r"a.json is no JSON that can be read from byte \d+ on"):
        list(read_records(tmp_path / "a.json"))


def test_wrong_calls_are_told_of(tmp_path, images):
    source = tmp_path / "a.json"
    source.write_text("[]")
    for arguments, why in (
        (["--format", "pairs", "--images", images], "choose conversations, mmc4, comm"),
        (["--format", "comm", "--images", tmp_path / "none"], "no such folder"),
        (["--format", "comm", "--images", images], "no record in it"),
    ):
        result = call(source, *arguments, "--output", tmp_path / "out")
        assert isinstance(result.exception, ConfigError)
        assert why in str(result.exception)
