"""Images under a cosine of .1 with the text beside them go; .1 itself stays."""

import numpy as np

from operators.filters.image_text import ImageText
from tests.operators.filters.test_nearness import embedded

TEXT = np.array([1, 0], np.float32)


def of(cosine):
    return np.array([cosine, (1 - cosine**2) ** 0.5], np.float32)


def test_a_cosine_of_a_tenth_is_enough():
    assert ImageText.reason == "filter-image-text"
    found = embedded(("a", TEXT), (None, of(0.1)), (None, of(0.098)), (None, of(0.9)), (None, of(-0.5)), ("b", TEXT))
    faults = list(ImageText().faults(found))
    assert [fault.node for fault in faults] == [2, 4]
    assert faults[0].detail == "cosine 0.098 with the text beside it; at least 0.1"


def test_an_image_without_a_text_is_not_judged():
    assert list(ImageText().faults(embedded((None, of(0)), (None, of(0))))) == []
    assert list(ImageText().faults(embedded((None, of(0)), ("zxqv", np.zeros(2, np.float32))))) == []
