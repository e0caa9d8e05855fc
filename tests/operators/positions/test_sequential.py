"""1-D positions count every token."""

from dataclasses import asdict

import numpy as np

from operators.positions import Image, Text, Video
from operators.positions.sequential import Sequential
from operators.slicing.llava_next import LlavaNextConfig


def test_every_token_of_text_and_image_advances_by_one():
    plan = LlavaNextConfig().plan(640, 480, {"placeholder": "<image>"})
    image = Image([asdict(view) for view in plan.views], [asdict(run) for run in plan.layout])
    found = Sequential().positions([Text(3), image, Text(2)])
    assert found.dtype == np.int32
    assert np.array_equal(found, [np.arange(3 + 2340 + 2)])


def test_document_without_tokens_has_none():
    assert Sequential().positions([]).shape == (1, 0)


def test_tokens_of_a_video_count_like_all_others():
    assert Sequential().positions([Video(2, 3, 4), Text(1)]).tolist() == [list(range(25))]
