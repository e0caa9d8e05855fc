"""Lies about pictures that a budget left fewer tiles: their views, their layout, and how many they may have."""

import io
import json
import re
import shutil

import pyarrow.parquet as pq
import pytest
from PIL import Image
from rewriting import Output
from support import SAMPLES, build, write_shard

from jobs.verify import verify
from jobs.verify.replan import Planner
from operators.profiles import load_profile
from operators.tokenizers.opening import open_tokenizer
from pipeline.types import Place

SIZE = (1344, 896)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """One document of a picture that is noise on its left half: 3x2 of 4x3 tiles are left."""
    folder = tmp_path_factory.mktemp("tiles")
    buffer = io.BytesIO()
    picture = Image.new("L", SIZE, 255)
    picture.paste(Image.effect_noise((SIZE[0] // 2, SIZE[1]), 200), (0, 0))
    picture.convert("RGB").save(buffer, "PNG", compress_level=1)
    index = {"texts": ["Noise.", None], "images": [None, "0.png"]}
    shard = write_shard(folder / "a.tar", {"a.json": json.dumps(index).encode(), "a.0.png": buffer.getvalue()})
    build(
        folder / "out",
        str(shard),
        "profile=smolvlm2",
        "pixels=none",
        "sequence_length=2048",
        "limits.max_reject_ratio=1",
    )
    assert verify(str(folder / "out")).findings == []
    return folder / "out"


@pytest.fixture
def output(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "out")
    return Output(tmp_path / "out")


def image(rows):
    return next(segment for segment in rows[0]["segments"] if segment["plan"])


def budget_raised(output):
    def index(rows):
        image(rows)["plan"]["views"][0]["budget"] += 1

    def data(rows):
        rows[0]["views"][0]["budget"] += 1

    output.table("index", index)
    output.table("data", data)


def tile_enlarged(output):
    def index(rows):
        image(rows)["plan"]["views"][1]["box"][0] -= 1
        image(rows)["plan"]["views"][0]["box"][2] -= 1

    output.table("index", index)


def canvas_of_another_count(output):
    def index(rows):
        image(rows)["plan"]["canvas"]["first_width"] -= 2

    output.table("index", index)


def label_of_another_tile(output):
    def index(rows):
        marks = [run for run in image(rows)["runs"] if run["view"] < 0]
        marks[2]["id"] = marks[1]["id"]

    output.table("index", index)


LIES = {
    budget_raised: r"view 0 has a budget of 65; 64, all of its tokens, expected",
    tile_enlarged: r"view 0 has box \[0, 0, 447, 448\]; \[0, 0, 448, 448\] expected",
    canvas_of_another_count: r"has canvas .*'first_width': 1534.*; .*'first_width': 1536.* expected",
    label_of_another_tile: r"has another layout than its profile gives it",
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_about_tiles_is_found(output, lie):
    lie(output)
    lines = [f"{finding.where}: {finding.what}" for finding in verify(str(output.root)).findings]
    assert any(re.search(LIES[lie], line) for line in lines), lines


@pytest.mark.parametrize(
    ("budget", "most"),
    [
        ({"max_image_tokens": 400}, 400),
        ({"rule": "global", "image_tokens": 300}, 300),
        ({"rule": "global", "image_share": 0.3}, 249),
        ({"rule": "global", "sample_tokens": 200}, 200),
    ],
)
def test_more_tiles_than_the_job_allows_are_found(sound, budget, most):
    (version,) = (sound / "versions").iterdir()
    recipe = json.loads(version.read_bytes())["recipe"]
    (index,) = (sound / "index").glob("*.parquet")
    found = image(pq.read_table(index).to_pylist())
    model = (SAMPLES[0].parent / "tokenizer.model").read_bytes()
    tokenizer = open_tokenizer(model, load_profile("smolvlm2").tokens.literals(), "tokenizer.model")
    own = Planner(recipe, tokenizer)
    assert list(own.faults(found["plan"], found["runs"], Place())) == []
    other = recipe | {"job": recipe["job"] | {"budget": recipe["job"]["budget"] | budget}}
    (fault,) = Planner(other, tokenizer).faults(found["plan"], found["runs"], Place())
    assert fault == f"has 448 placeholders; at most {most}, as the job's budget says, expected"
