"""Frames by the rules of Qwen and of Dynamic-VLM, and their times as text."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.reduction.frames import dynamic_vlm_frames, evenly, qwen_frames, stamp_texts


def even_times(total, fps):
    return [Fraction(number) / fps for number in range(total)]


VIDEO_FPS = st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(1, 2), Fraction(60)])


def test_golden_times_as_text():
    assert "<image>".join(stamp_texts([1, 2, 3])) == "1s: <image>; 2s: <image>; 3s: <image>; \n"
    assert "<image>".join(stamp_texts([1])) == "<image>"


def test_ten_seconds_at_25_frames_a_second():
    assert qwen_frames(250, 25.0) == [
        0,
        13,
        26,
        39,
        52,
        66,
        79,
        92,
        105,
        118,
        131,
        144,
        157,
        170,
        183,
        197,
        210,
        223,
        236,
        249,
    ]
    assert dynamic_vlm_frames(even_times(250, 25)) == list(range(0, 250, 25))
    assert dynamic_vlm_frames(even_times(251, 25)) == list(range(0, 251, 25))


def test_a_long_video_has_100_frames_of_which_earlier_ones_stand_wider_apart():
    found = dynamic_vlm_frames(even_times(25 * 250, 25))
    assert len(found) == 100
    seconds = [frame // 25 for frame in found]
    assert seconds[:4] == [0, 3, 6, 9]
    assert seconds[-2:] == [246, 248]


@settings(max_examples=40)
@given(st.integers(2, 20_000), st.floats(1, 120))
def test_qwens_frames_are_those_of_torch_but_for_halves(total, fps):
    ours = qwen_frames(total, fps)
    theirs = torch.linspace(0, total - 1, len(ours), dtype=torch.float64).round().long().tolist()
    assert len(ours) % 2 == 0
    assert (ours[0], ours[-1]) == (0, total - 1)
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) <= 1
    assert ours == sorted(set(ours))


@settings(max_examples=40)
@given(st.integers(1, 2_000), VIDEO_FPS, st.integers(1, 120))
def test_dynamic_vlms_frames_are_distinct_ascend_and_are_the_first_of_their_seconds(total, fps, most):
    found = dynamic_vlm_frames(even_times(total, fps), most)
    assert found[0] == 0
    assert found == sorted(set(found))
    assert found[-1] < total
    assert len(found) <= most
    assert all((frame - 1) / fps < frame // fps for frame in found if fps > 1)


@settings(max_examples=40)
@given(st.integers(0, 300), st.integers(1, 50))
def test_stretches_differ_by_one_at_most(count, most):
    found = evenly(list(range(count)), most)
    assert len(found) == min(count, most)
    steps = {b - a for a, b in zip(found, [*found[1:], count], strict=True)} if found else set()
    assert not steps or max(steps) - min(steps) <= 1


def test_a_video_of_no_frames_gives_none_or_is_an_error():
    assert dynamic_vlm_frames([]) == []
    with pytest.raises(ValueError, match="at least 2 expected"):
        qwen_frames(1, 25.0)
