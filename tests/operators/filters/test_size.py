"""Both sides count, and both bounds are allowed themselves."""

import pytest
from pydantic import ValidationError

from operators.filters.size import Size
from tests.operators.filters.making import dropped, image


def test_sides_of_150_to_20000_pixels_are_kept():
    assert Size.reason == "filter-size"
    sizes = [(150, 150), (149, 150), (150, 149), (20_000, 150), (20_001, 150), (150, 20_001)]
    assert dropped(Size(), *(image(width=w, height=h) for w, h in sizes)) == [1, 2, 4, 5]


def test_bounds_are_the_jobs_and_in_order():
    assert dropped(Size(min=1, max=10), image(width=1, height=10), image(width=11, height=1)) == [1]
    with pytest.raises(ValidationError, match="min is 30 and max 20; min <= max expected"):
        Size(min=30, max=20)
