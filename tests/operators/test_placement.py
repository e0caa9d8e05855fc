"""Pictures stand where the job wants them, and neither they nor the texts change their own order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.placement import PlacementConfig, place
from pipeline.types import SegmentKind


def document(letters, role=None):
    """Capitals are images, other letters texts."""
    kinds = (SegmentKind.IMAGE if letter.isupper() else SegmentKind.TEXT for letter in letters)
    return [{"kind": int(kind), "text": letter, "role": role} for letter, kind in zip(letters, kinds, strict=True)]


def placed(letters, images, window_texts=4, role=None):
    config = PlacementConfig(images=images, window_texts=window_texts)
    return "".join(segment["text"] for segment in place(document(letters, role), config))


@pytest.mark.parametrize(
    ("images", "window_texts", "expected"),
    [
        ("interleaved", 4, "aAbcBdCD"),
        ("prefix", 4, "ABCDabcd"),
        ("suffix", 4, "abcdABCD"),
        ("window", 1, "aAbcBCDd"),
        ("window", 2, "AabBCDcd"),
        ("window", 3, "AabcBCDd"),
        ("window", 9, "ABCDabcd"),
    ],
)
def test_images_stand_where_the_job_wants_them(images, window_texts, expected):
    assert placed("aAbcBdCD", images, window_texts) == expected


@pytest.mark.parametrize("images", ["prefix", "suffix", "window"])
def test_a_conversation_keeps_its_turns(images):
    assert placed("aAbcB", images, role="user") == "aAbcB"


@given(
    st.text("abcABC", max_size=12),
    st.sampled_from(["interleaved", "prefix", "suffix", "window"]),
    st.integers(1, 5),
)
def test_nothing_is_lost_and_each_kind_keeps_its_order(letters, images, window_texts):
    found = placed(letters, images, window_texts)
    assert [c for c in found if c.isupper()] == [c for c in letters if c.isupper()]
    assert [c for c in found if c.islower()] == [c for c in letters if c.islower()]
