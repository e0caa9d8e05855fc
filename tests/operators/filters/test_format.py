"""Formats are those that were found in the bytes."""

from operators.filters.format import Format
from tests.operators.filters.making import dropped, image


def test_formats_that_obelics_keeps_are_kept_and_no_others():
    assert Format.reason == "filter-format"
    found = [image(format=name) for name in ("jpeg", "png", "webp", "gif", "bmp", "tiff")]
    assert dropped(Format(), *found, "a text") == [3, 4, 5]
    assert dropped(Format(allowed=("gif",)), *found) == [0, 1, 2, 4, 5]
