"""Conversations come out turn by turn, each image at its mark, or say what is wrong with them."""

from __future__ import annotations

import json

import pytest

from pipeline.errors import InputError, Reason
from pipeline.formats import FORMATS
from pipeline.tar import Member
from pipeline.types import SegmentKind

CONVERSATIONS = FORMATS["conversations"]
HELLO = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]


def members(**files):
    """Members of key k by field, 1000 bytes apart; `_` in a field stands for a dot, one before it is dropped."""
    return [
        Member(f"k.{field.lstrip('_').replace('_', '.')}", 1000 * (place + 1), len(data), data)
        for place, (field, data) in enumerate(files.items())
    ]


def turns(*values, **more):
    return json.dumps({"conversations": [{"from": role, "value": value} for role, value in values], **more}).encode()


def read(**files):
    return CONVERSATIONS.to_sample("k", members(**files), 1000)


def error_of(**files):
    with pytest.raises(InputError) as caught:
        read(**files)
    return caught.value


def outline(sample):
    return [(part.turn, part.role, part.text if part.text is not None else part.member) for part in sample.segments]


def test_names_split_as_those_of_interleaved_documents():
    assert CONVERSATIONS.split_name("a/k.JPG") == ("a/k", "jpg")
    assert CONVERSATIONS.split_name("a/k.12.PNG") == ("a/k", "12.png")
    assert [CONVERSATIONS.wanted(field) for field in ("json", "jpg", "3.webp", "txt", "pkl")] == [True] * 3 + [
        False
    ] * 2


def test_turn_is_a_text_or_texts_around_images():
    sample, ignored = read(
        json=turns(("human", "<image>\nWhat is this?"), ("gpt", "A cat."), image="k.jpg"), jpg=b"\xff", txt=b"t"
    )
    assert outline(sample) == [
        (0, "user", ""),
        (0, "user", "k.jpg"),
        (0, "user", "\nWhat is this?"),
        (1, "assistant", "A cat."),
    ]
    assert sample.rejection is None
    assert ignored == 1
    _, picture, text, _ = sample.segments
    assert (picture.kind, picture.offset, picture.size, picture.data) == (SegmentKind.IMAGE, 2000, 1, b"\xff")
    assert (text.kind, text.member, text.offset) == (SegmentKind.TEXT, "k.json", 1000)


def test_images_follow_their_numbers_through_all_turns():
    sample, _ = read(
        _1_jpg=b"1",
        _2_png=b"2",
        json=turns(("human", "<image><image> or"), ("assistant", "this: <image>")),
        _0_png=b"0",
    )
    assert outline(sample) == [
        (0, "user", ""),
        (0, "user", "k.0.png"),
        (0, "user", ""),
        (0, "user", "k.1.jpg"),
        (0, "user", " or"),
        (1, "assistant", "this: "),
        (1, "assistant", "k.2.png"),
        (1, "assistant", ""),
    ]
    assert [segment.data for segment in sample.segments if segment.data] == [b"0", b"1", b"2"]


def test_messages_say_the_same_in_other_words():
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": ""},
    ]
    sample, _ = read(json=json.dumps({"messages": messages}).encode())
    assert outline(sample) == [(0, "system", "s"), (1, "user", "u"), (2, "assistant", "")]


def test_users_may_speak_several_times_in_a_row_and_the_assistant_first():
    sample, _ = read(json=turns(("gpt", "a"), ("human", "b"), ("user", "c"), ("assistant", "d")))
    assert [role for _, role, _ in outline(sample)] == ["assistant", "user", "user", "assistant"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "object"),
        (b"{}", "one of conversations, messages"),
        (json.dumps({"conversations": HELLO, "messages": []}).encode(), "one of conversations, messages"),
        (turns(), "at least one turn"),
        (b'{"conversations": {"from": "human", "value": "x"}}', "at least one turn"),
        (b'{"conversations": ["x"]}', "two texts, from and value"),
        (b'{"conversations": [{"from": "human"}]}', "two texts, from and value"),
        (b'{"messages": [{"role": "user", "content": [{"type": "text"}]}]}', "two texts, role and content"),
        (b'{"messages": [{"from": "human", "value": "x"}]}', "two texts, role and content"),
        (turns(("tool", "x")), "is from 'tool'"),
        (turns(("Human", "x")), "is from 'Human'"),
        (turns(("human", "x"), ("system", "y")), "once and first"),
        (turns(("system", "x"), ("system", "y")), "once and first"),
    ],
)
def test_json_of_another_shape_is_rejected(data, words):
    error = error_of(json=data)
    assert (error.reason, error.member, error.offset) == (Reason.FIELD_INVALID, "k.json", 1000)
    assert words in error.detail


def test_json_that_is_no_text_is_rejected():
    assert error_of(json=b"\xff").reason == Reason.TEXT_INVALID


def test_sample_without_turns_is_rejected():
    error = error_of(jpg=b"")
    assert (error.reason, error.member) == (Reason.FIELD_MISSING, "k.jpg")


def test_two_members_for_one_place_are_rejected_at_the_second():
    hello = json.dumps({"conversations": HELLO}).encode()
    for files in ({"jpg": b"", "png": b""}, {"_0_jpg": b"", "_0_png": b""}, {"_0_jpg": b"", "_00_jpg": b""}):
        error = error_of(json=hello, **files)
        assert (error.reason, error.offset) == (Reason.FIELD_INVALID, 3000)
    assert error_of(jpg=b"", json=hello, _0_jpg=b"").reason == Reason.FIELD_INVALID
    assert error_of(json=hello, JSON=hello).reason == Reason.FIELD_INVALID


@pytest.mark.parametrize(
    ("files", "reason", "words"),
    [
        ({}, Reason.FIELD_MISSING, "2 <image> and k has 0 images"),
        ({"jpg": b""}, Reason.FIELD_MISSING, "2 <image> and k has 1 images"),
        ({"_0_jpg": b"", "_1_jpg": b"", "_2_jpg": b""}, Reason.FIELD_INVALID, "2 <image> and k has 3 images"),
        ({"_1_jpg": b"", "_2_jpg": b""}, Reason.FIELD_MISSING, "none of number 0"),
        ({"_0_jpg": b"", "_" + "9" * 5000 + "_jpg": b""}, Reason.FIELD_MISSING, "none of number 1"),
    ],
)
def test_marks_and_images_that_do_not_match_reject_the_sample_with_all_segments(files, reason, words):
    sample, ignored = read(json=turns(("human", "<image><image>"), ("gpt", "x")), **files)
    assert sample.rejection.reason == reason
    assert words in sample.rejection.detail
    assert len(sample.segments) == 6
    assert ignored == len(files) - sum(segment.data is not None for segment in sample.segments)


def test_lone_surrogate_rejects_the_sample_at_its_segment():
    data = b'{"conversations": [{"from": "human", "value": "<image>\\ud800"}, {"from": "gpt", "value": "x"}]}'
    sample, _ = read(json=data, jpg=b"\xff")
    assert (sample.rejection.reason, sample.rejection.segment) == (Reason.TEXT_INVALID, 2)
    assert len(sample.segments) == 4
