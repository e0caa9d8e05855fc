"""Every lie about a derived sample is found: which there are, what they hold, and how they are counted."""

from __future__ import annotations

import re
import shutil

import pyarrow as pa
import pytest
from hypothesis import given
from rewriting import Output

from jobs.verify import verify
from jobs.verify.derived import VIEWS, derived_samples
from operators.derive import Derive
from operators.deriving.tasks import INSTRUCTIONS
from operators.deriving.views import NUMBERS
from pipeline.schema import DECODED
from pipeline.types import Segment, SegmentKind
from tests.operators.deriving.letters import QUICKLY, documents
from tests.support import build, write_shard
from tests.test_derived_samples import ALL, MEMBERS, PLAIN


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    shard = write_shard(folder / "s.tar", MEMBERS)
    build(folder / "out", str(shard), ALL, *PLAIN)
    return folder / "out"


@pytest.fixture
def output(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "out")
    return Output(tmp_path / "out")


def row_of(rows, key):
    return next(row for row in rows if row["id"]["key"] == key)


def negative_in_the_order_of_its_original(output):
    def change(rows):
        row = row_of(rows, "story~shuffle-texts")
        row["segments"] = row_of(rows, "story")["segments"]

    output.table("index", change)


def steps_in_another_order(output):
    def change(rows):
        row = row_of(rows, "story~shuffle-steps")
        row["segments"] = row["segments"][2:] + row["segments"][:2]

    output.table("index", change)


def asked_and_answered_by_the_other(output):
    def change(rows):
        for segment in row_of(rows, "story~continue")["segments"]:
            segment["role"] = "user" if segment["role"] == "assistant" else "assistant"

    output.table("index", change)


def question_trained(output):
    def change(rows):
        segment = row_of(rows, "story~images-to-texts")["segments"][0]
        segment["labels"] = [-100, *segment["ids"][1:]]

    output.table("index", change)


def instruction_changed(output):
    def change(rows):
        segment = row_of(rows, "story~continue")["segments"][0]
        segment["ids"][-1] += 1

    output.table("index", change)


def text_of_ours_with_a_place(output):
    def change(rows):
        row_of(rows, "story~continue")["segments"][0]["offset"] = 512

    output.table("index", change)


def key_of_another_view(output):
    def change(rows):
        row_of(rows, "story~continue")["id"]["key"] = "story~question-to-document"

    output.table("index", change)


def number_of_another_view(output):
    def change(rows):
        row_of(rows, "alike~continue")["id"]["ordinal"] += 3 << 40

    output.table("index", change)


def view_left_out(output):
    """Of everything that has it: only the document tells."""

    def change(rows):
        rows[:] = [row for row in rows if row["id"]["key"] != "late~continue"]

    output.table("rejects", change)


def rejected_before_it_was_made(output):
    def change(rows):
        for row in rows:
            if row["id"]["key"] == "late~continue":
                row["operator"] = "decode"

    output.table("rejects", change)


def made_of_a_rejected_sample(output):
    def change(rows):
        row = row_of(rows, "none")
        rows.append(
            row | {"id": {"shard": "s.tar", "key": "none~continue", "ordinal": row["id"]["ordinal"] + (7 << 40)}}
        )

    output.table("rejects", change)


def segment_dropped_of_a_view(output):
    def change(rows):
        row = row_of(rows, "story~shuffle-texts")
        row["segments"][0]["number"] = 9

    output.table("index", change)


def count_changed(output):
    def change(record):
        counts = record["counts" if "counts" in record else "totals"]["samples"]
        counts["derived"] -= 1
        counts["packed"] -= 1

    output.manifest(change)
    output.version(change)


LIES = {
    negative_in_the_order_of_its_original: r"\(story~shuffle-texts\): segment 0 has other ids in the index",
    steps_in_another_order: r"\(story~shuffle-steps\): has other segments in the index than in its shard",
    asked_and_answered_by_the_other: r"\(story~continue\): has other segments in the index",
    question_trained: r"\(story~images-to-texts\): segment 0 has other labels in the index than its turn has",
    instruction_changed: r"\(story~continue\): segment 0 has other ids in the index than the tokenizer gives",
    text_of_ours_with_a_place: r"\(story~continue\): has other segments in the index than in its shard, from segment 0",
    key_of_another_view: r"\(story~continue\): has the key story~question-to-document in the index",
    number_of_another_view: r"is recorded; neither the job nor its document asks for it",
    view_left_out: r"\(late~continue\): is neither packed nor rejected; one of packed, rejected and carried expected",
    rejected_before_it_was_made: r"\(late~continue\): was rejected by decode, which sees no sample that is made of",
    made_of_a_rejected_sample: r"\(none~continue\): is recorded; neither the job nor its document asks for it",
    segment_dropped_of_a_view: r"has segments in the index whose numbers are not those of its document",
    count_changed: r"counts.samples.derived is \d+; \d+ expected",
}


def test_derived_samples_as_they_were_made_pass(sound):
    assert verify(str(sound)).findings == []


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_about_a_derived_sample_is_found(output, lie):
    lie(output)
    lines = [f"{finding.where}: {finding.what}" for finding in verify(str(output.root)).findings]
    assert any(re.search(LIES[lie], line) for line in lines), lines


def test_what_the_check_knows_of_views_is_what_the_build_knows():
    assert tuple(NUMBERS) == VIEWS


@QUICKLY
@given(documents())
def test_the_check_and_the_build_derive_the_same(document):
    """Documents with numbered steps and a title before them among these."""
    kinds = [SegmentKind(int(document.is_image(i))) for i in range(len(document.contents))]
    places = [
        {"kind": kind, "member": f"m{i}", "offset": i, "size": 1, "role": None, "turn": turn}
        | {"text": None if kind == SegmentKind.IMAGE else content}
        for i, (kind, content, turn) in enumerate(zip(kinds, document.contents, document.turns, strict=True))
    ]
    pictures = [
        {"width": 1, "height": 1, "format": "png", "digest": c * 16} for c in document.contents if isinstance(c, bytes)
    ]
    shard, _, key = document.name.partition("/")
    row = {"unit": 0, "shard": shard, "shard_number": 0, "ordinal": 3, "key": key, "dropped": [], "num_derived": 0}
    row |= {"withheld": False, "rejection": None, "shard_end": None, "pictures": pictures, "smalls": []}
    row["segments"] = [one | {"kind": int(one["kind"]), "number": i, "encoding": None} for i, one in enumerate(places)]
    _, *built = Derive(tuple(NUMBERS))(pa.Table.from_pylist([row], DECODED)).to_pylist()
    segments = [
        Segment(**one, data=content if isinstance(content, bytes) else None)
        for one, content in zip(places, document.contents, strict=True)
    ]
    asked = list(derived_samples((shard, 3), key, segments, VIEWS, INSTRUCTIONS))
    assert [(row["ordinal"], row["key"]) for row in built] == [(ordinal, key) for ordinal, key, _ in asked]
    names = ("kind", "member", "offset", "size", "text", "role")
    for row, (_, _, made) in zip(built, asked, strict=True):
        assert [[one[name] for name in names] for one in row["segments"]] == [
            [getattr(one, name) for name in names] for one in made
        ]


def test_a_conversation_and_a_document_of_one_step_are_asked_for_nothing():
    def segments(letters, role=None):
        kinds = [SegmentKind.IMAGE if letter.isupper() else SegmentKind.TEXT for letter in letters]
        return [
            Segment(kind, letter, 0, 1, text=letter, role=role) for kind, letter in zip(kinds, letters, strict=True)
        ]

    for document in (segments("aAbB", "user"), segments("aA"), segments("abc"), []):
        assert list(derived_samples(("s.tar", 0), "k", document, VIEWS, dict.fromkeys(VIEWS[4:], "Go."))) == []
