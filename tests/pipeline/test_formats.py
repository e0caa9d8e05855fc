"""Names give keys and fields by one stated rule, and members give documents or the reason why not."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from pipeline.errors import InputError, Reason
from pipeline.formats import FORMATS
from pipeline.formats.fields import join_keys
from pipeline.tar import Member
from pipeline.types import SegmentKind

PAIRS = FORMATS["pairs"]
INTERLEAVED = FORMATS["interleaved"]
MOST = 1000
"""Texts and images of a sample."""


def members(**files):
    """Members of key k by field, 1000 bytes apart; `_` in a field stands for a dot."""
    return [
        Member(f"k.{field.replace('_', '.')}", 1000 * (place + 1), len(data), data)
        for place, (field, data) in enumerate(files.items())
    ]


def index(texts, images, **more):
    return json.dumps({"texts": texts, "images": images, **more}).encode()


def reason_of(form, found):
    with pytest.raises(InputError) as caught:
        form.to_sample("k", found, MOST)
    return caught.value.reason


def test_formats_stand_under_their_own_names():
    assert all(form.name == name for name, form in FORMATS.items())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0000.jpg", ("0000", "jpg")),
        ("2024.01.05_cat.JPG", ("2024.01.05_cat", "jpg")),
        ("cat.JPEG", ("cat", "jpeg")),
        ("a/b.c/d.e.txt", ("a/b.c/d.e", "txt")),
        ("./x.png", ("./x", "png")),
        ("../../etc/passwd.txt", ("../../etc/passwd", "txt")),
        ("/etc/passwd.txt", ("/etc/passwd", "txt")),
        ("x.0.png", ("x.0", "png")),
        ("README", None),
        ("a.b/README", None),
        (".hidden", None),
        (".hidden.jpg", None),
        ("a/._cat.jpg", None),
        ("cat.", None),
        ("a/", None),
        ("", None),
    ],
)
def test_pair_names_split_at_the_last_dot(name, expected):
    assert PAIRS.split_name(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("k.json", ("k", "json")),
        ("k.0.png", ("k", "0.png")),
        ("k.12.JPEG", ("k", "12.jpeg")),
        ("2024.01.05.json", ("2024.01.05", "json")),
        ("2024.01.05.3.png", ("2024.01.05", "3.png")),
        ("a.5/k.0.png", ("a.5/k", "0.png")),
        ("a.5/0.png", ("a.5/0", "png")),
        ("0.png", ("0", "png")),
        ("k.cat.png", ("k.cat", "png")),
        ("k.²⁰.png", ("k.²⁰", "png")),
        (".0.png", None),
        ("README", None),
    ],
)
def test_interleaved_image_names_keep_their_number_in_the_field(name, expected):
    assert INTERLEAVED.split_name(name) == expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("000", "000", "000"),
        ("000", "000.meta", "000"),
        ("000", "000.seg.1", "000"),
        ("a.b/2024.01.05_cat", "a.b/2024.01.05_cat.meta", "a.b/2024.01.05_cat"),
        ("000", "0000", None),
        ("000.a", "000.b", None),
        ("2024.01.05_cat", "2024.01.05_dog", None),
        ("a", "a.b/c", None),
        ("a", "a/b", None),
    ],
)
def test_keys_join_to_the_shorter_where_a_dot_follows_it_in_the_other(one, other, expected):
    assert join_keys(one, other) == join_keys(other, one) == expected


def test_pair_is_its_image_and_then_its_text():
    sample, ignored = PAIRS.to_sample("k", members(txt="né".encode(), jpeg=b"\xff", json=b"{", cls=b"3"), MOST)
    image, text = sample.segments
    assert (image.kind, image.member, image.offset, image.size, image.data) == (
        SegmentKind.IMAGE,
        "k.jpeg",
        2000,
        1,
        b"\xff",
    )
    assert (text.kind, text.member, text.offset, text.size, text.text) == (SegmentKind.TEXT, "k.txt", 1000, 3, "né")
    assert sample.rejection is None
    assert ignored == 2


def test_empty_text_and_nul_bytes_are_text():
    for data in (b"", b"a\0b"):
        sample, _ = PAIRS.to_sample("k", members(jpg=b"x", txt=data), MOST)
        assert sample.segments[1].text == data.decode()


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (members(jpg=b"x"), Reason.FIELD_MISSING),
        (members(txt=b"x"), Reason.FIELD_MISSING),
        (members(cls=b"x"), Reason.FIELD_MISSING),
        (members(jpg=b"x", png=b"x", txt=b"x"), Reason.FIELD_INVALID),
        (members(jpg=b"x", jpeg=b"x", txt=b"x"), Reason.FIELD_INVALID),
        (members(jpg=b"x", txt=b"x", TXT=b"x"), Reason.FIELD_INVALID),
    ],
)
def test_pair_without_exactly_one_image_and_one_text_is_no_pair(found, reason):
    assert reason_of(PAIRS, found) == reason


def test_pair_error_says_where():
    with pytest.raises(InputError) as caught:
        PAIRS.to_sample("k", members(jpg=b"x", png=b"yy", txt=b"x"), MOST)
    error = caught.value
    assert (error.member, error.offset, error.size) == ("k.png", 2000, 2)


def test_text_that_is_not_utf8_rejects_the_pair_and_keeps_its_segments():
    sample, _ = PAIRS.to_sample("k", members(jpg=b"x", txt=b"ab\xff"), MOST)
    assert len(sample.segments) == 2
    assert sample.rejection.reason == Reason.TEXT_INVALID
    assert (sample.rejection.member, sample.rejection.offset, sample.rejection.segment) == ("k.txt", 2000, 1)


def test_interleaved_document_has_texts_and_images_in_order():
    found = members(
        json=index(["a", None, "b", None], [None, "1.JPG", None, "0.png"]), **{"0_png": b"p", "1_JPG": b"j"}
    )
    sample, ignored = INTERLEAVED.to_sample("k", found, MOST)
    assert [(s.kind, s.member, s.offset, s.size, s.text, s.data) for s in sample.segments] == [
        (SegmentKind.TEXT, "k.json", 1000, found[0].size, "a", None),
        (SegmentKind.IMAGE, "k.1.JPG", 3000, 1, None, b"j"),
        (SegmentKind.TEXT, "k.json", 1000, found[0].size, "b", None),
        (SegmentKind.IMAGE, "k.0.png", 2000, 1, None, b"p"),
    ]
    assert (sample.rejection, ignored) == (None, 0)


def test_images_that_no_place_names_are_counted_and_passed_over():
    found = members(json=index(["a"], [None], source="x"), **{"0_png": b"p", "png": b"q", "txt": b"t"})
    sample, ignored = INTERLEAVED.to_sample("k", found, MOST)
    assert len(sample.segments) == 1
    assert ignored == 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        index([], []),
        index(["a"], []),
        index(["a"], [None, "0.png"]),
        index(["a"], ["0.png"]),
        index([None], [None]),
        index([1], [None]),
        index([None], [0]),
        index([None], [["0.png"]]),
        index("a", "b"),
        b'{"texts": ' + b"[" * 200_000 + b"]" * 200_000 + b', "images": []}',
        b'{"texts": ' + b"9" * 5000 + b"}",
        b"\xef\xbb\xbf" + index(["a"], [None]),
    ],
    ids=range(17),
)
def test_json_that_says_something_else_is_invalid(data):
    assert reason_of(INTERLEAVED, members(json=data, **{"0_png": b"p"})) == Reason.FIELD_INVALID


def test_place_with_both_or_neither_is_named():
    with pytest.raises(InputError) as caught:
        INTERLEAVED.to_sample("k", members(json=index(["a", None], [None, None])), MOST)
    assert (caught.value.segment, caught.value.member, caught.value.offset) == (1, "k.json", 1000)


def test_json_that_is_not_utf8_is_invalid_text():
    for data in (b'{"texts": ["\xff"], "images": [null]}', '{"texts": ["a"], "images": [null]}'.encode("utf-16")):
        assert reason_of(INTERLEAVED, members(json=data)) == Reason.TEXT_INVALID


def test_document_without_json_has_a_missing_field():
    assert reason_of(INTERLEAVED, members(**{"0_png": b"p"})) == Reason.FIELD_MISSING


def test_two_members_for_one_field_are_invalid():
    found = members(json=index([None], ["0.png"]), **{"0_png": b"p", "0_PNG": b"q"})
    assert reason_of(INTERLEAVED, found) == Reason.FIELD_INVALID


def test_missing_image_is_named_and_the_other_segments_are_kept():
    found = members(json=index(["a", None, None], [None, "7.png", "0.png"]), **{"0_png": b"p"})
    sample, _ = INTERLEAVED.to_sample("k", found, MOST)
    assert [segment.member for segment in sample.segments] == ["k.json", "k.7.png", "k.0.png"]
    assert sample.rejection.reason == Reason.FIELD_MISSING
    assert "k.7.png" in sample.rejection.detail
    assert sample.rejection.segment == 1


def test_image_named_twice_is_invalid_so_that_no_list_multiplies_a_picture():
    found = members(json=index([None] * 3, ["0.png"] * 3), **{"0_png": b"p"})
    sample, _ = INTERLEAVED.to_sample("k", found, MOST)
    assert sample.rejection.reason == Reason.FIELD_INVALID
    assert sample.rejection.segment == 1
    assert sum(segment.data is not None for segment in sample.segments) == 1


def test_lone_surrogate_is_invalid_text_at_its_place():
    sample, _ = INTERLEAVED.to_sample("k", members(json=b'{"texts": ["a", "b\\ud800"], "images": [null, null]}'), MOST)
    assert (sample.rejection.reason, sample.rejection.segment) == (Reason.TEXT_INVALID, 1)
    paired, _ = INTERLEAVED.to_sample("k", members(json=b'{"texts": ["\\ud83d\\ude00"], "images": [null]}'), MOST)
    assert paired.segments[0].text == "\U0001f600"


@pytest.mark.parametrize("field", ["pkl", "pickle", "pt", "pth", "npy", "npz", "joblib", "dill", "PKL", "exe", "html"])
def test_no_format_asks_for_what_can_run(field):
    assert not any(form.wanted(form.split_name(f"k.{field}")[1]) for form in FORMATS.values())


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickle_beside_a_pair_is_never_loaded(tmp_path):
    planted = tmp_path / "planted"
    PAIRS.to_sample("k", members(jpg=b"x", txt=b"t", pkl=pickle.dumps(Bomb(planted))), MOST)
    assert not planted.exists()
