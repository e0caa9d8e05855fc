"""Documents of every shape pack correctly under every profile, and verify agrees."""

import io
import json

import pytest
from PIL import Image
from support import build, write_shard

from jobs.verify import verify
from operators.profiles import load_profile, profile_names
from pipeline.types import Modality

HEBREW = "שלום עולם, זה טקסט מימין לשמאל"
CHINESE = "图像压缩为标记，文字在图像之间。"
SIZES = [(24 + 37 * (i * 7 % 23), 24 + 29 * (i * 5 % 19)) for i in range(50)]


def picture(width, height):
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def members_of(key, texts):
    """A document: a text at each place, or (width, height)."""
    images = {f"{key}.{i}.png": picture(*place) for i, place in enumerate(texts) if isinstance(place, tuple)}
    index = {
        "texts": [None if isinstance(place, tuple) else place for place in texts],
        "images": [f"{i}.png" if isinstance(place, tuple) else None for i, place in enumerate(texts)],
    }
    return {f"{key}.json": json.dumps(index).encode(), **images}


DOCUMENTS = {
    "0-fifty": [place for i, size in enumerate(SIZES) for place in (f"picture {i}:", size)],
    "1-scripts": [HEBREW, (300, 200), CHINESE, (50, 400), "👩‍👩‍👧 e\u0301 \u200f"],
    "2-empty-text": ["", (64, 64), ""],
    "3-images": [(640, 480), (200, 300)],
    "4-text": ["No picture here."],
    "5-injection": [" ".join(load_profile("qwen2_5_vl").tokens.literals()) + " <image><s></s>[IMG]", (80, 60)],
    "6-one": [(100, 100), "one picture alone may be sliced otherwise than two"],
}


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    members = {name: data for key, texts in DOCUMENTS.items() for name, data in members_of(key, texts).items()}
    return write_shard(tmp_path_factory.mktemp("every") / "every.tar", members)


@pytest.mark.parametrize("profile", profile_names())
def test_documents_of_every_shape_are_packed(profile, shard, tmp_path):
    options = (f"profile={profile}", "budget=none", "score=null", "pixels=none", "loss_weights=square")
    summary = build(tmp_path / "out", str(shard), *options)
    assert summary["totals"]["samples"]["packed"] == len(DOCUMENTS)
    assert summary["totals"]["samples"]["rejected"] == 0
    report = verify(str(tmp_path / "out"))
    assert [finding.what for finding in report.findings] == []


@pytest.mark.parametrize("profile", profile_names())
def test_pixels_of_every_profile_are_rendered(profile, tmp_path):
    shard = write_shard(tmp_path / "few.tar", members_of("few", ["a", (300, 200), (90, 150), "b"]))
    options = (f"profile={profile}", "budget=none", "pixels=patches")
    assert build(tmp_path / "out", str(shard), *options)["totals"]["samples"]["packed"] == 1
    assert [finding.what for finding in verify(str(tmp_path / "out")).findings] == []


@pytest.mark.parametrize("profile", profile_names())
def test_placeholders_of_a_plan_are_what_features_replace(profile):
    loaded = load_profile(profile)
    for width, height in SIZES:
        plan = loaded.slicing.plan(width, height, loaded.tokens.by_role())
        newlines = sum(r.count for r in plan.layout if r.token == plan.placeholder and r.modality == Modality.MARKER)
        assert plan.placeholders == newlines + sum(view.tokens for view in plan.views)
        assert {run.view for run in plan.layout} - {-1} == {i for i, view in enumerate(plan.views) if view.tokens}
