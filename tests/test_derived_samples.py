"""Samples that are made of documents are packed, counted, copied, carried, re-planned, explained and requeued."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs.spec import load_job
from jobs.verify import verify
from operators.deriving.tasks import INSTRUCTIONS
from operators.deriving.views import NUMBERS
from operators.profiles import load_profile
from operators.tokenizers.opening import open_tokenizer
from pipeline.derived import derived_ordinal
from tests.calling import call
from tests.support import QUICKSTART, ROOT, build, write_shard
from tests.test_damage import picture
from tests.test_replanning import is_fresh, replanned

ALL = f"derive=[{','.join(NUMBERS)}]"
PLAIN = ("score=null", "budget=none", "sequence_length=2048", "limits.max_reject_ratio=1")


def page(key: str, *parts: str | bytes) -> dict[str, bytes]:
    """The members of a document of texts and pictures."""
    names = iter(range(len(parts)))
    images = [None if isinstance(part, str) else f"{next(names)}.png" for part in parts]
    index = {"texts": [part if isinstance(part, str) else None for part in parts], "images": images}
    shown = (part for part in parts if isinstance(part, bytes))
    pictures = zip((name for name in images if name), shown, strict=True)
    return {f"{key}.json": json.dumps(index).encode()} | {f"{key}.{name}": data for name, data in pictures}


def half_a_picture() -> bytes:
    """A JPEG of which only full decoding shows that it is cut."""
    out = io.BytesIO()
    Image.effect_noise((200, 160), 80).convert("RGB").save(out, "JPEG")
    return out.getvalue()[: len(out.getvalue()) // 2]


STORY = page("story", "One box.", picture(1), "Two boxes.", picture(2), "Three of them.", picture(3), "The end.")
MEMBERS = {
    **STORY,
    **page("alike", "The same.", picture(4), "The same.", picture(5)),
    **page("words", "No picture", "at all."),
    **page("one", "A step.", picture(6)),
    **page("none", "One.", b"no picture", "Two.", picture(7)),
    **page("late", picture(8), "One.", half_a_picture(), "Two."),
}
MADE = {"story": 8, "alike": 6, "words": 0, "one": 0, "none": 0, "late": 8}
"""Texts that are equal have no other order, by themselves or beside images."""


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_shard(tmp_path_factory.mktemp("in") / "s.tar", MEMBERS))


@pytest.fixture(scope="module")
def built(shard: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    output = tmp_path_factory.mktemp("built") / "out"
    return output, build(output, shard, ALL, *PLAIN)


def packed(output: Path) -> dict[str, list[int]]:
    """The trained ids of each sample, by key."""
    return {
        sample["id"]["key"]: [i for i in row["labels"][sample["start"] : sample["start"] + sample["length"]] if i >= 0]
        for path in sorted((output / "data").iterdir())
        for row in pq.read_table(path).to_pylist()
        for sample in row["samples"]
    }


def findings(output: Path) -> list[str]:
    return [f"{finding.where}: {finding.what}" for finding in verify(str(output)).findings]


def test_every_view_that_makes_sense_is_packed_and_the_counters_close(
    built: tuple[Path, dict[str, Any]],
) -> None:
    output, summary = built
    counts = summary["totals"]["samples"]
    assert (counts["read"], counts["derived"]) == (len(MADE), sum(MADE.values()))
    for level in summary["totals"]["samples"], summary["totals"]["segments"]:
        assert level["read"] + level["derived"] == level["packed"] + level["rejected"]
    assert summary["reasons"] == {"format-not-allowed": 1, "decode-error": 1 + MADE["late"]}
    expected = {"story", "alike", "words", "one", *(f"story~{name}" for name in NUMBERS)}
    expected |= {f"alike~{name}" for name in NUMBERS if name not in {"shuffle-texts", "shuffle-both"}}
    assert packed(output).keys() == expected
    assert findings(output) == []


def test_negatives_train_all_their_text_and_tasks_the_answer_alone(built: tuple[Path, dict[str, Any]]) -> None:
    literals = load_profile("qwen2_5_vl").tokens.literals()
    tokenizer = open_tokenizer((ROOT / "jobs/samples/tokenizer.model").read_bytes(), literals, "it")
    trained = {key: " ".join(tokenizer.decode(ids).split()) for key, ids in packed(built[0]).items()}
    assert trained["story~images-to-texts"] == "(1) One box. (2) Two boxes. (3) Three of them. (4) The end."
    assert trained["story~texts-to-images"] == ""
    assert trained["story~continue"] == "Three of them.The end."
    assert trained["story~question-to-document"] == "Two boxes.Three of them.The end."
    for name in ("shuffle-texts", "shuffle-images", "shuffle-both", "shuffle-steps"):
        assert len(trained[f"story~{name}"].split()) >= len(trained["story"].split()) - 1


@pytest.mark.slow
def test_pictures_shown_by_several_samples_are_rendered_by_the_plan_of_each(tmp_path: Path) -> None:
    """What an image is asked decides what it gets, and every view asks it something else."""
    noise = [Image.effect_noise((300 + 90 * i, 420), 80).convert("RGB") for i in range(2)]
    out = [io.BytesIO() for _ in noise]
    for image, file in zip(noise, out, strict=True):
        image.save(file, "PNG")
    shown = [file.getvalue() for file in out]
    shard = write_shard(tmp_path / "s.tar", page("k", "Where?", shown[0], "Count the dots there.", shown[1]))
    options = ("budget.rule=query", "budget.max_tokens=200", "sequence_length=8192")
    build(tmp_path / "out", str(shard), "derive=[shuffle-texts,images-to-texts]", *options)
    assert findings(tmp_path / "out") == []
    plans = {
        json.dumps(segment["plan"])
        for path in (tmp_path / "out" / "index").iterdir()
        for row in pq.read_table(path).to_pylist()
        for segment in row["segments"]
        if segment["plan"]
    }
    assert len(plans) > len(shown)


def test_copies_follow_the_original_and_what_a_limit_withholds_makes_no_others(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "s.tar", STORY | page("two", "One.", picture(4), "Two.", picture(5)))
    summary = build(tmp_path / "out", str(shard), ALL, *PLAIN, "limit=1", "input.weight=2", "pixels=none")
    counts = summary["totals"]["samples"]
    assert (counts["derived"], counts["withheld"], counts["repeated"], counts["packed"]) == (8, 1, 9, 18)
    assert findings(tmp_path / "out") == []


def test_derived_samples_are_carried_to_the_closing_unit(tmp_path: Path) -> None:
    for number in range(2):
        write_shard(tmp_path / f"{number}.tar", STORY)
    options = ("unit.target_shards=1", "pack.closing=true", "pixels=none")
    summary = build(tmp_path / "out", f"{tmp_path}/*.tar", "derive=[shuffle-both,continue]", *PLAIN, *options)
    assert summary["totals"]["samples"]["packed"] == 6
    assert findings(tmp_path / "out") == []


def test_another_length_replans_derived_samples_to_the_bytes_of_a_fresh_build(
    built: tuple[Path, dict[str, Any]], shard: str, tmp_path: Path
) -> None:
    shutil.copytree(built[0], tmp_path / "out")
    other = (ALL, *PLAIN, "sequence_length=1024", "input.weight=2")
    assert replanned(tmp_path / "out", shard, *other)["units"] == 1
    build(tmp_path / "fresh", shard, *other)
    assert is_fresh(tmp_path / "out", tmp_path / "fresh")
    assert findings(tmp_path / "out") == []


def test_samples_rejected_behind_derive_still_have_what_was_made_of_them(tmp_path: Path) -> None:
    long = page("long", "word " * 300, picture(1), "end", picture(2))
    shard = write_shard(tmp_path / "s.tar", long | STORY)
    options = (*PLAIN, "sequence_length=256", "pixels=none", "pack.long_documents=reject", "placement.images=prefix")
    summary = build(tmp_path / "out", str(shard), ALL, *options)
    assert summary["totals"]["samples"]["derived"] == 16
    assert summary["reasons"]["too-long"] >= 9
    assert findings(tmp_path / "out") == []


def test_a_view_more_changes_the_id_of_no_sample(shard: str, built: tuple[Path, dict[str, Any]]) -> None:
    ids = {
        (row["id"]["key"], row["id"]["ordinal"])
        for path in (built[0] / "index").iterdir()
        for row in pq.read_table(path, columns=["id"]).to_pylist()
    }
    assert {("story", 0), ("story~shuffle-texts", 1 << 40), ("story~continue", 7 << 40)} <= ids
    assert [*NUMBERS.values()] == list(range(1, 9))
    assert ("story~question-to-document", derived_ordinal(0, 8)) in ids


def test_a_derived_sample_is_explained_by_its_key_and_says_what_it_was_made_of(
    built: tuple[Path, dict[str, Any]],
) -> None:
    result = call("inspect", built[0], "--explain", "story~continue", "--json")
    found = json.loads(result.out)
    assert found["outcome"] == "packed"
    assert found["made_of"] == {"view": "continue", "shard": "s.tar", "key": "story", "ordinal": 0}
    shown = call("inspect", built[0], "--explain", "story~continue").out
    assert "made of: s.tar/story#0, by continue" in shown
    assert "of the view's own, in no shard" in shown
    assert INSTRUCTIONS["continue"].strip() in shown
    assert json.loads(call("inspect", built[0], "--explain", "story", "--json").out)["made_of"] is None


def test_the_original_of_a_rejected_derived_sample_is_requeued_once(
    built: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    result = call("requeue", built[0], "--to", tmp_path / "again", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["num_samples"] == 2
    again = json.loads(call("run", tmp_path / "again" / "requeue.yaml", "--local", "--json").out)
    assert (again["totals"]["samples"]["read"], again["totals"]["samples"]["derived"]) == (2, MADE["late"])


def test_what_a_job_may_derive_is_told_before_any_work(shard: str, tmp_path: Path) -> None:
    for option, said in {
        "derive=[shuffle]": "derive",
        "derive=[continue,continue]": "names a view twice; name each once",
    }.items():
        with pytest.raises(Exception, match=said):
            build(tmp_path / "out", shard, option, *PLAIN)
    with pytest.raises(Exception, match="profile vit has no chat template, which derive needs for continue: choose"):
        build(tmp_path / "out", shard, "derive=[shuffle-texts,continue]", *PLAIN, "profile=vit")
    assert not (tmp_path / "out").exists()


def test_the_order_in_which_a_job_names_views_is_no_part_of_it() -> None:
    options = [f"tokenizer={ROOT}/jobs/samples/tokenizer.model", "output=out"]
    jobs = [
        load_job(str(QUICKSTART), [*options, f"derive=[{views}]"])
        for views in ("continue,shuffle-steps", "shuffle-steps,continue")
    ]
    assert jobs[0] == jobs[1]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_ray_derives_the_same_bytes(shard: str, built: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    build(tmp_path / "out", shard, ALL, *PLAIN, local=False)
    assert is_fresh(tmp_path / "out", built[0])
