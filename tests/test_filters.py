"""Filters in a whole build: what they take out is counted, explained and verified, and is no fault of the data."""

import json

import pyarrow.parquet as pq
import pytest
from support import build, tree, write_shard

from jobs.inspect.command import inspect_output
from jobs.requeue import requeue_rejects
from jobs.verify import verify
from operators.decode import Decode
from pipeline.errors import ConfigError
from tests.test_damage import picture

PLAIN = ("score=null", "budget=none")
RULES = "filters={size: {min: 50}, repeated_image: true, images: {min: 1}, dedup: {images: 2}}"
TEXT = "The {} page of this manual shows how the tool works and what you can do with it."


def document(key, texts, pictures):
    """Texts, then pictures by their bytes."""
    names = [f"{i}.png" for i in range(len(pictures))]
    index = {"texts": [*texts, *[None] * len(names)], "images": [*[None] * len(texts), *names]}
    members = {f"{key}.json": json.dumps(index).encode()}
    return members | {f"{key}.{name}": data for name, data in zip(names, pictures, strict=True)}


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    """Sound; a tiny picture beside a large one; a tiny one alone; one twice; a copy of the first; and more."""
    small, large = picture(1, size=(20, 20)), [picture(i) for i in range(9)]
    members = document("a", [TEXT.format("first")], [large[0]])
    members |= document("b", [TEXT.format("second")], [small, large[1]])
    members |= document("c", [TEXT.format("third")], [small])
    members |= document("d", [TEXT.format("fourth")], [large[2], large[2], large[3]])
    members |= document("e", [TEXT.format("first")], [large[0]])
    members |= document("f", [TEXT.format("fifth")], [large[0]])
    members |= document("g", [TEXT.format("sixth")], [large[4], large[0]])
    members |= document("h", [TEXT.format("seventh")], [large[5][:60]])
    return str(write_shard(tmp_path_factory.mktemp("in") / "in.tar", members))


@pytest.fixture(scope="module")
def output(shard, tmp_path_factory):
    out = tmp_path_factory.mktemp("filtered") / "out"
    summary = build(out, shard, *PLAIN, RULES, "limits.max_reject_ratio=0.3")
    return out, summary


def rejects(out):
    rows = [row for file in sorted((out / "rejects").iterdir()) for row in pq.read_table(file).to_pylist()]
    return {(row["id"]["key"], row["segment"]): row for row in rows}


def test_counts_close_and_verify_finds_nothing(output):
    out, summary = output
    totals = summary["totals"]
    assert verify(str(out)).findings == []
    assert {name: totals["samples"][name] for name in ("read", "packed", "rejected")} == {
        "read": 8, "packed": 4, "rejected": 4,
    }  # fmt: skip
    # Of the 19 segments a has 2, b keeps 2, d keeps 3, f has 2.
    assert {name: totals["segments"][name] for name in ("read", "packed", "rejected")} == {
        "read": 20, "packed": 9, "rejected": 11,
    }  # fmt: skip
    assert summary["reasons"] == {
        "decode-error": 1, "filter-duplicate-document": 1, "filter-duplicate-image": 1, "filter-images": 1,
    }  # fmt: skip


def test_every_segment_taken_out_has_its_place_and_its_rules(output):
    found = rejects(output[0])
    assert found["b", 1]["reason"] == "filter-size"
    assert found["b", 1]["operator"] == "filter"
    assert found["b", 1]["member"] == "b.0.png"
    assert found["d", 2]["reason"] == "filter-repeated-image"
    assert found["c", None]["reason"] == "filter-images"
    assert found["c", 1]["rules"] == ["filter-size"]
    assert found["c", 0]["reason"] == "sample-rejected"
    assert found["e", None]["detail"] == "the same document is in.tar a"
    assert found["g", 2]["reason"] == "filter-duplicate-image"
    assert ("b", None) not in found


def test_what_filters_reject_is_no_fault_of_the_data(shard, tmp_path):
    """Four of eight samples are rejected, and only one of them, of five that no filter rejects, is a fault."""
    build(tmp_path / "out", shard, *PLAIN, RULES, "limits.max_reject_ratio=0.2")


def test_explain_shows_what_was_dropped_in_its_place(output):
    found = inspect_output([str(output[0])], pack=None, explain_id="b", limit=None, show=False)
    assert found["outcome"] == "packed"
    assert [segment["number"] for segment in found["segments"]] == [0, 1, 2]
    assert [segment["reason"] for segment in found["segments"]] == [None, "filter-size", None]


def test_the_same_job_gives_the_same_bytes(shard, output, tmp_path):
    build(tmp_path / "again", shard, *PLAIN, RULES, "limits.max_reject_ratio=0.3")
    assert tree(tmp_path / "again") == tree(output[0])


def test_copies_and_a_closing_unit_count_what_was_dropped_once(shard, tmp_path):
    for name, settings in {"copies": ("input.weight=2.5",), "closing": ("pack.closing=true",)}.items():
        build(tmp_path / name, shard, *PLAIN, RULES, "limits.max_reject_ratio=0.3", *settings)
        assert verify(str(tmp_path / name)).findings == []


def test_replanning_keeps_what_was_dropped(shard, output, tmp_path):
    """Another length is packed from the index: the same bytes as a fresh build of it."""
    settings = (*PLAIN, RULES, "limits.max_reject_ratio=0.3")
    build(tmp_path / "out", shard, *settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Decode, "__call__", None)  # nothing is decoded
        build(tmp_path / "out", shard, *settings, "sequence_length=4096", rebuild=True)
    build(tmp_path / "fresh", shard, *settings, "sequence_length=4096")
    fresh = tree(tmp_path / "fresh")
    found = tree(tmp_path / "out")
    assert all(found[path] == digest for path, digest in fresh.items() if not path.startswith("versions"))
    assert verify(str(tmp_path / "out")).findings == []


def test_views_are_made_of_what_filters_leave(tmp_path):
    """Of four CoMM steps one loses its picture: no view shows that; counts close under a weight and a closing unit."""
    members = {}
    for number in range(6):
        data = [picture(10 * number + step, size=(60, 60)) for step in range(3)] + [picture(1, size=(20, 20))]
        steps = [
            [
                {"type": "text", "content": f"Step {step} of page {number} says what to do."},
                {"type": "image", "image_path": f"{step}.png"},
            ]
            for step in range(4)
        ]
        index = {"title": f"Page {number}", "summary_info": [], "step_info": steps}
        members[f"{number}.json"] = json.dumps(index).encode()
        members |= {f"{number}.{step}.png": one for step, one in enumerate(data)}
    shard = str(write_shard(tmp_path / "in.tar", members))
    settings = ("input.format=comm", "input.weight=1.5", "pack.closing=true", "filters={size: {min: 50}}")
    views = "derive=[shuffle-images, shuffle-steps, images-to-texts, question-to-document]"
    summary = build(tmp_path / "out", shard, *PLAIN, *settings, views)
    assert verify(str(tmp_path / "out")).findings == []
    samples, segments = (summary["totals"][level] for level in ("samples", "segments"))
    assert (samples["read"], samples["derived"], samples["rejected"]) == (6, 24, 0)
    assert segments["rejected"] == 6
    for file in (tmp_path / "out" / "index").iterdir():
        for row in pq.read_table(file).to_pylist():
            assert not any(segment["member"].endswith(".3.png") for segment in row["segments"])
            assert len(row["dropped"]) == ("~" not in row["id"]["key"])


def test_where_the_files_of_rules_lie_changes_no_byte(shard, tmp_path, monkeypatch):
    trees = []
    for name in ("one", "other"):
        monkeypatch.setenv("HOME", str(tmp_path / name))
        (tmp_path / name).mkdir()
        (tmp_path / name / "s.jsonl").write_text('{"key": "a", "score": 1}\n')
        (tmp_path / name / "w.txt").write_text("the of this\n")
        rules = "filters={perplexity: {scores: ~/s.jsonl}, text_sequence: {scorer: ~/s.jsonl, min: 0},"
        rules += " stopwords: {words: ~/w.txt}}"
        build(tmp_path / name / "out", shard, *PLAIN, rules, "limits.max_reject_ratio=1")
        trees.append(tree(tmp_path / name / "out"))
    assert trees[0] == trees[1]
    assert ("b", None) in rejects(tmp_path / "one" / "out")


def test_what_filters_alone_rejected_is_not_requeued_and_the_error_says_how(tmp_path):
    shard = write_shard(tmp_path / "in.tar", document("c", [TEXT.format("third")], [picture(1, size=(20, 20))]))
    build(tmp_path / "out", str(shard), *PLAIN, RULES)
    with pytest.raises(ConfigError, match="rejected no sample but the 1 that its filters did, which --reason asks"):
        requeue_rejects(str(tmp_path / "out"), str(tmp_path / "again"), [])
