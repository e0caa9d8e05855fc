"""1-D positions count every token."""

from dataclasses import asdict

import numpy as np

from operators.positions import Image, Text, positions_of
from operators.slicing.llava_next import LlavaNextConfig


def test_every_token_of_text_and_image_advances_by_one():
    plan = LlavaNextConfig().plan(640, 480, {"placeholder": "<image>"})
    image = Image([asdict(view) for view in plan.views], [asdict(run) for run in plan.layout])
    found = positions_of([Text(3), image, Text(2)], "1d")
    assert found.dtype == np.int32
    assert np.array_equal(found, [np.arange(3 + 2340 + 2)])


def test_document_without_tokens_has_none():
    assert positions_of([], "1d").shape == (1, 0)
