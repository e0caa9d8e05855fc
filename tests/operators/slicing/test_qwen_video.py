"""Frames of a video: how many, how large and when, as Qwen's own code has it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.slicing.qwen import QwenConfig
from operators.slicing.qwen_video import frame_size, num_frames, plan_frames, timestamps
from pipeline.types import Modality

QWEN25 = QwenConfig(patch=14, merge=2, min_pixels=3136, max_pixels=12845056)
QWEN3 = QwenConfig(patch=16, merge=2, min_pixels=65536, max_pixels=16777216, stamped_frames=True)
TOKENS = {"placeholder": "<p>", "video": "<v>", "image_start": "<s>", "image_end": "<e>"}


@pytest.mark.parametrize(
    ("total", "fps", "expected"),
    [
        (300, 30, 20),  # ten seconds at two a second
        (30, 30, 4),  # at least four
        (3, 30, 2),  # but no more than there are, and an even number
        (100_000, 25, 768),
        (225, 25, 18),
        (238, 25, 18),  # 19.04: rounded down to even
    ],
)
def test_number_of_frames_equals_the_reference(total, fps, expected):
    assert num_frames(total, fps) == expected


def test_video_of_one_frame_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        num_frames(1, 25)


def test_long_videos_have_smaller_frames():
    assert frame_size(1920, 1080, 4, QWEN25) == (1008, 560)  # 720 tokens of at most 768
    assert frame_size(1920, 1080, 768, QWEN25) == (644, 336)  # 276 tokens of 300: 115,200 for all pairs of frames
    assert frame_size(64, 64, 4, QWEN25) == (336, 336)  # enlarged to at least 128 tokens


@given(st.integers(60, 4000), st.integers(60, 4000), st.integers(1, 384))
def test_a_video_stays_within_its_share_of_the_context(width, height, steps):
    new_width, new_height = frame_size(width, height, 2 * steps, QWEN25)
    tokens = new_width * new_height // 28**2
    assert tokens <= 768
    assert steps * tokens <= 115_200 or tokens <= 134


def test_timestamps_equal_the_golden_line():
    assert timestamps([0, 12, 24, 36, 48], 24) == [0.25, 1.25, 2.0]


def test_steps_of_qwen3_are_enclosed_and_stamped_one_by_one():
    plan = plan_frames(640, 480, [0.25, 1.25], QWEN3, TOKENS)
    count = plan.grid_h * plan.grid_w
    assert [(run.token, run.view, run.count) for run in plan.layout] == [
        ("<0.2 seconds>", -1, 1),
        ("<s>", -1, 1),
        ("<v>", 0, count),
        ("<e>", -1, 1),
        ("<1.2 seconds>", -1, 1),
        ("<s>", -1, 1),
        ("<v>", 1, count),
        ("<e>", -1, 1),
    ]
    assert {run.modality for run in plan.layout if run.view >= 0} == {Modality.VIDEO}


def test_steps_of_qwen2_are_enclosed_together():
    plan = plan_frames(640, 480, [0.5, 1.5, 2.5], QWEN25, TOKENS)
    assert [run.token for run in plan.layout] == ["<s>", "<v>", "<v>", "<v>", "<e>"]
    assert plan.placeholders == 3 * plan.views[0].tokens
    assert all(view.kind == "frame" and view.tokens <= 768 for view in plan.views)
