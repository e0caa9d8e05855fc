"""V2PE positions equal the reference's: fractions for visual tokens, whole numbers for text."""

import numpy as np
import pytest
from pydantic import ValidationError

from operators.positions import Image, Text, Video
from operators.positions.v2pe import V2pe

# Five tokens of text up to the start mark, 512 visual tokens (two tiles), three of text: the first two visual
# positions, the last, and the three behind it.
GOLDEN = {
    256: ([5.0, 6.0], 516.0, [517, 518, 519]),
    64: ([4.25, 4.5], 132.0, [133, 134, 135]),
    16: ([4.0625, 4.125], 36.0, [37, 38, 39]),
    1: ([4.00390625, 4.0078125], 6.0, [7, 8, 9]),
}


@pytest.mark.parametrize("stride", GOLDEN)
def test_two_tiles_equal_the_reference(stride):
    first, last, behind = GOLDEN[stride]
    runs = [{"view": view, "count": count} for view, count in ((-1, 1), (0, 256), (1, 256), (-1, 1))]
    found = V2pe(stride=stride).positions([Text(4), Image([], runs), Text(2)])
    assert found.dtype == np.float32
    assert found.shape == (1, 4 + 514 + 2)
    assert found[0, :5].tolist() == [0, 1, 2, 3, 4]
    assert found[0, 5:7].tolist() == first
    assert found[0, 516] == last
    assert found[0, 517:].tolist() == behind


def test_document_that_begins_with_visual_tokens_counts_from_the_place_before_it():
    assert V2pe(stride=64).positions([Video(1, 2, 2), Text(2)]).tolist() == [[-0.75, -0.5, -0.25, 0.0, 1.0, 2.0]]


def test_documents_restart_at_zero():
    rule = V2pe(stride=16)
    assert rule.positions([Text(2), Video(1, 4, 4), Text(1)])[0, 0] == 0
    assert rule.positions([]).shape == (1, 0)


def test_float32_holds_every_position_exactly():
    found = V2pe(stride=1).positions([Text(65535), Video(1, 16, 16)])
    assert np.unique(found).size == found.size


@pytest.mark.parametrize("stride", [0, 3, 512])
def test_stride_that_is_no_power_of_two_up_to_256_is_refused(stride):
    with pytest.raises(ValidationError):
        V2pe(stride=stride)
