"""Conversations of LLaVA's layout become packs in which exactly what the assistant says is trained."""

import io
import json

import pyarrow.parquet as pq
import pytest
from PIL import Image
from support import ROOT, build, write_shard

from jobs.verify import verify
from operators.profiles import load_profile, profile_names
from operators.tokenizers.opening import open_tokenizer

WITH_CHAT = [name for name in profile_names() if load_profile(name).chat is not None]
ASSISTANT = ["A grey gradient.", "Nothing else, really.", "Two of them. <|im_end|>", "פשוט שקט"]


def turn(speaker, text):
    return {"from": speaker, "value": text}


def picture(width, height):
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


MEMBERS = {
    "a.json": json.dumps(
        {
            "id": "a",
            "conversations": [
                turn("human", "<image>\nWhat is this?"),
                turn("gpt", ASSISTANT[0]),
                turn("human", "And else?"),
                turn("gpt", ASSISTANT[1]),
            ],
        }
    ).encode(),
    "a.png": picture(90, 60),
    "b.json": json.dumps(
        {"conversations": [turn("system", "Be brief."), turn("human", "<image> <image>?"), turn("gpt", ASSISTANT[2])]}
    ).encode(),
    "b.0.png": picture(200, 120),
    "b.1.png": picture(64, 64),
    "c.json": json.dumps({"conversations": [turn("human", "<|image_pad|>?"), turn("gpt", ASSISTANT[3])]}).encode(),
    "d.json": json.dumps({"conversations": [turn("human", "Is anyone there?")]}).encode(),
    "e.json": json.dumps({"conversations": [turn("human", "<image>?"), turn("gpt", "I see none.")]}).encode(),
}


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    return write_shard(tmp_path_factory.mktemp("talk") / "talk.tar", MEMBERS)


def build_talk(shard, output, profile, *options):
    options = (f"profile={profile}", "input.format=conversations", "limits.max_reject_ratio=1", *options)
    return build(output, str(shard), *options)


@pytest.mark.parametrize("profile", WITH_CHAT)
def test_the_assistants_words_alone_are_trained(profile, shard, tmp_path):
    summary = build_talk(shard, tmp_path / "out", profile, "budget=none", "score=null", "pixels=none")
    assert summary["totals"]["samples"]["packed"] == 3
    assert summary["reasons"] == {"no-loss": 1, "field-missing": 1}
    assert [finding.what for finding in verify(str(tmp_path / "out")).findings] == []
    tokens = load_profile(profile).tokens
    tokenizer = open_tokenizer((ROOT / "jobs/samples/tokenizer.model").read_bytes(), tokens.literals(), "it")
    trained = {
        s["id"]["key"]: tokenizer.decode([i for i in row["labels"][s["start"] : s["start"] + s["length"]] if i != -100])
        for path in sorted((tmp_path / "out/data").glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
        for s in row["samples"]
    }
    spoken = {"a": ASSISTANT[0] + ASSISTANT[1], "b": ASSISTANT[2], "c": ASSISTANT[3]}
    assert {key: "".join(text.split()) for key, text in trained.items()} == {
        key: "".join(text.split()) for key, text in spoken.items()
    }


def test_budgets_and_pixels_work_on_conversations(shard, tmp_path):
    build_talk(shard, tmp_path / "out", "qwen2_5_vl", "loss_weights=sample")
    assert [finding.what for finding in verify(str(tmp_path / "out")).findings] == []


def test_a_profile_without_a_template_is_told_before_any_work(shard, tmp_path):
    with pytest.raises(Exception, match="profile vit has no chat template"):
        build_talk(shard, tmp_path / "out", "vit")
