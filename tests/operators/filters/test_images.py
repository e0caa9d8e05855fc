"""A document has 1 to 30 images."""

import pytest
from pydantic import ValidationError

from operators.filters.images import Images
from tests.operators.filters.making import image, rejects


def test_1_to_30_images_are_kept():
    assert Images.reason == "filter-images"
    verdicts = {count: rejects(Images(), "a text", *[image()] * count) for count in (0, 1, 30, 31)}
    assert verdicts == {0: True, 1: False, 30: False, 31: True}


def test_no_upper_bound_is_one_too():
    assert not rejects(Images(max=None), *[image()] * 200)
    with pytest.raises(ValidationError, match="min is 5 and max 3"):
        Images(min=5, max=3)
