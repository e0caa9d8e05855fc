"""Lies about what not every data set has: trained turns, loss weights, fractional positions, alignment."""

import io
import json
import re
import shutil

import pytest
from PIL import Image
from rewriting import Output
from support import build, write_shard

from jobs.verify import verify
from pipeline.types import Modality

PROFILE = """
about: InternVL with variable visual positions
slicing: {scheme: internvl, max_tiles: 1}
positions: {rule: v2pe, stride: 64}
mean: [0.485, 0.456, 0.406]
std: [0.229, 0.224, 0.225]
tokens: {placeholder: <IMG_CONTEXT>, image_start: <img>, image_end: </img>, document_end: </s>, padding: <pad>}
chat:
  system: {after: "\\n"}
  user: {before: "USER: ", after: "\\n"}
  assistant: {before: "ASSISTANT: ", end: </s>}
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("families")
    turns = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "<image> Who?"},
        {"role": "assistant", "content": "It is me, as ever."},
    ]
    members = {"a.json": json.dumps({"messages": turns}).encode(), "a.png": picture()}
    shard = write_shard(folder / "talk.tar", members)
    (folder / "family.yaml").write_text(PROFILE)
    options = (f"profile={folder}/family.yaml", "input.format=conversations", "sequence_length=512")
    build(folder / "out", str(shard), *options, "budget=none", "score=null", "loss_weights=square", "pack.align=32")
    assert verify(str(folder / "out")).findings == []
    return folder / "out"


@pytest.fixture
def output(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "out")
    return Output(tmp_path / "out")


def picture():
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def first_text(segments, role):
    return next(segment for segment in segments if segment["kind"] == 0 and segment["role"] == role and segment["ids"])


def prompt_trained(output):
    """In the index and in the pack."""

    def index(rows):
        segment = first_text(rows[0]["segments"], "user")
        segment["labels"][-1] = segment["ids"][-1]

    def data(rows):
        place = next(i for i in range(1, 500) if rows[0]["modality"][i] == 0 and rows[0]["labels"][i] == -100)
        rows[0]["labels"][place] = rows[0]["input_ids"][place]

    output.table("index", index)
    output.table("data", data)


def answer_not_trained(output):
    def change(rows):
        place = next(i for i, label in enumerate(rows[0]["labels"]) if label != -100)
        rows[0]["labels"][place] = -100

    output.table("data", change)


def role_changed(output):
    def change(rows):
        first_text(rows[0]["segments"], "user")["role"] = "system"

    output.table("index", change)


def weight_changed(output):
    def change(rows):
        place = next(i for i, weight in enumerate(rows[0]["loss_weights"]) if weight)
        rows[0]["loss_weights"][place] *= 2

    output.table("data", change)


def position_floored(output):
    def change(rows):
        row = rows[0]["position_ids"][0]
        place = next(i for i, position in enumerate(row) if position % 1)
        row[place] = float(int(row[place]))

    output.table("data", change)


def borders_unpadded_moved(output):
    def change(rows):
        rows[0]["cu_seqlens_unpadded"][1] += 1

    output.table("data", change)


def padding_inside_renumbered(output):
    def change(rows):
        sample = rows[0]["samples"][0]
        assert sample["length"] % 32
        rows[0]["position_ids"][0][sample["length"]] += 1

    output.table("data", change)


def padding_inside_of_another_id(output):
    def change(rows):
        rows[0]["input_ids"][rows[0]["samples"][0]["length"]] += 1

    output.table("data", change)


def mark_replaced(output):
    """In the index and in the pack: both tell the same lie."""

    def index(rows):
        runs = next(segment["runs"] for segment in rows[0]["segments"] if segment["runs"])
        runs[0]["id"] = runs[-1]["id"]

    def data(rows):
        first, last = (i for i, kind in enumerate(rows[0]["modality"]) if kind == Modality.MARKER)
        rows[0]["input_ids"][first] = rows[0]["input_ids"][last]

    output.table("index", index)
    output.table("data", data)


def filter_changed(output):
    def change(rows):
        next(segment["plan"] for segment in rows[0]["segments"] if segment["plan"])["resample"] = "lanczos"

    output.table("index", change)


LIES = {
    mark_replaced: r"has another layout than its profile gives it",
    filter_changed: r"has resample lanczos; bicubic expected",
    borders_unpadded_moved: r"cu_seqlens_unpadded are",
    padding_inside_renumbered: r"position_ids of alignment\[\d+\] is",
    padding_inside_of_another_id: r"input_ids where there is padding\[\d+\] is",
    prompt_trained: r"has other labels in the index than its turn has",
    answer_not_trained: r"labels\[\d+\] is -100; \d+ expected",
    role_changed: r"has other segments in the index than in its shard",
    weight_changed: r"loss_weights\[\d+\] is .* expected",
    position_floored: r"position_ids\[0\]\[\d+\] is \d+\.0; \d+\.25 expected",
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_about_a_family_is_found(output, lie):
    lie(output)
    lines = [f"{finding.where}: {finding.what}" for finding in verify(str(output.root)).findings]
    assert any(re.search(LIES[lie], line) for line in lines), lines
