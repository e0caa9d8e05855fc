"""2-D positions are M-RoPE's without time."""

from dataclasses import asdict

import numpy as np

from operators.positions import Image, Text, Video
from operators.positions.mrope import MRope
from operators.positions.raster import Raster
from operators.slicing.qwen import QwenConfig


def test_rows_and_columns_are_those_of_mrope():
    plan = QwenConfig(patch=14, merge=2, min_pixels=784, max_pixels=12845056).plan(84, 56, {"placeholder": "<p>"})
    pieces = [Text(3), Image([asdict(v) for v in plan.views], [asdict(run) for run in plan.layout]), Text(2)]
    found = Raster().positions(pieces)
    assert found.dtype == np.int32
    assert np.array_equal(found, MRope().positions(pieces)[1:])


def test_steps_of_a_video_follow_each_other():
    assert Raster().positions([Video(2, 1, 2), Text(1)]).T.tolist() == [[0, 0], [0, 1], [2, 2], [2, 3], [4, 4]]


def test_document_without_tokens_has_none():
    assert Raster().positions([]).shape == (2, 0)
