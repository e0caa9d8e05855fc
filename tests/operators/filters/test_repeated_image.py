"""Of one file only the first image of a document is kept."""

from operators.filters.repeated_image import RepeatedImage
from tests.operators.filters.making import document, dropped, image


def test_the_first_of_equal_files_is_kept():
    assert RepeatedImage.reason == "filter-repeated-image"
    a, b = image(digest=b"a"), image(digest=b"b")
    assert dropped(RepeatedImage(), a, "text", b, a, "text", a) == [3, 5]
    assert dropped(RepeatedImage(), a, b) == []
    (fault,) = RepeatedImage().faults(document(b, a, a))
    assert fault.detail == "the file of segment 1 again; once expected"
