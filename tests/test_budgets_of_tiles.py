"""A budget leaves out tiles of pictures that are worth fewer, from shards to packs, and verify agrees."""

import io
import json

import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw, ImageFont
from support import build, tree, write_shard

from jobs.verify import verify
from operators.profiles import load_profile, profile_names
from operators.slicing import Tiled

TILED = [name for name in profile_names() if isinstance(load_profile(name).slicing, Tiled)]
SIZE = (1344, 896)
GENEROUS = "budget={max_tokens: 256, max_image_tokens: 9000}"
"""A page of text has a relevance of .5 to .8, so each of its tiles is worth all of 256 tokens."""


def png(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def page():
    picture = Image.new("RGB", SIZE, "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(18)
    for top in range(4, SIZE[1] - 18, 24):
        draw.text((6, top), "the quick brown fox jumps over a lazy dog " * 4, fill="black", font=font)
    return picture


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    """A flat picture, and a page of text; and both in one document."""
    flat, full = png(Image.new("RGB", SIZE, (90, 120, 200))), png(page())
    members = {}
    for key, pictures in {"flat": [flat], "page": [full], "several": [flat, full]}.items():
        images = [None, *(f"{i}.png" for i in range(len(pictures)))]
        index = {"texts": ["Of a fox.", *[None] * len(pictures)], "images": images}
        members[f"{key}.json"] = json.dumps(index).encode()
        members |= {f"{key}.{i}.png": data for i, data in enumerate(pictures)}
    return str(write_shard(tmp_path_factory.mktemp("tiles") / "tiles.tar", members))


def plans(output):
    (path,) = (output / "index").glob("*.parquet")
    rows = pq.read_table(path).to_pylist()
    return {row["id"]["key"]: [s["plan"] for s in row["segments"] if s["plan"]] for row in rows}


def num_tiles(plan):
    return sum(view["kind"] == "tile" for view in plan["views"])


def findings(output):
    return [f"{finding.where}: {finding.what}" for finding in verify(str(output)).findings]


@pytest.mark.parametrize("name", ["internvl", "smolvlm2", "llava_next_hf"])
def test_flat_picture_has_few_tiles_and_a_page_of_text_all(name, shard, tmp_path):
    build(tmp_path / "out", shard, f"profile={name}", "pixels=none", "sequence_length=16384", GENEROUS)
    own = load_profile(name).slicing.plan(*SIZE, load_profile(name).tokens.by_role())
    found = plans(tmp_path / "out")
    assert [len(plan["views"]) for plan in found["page"]] == [len(own.views)]
    fewest = 2 if name == "llava_next_hf" else 3  # of 12 tiles a quarter: 64 of 256
    assert num_tiles(found["flat"][0]) <= fewest < num_tiles(found["page"][0])
    assert [num_tiles(plan) for plan in found["several"]] == [num_tiles(found[key][0]) for key in ("flat", "page")]
    assert findings(tmp_path / "out") == []


@pytest.mark.parametrize("name", TILED)
def test_documents_of_every_family_fit_their_budget(name, shard, tmp_path):
    summary = build(tmp_path / "out", shard, f"profile={name}", "pixels=patches")
    assert summary["totals"]["samples"]["packed"] == 3
    assert findings(tmp_path / "out") == []
    for plan in (plan for found in plans(tmp_path / "out").values() for plan in found):
        assert sum(view["tokens"] for view in plan["views"]) <= 2304


@pytest.mark.parametrize(
    ("name", "before", "behind"),
    [
        ("internvl", "budget.max_tokens=256", "budget={rule: global, image_share: 0.6}"),
        ("idefics3", "budget={rule: global, sample_tokens: 1500}", "budget.thresholds=[0.1, 0.2, 0.3]"),
        ("llava_onevision", "budget.max_image_tokens=6000", "budget={rule: query, max_tokens: 150}"),
    ],
)
def test_tiles_are_planned_again_from_the_index(name, before, behind, shard, tmp_path):
    options = (f"profile={name}", "sequence_length=8192", "pixels=patches")
    build(tmp_path / "out", shard, *options, before)
    found = build(tmp_path / "out", shard, *options, behind, rebuild=True)["replanned"]
    fresh = build(tmp_path / "fresh", shard, *options, behind)
    assert found["units"] == fresh["units"]["built"] > 0
    assert min(found["views"].values()) > 0
    ours, theirs = ({p: d for p, d in tree(tmp_path / o).items() if "versions/" not in p} for o in ("out", "fresh"))
    assert theirs.items() <= ours.items()
    assert findings(tmp_path / "out") == []
