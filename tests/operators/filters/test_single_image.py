"""Documents of one image are drawn by their keys, the same in every run."""

import pytest

from operators.filters.single_image import SingleImage
from tests.operators.filters.making import image, rejects


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_the_share_is_kept_and_twice_the_same(share):
    assert SingleImage.reason == "filter-single-image"
    drawn = [[rejects(SingleImage(share=share), image(), key=f"doc-{i}") for i in range(4000)] for _ in range(2)]
    assert drawn[0] == drawn[1]
    kept = drawn[0].count(False) / 4000
    assert kept == share if share in {0, 1} else abs(kept - share) < 0.03


def test_no_other_number_of_images_is_drawn():
    for i in range(50):
        assert not rejects(SingleImage(share=0), "a text", key=str(i))
        assert not rejects(SingleImage(share=0), image(), image(), key=str(i))
