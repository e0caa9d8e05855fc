"""An image fits the better of its nearest texts, in thousandths."""

import dataclasses

import numpy as np
import pytest

from operators.filters.nearness import fits, thousandths
from tests.operators.filters.making import document, image, unit


def embedded(*parts):
    """A document of (text or None, embedding)."""
    plain = document(*(image() if text is None else text for text, _ in parts))
    nodes = (dataclasses.replace(node, embedding=row) for node, (_, row) in zip(plain.nodes, parts, strict=True))
    return dataclasses.replace(plain, nodes=tuple(nodes))


def test_a_product_is_rounded_half_up():
    one = np.array([1, 0], np.float32)
    for value, rounded in ((0.2395, 240), (0.2394, 239), (-0.0996, -100), (1, 1000)):
        assert thousandths(one, np.array([value, 0])) == rounded


def test_the_better_of_the_nearest_texts_before_and_behind_counts():
    x, y, z = np.eye(3, dtype=np.float32)
    found = embedded(("far", z), ("a", x), (None, unit(3, 4, 0)), (None, z), ("b", y), ("far", z))
    assert [(node.number, fit) for node, fit in fits(found)] == [(2, 800), (3, 0)]


def test_blank_texts_are_none_and_unknown_words_are_not_judged():
    x, none = np.array([1, 0], np.float32), np.zeros(2, np.float32)
    assert [fit for _, fit in fits(embedded((None, x)))] == [None]
    assert [fit for _, fit in fits(embedded(("zxqv", none), (None, x), (" ", none)))] == [None]
    assert [fit for _, fit in fits(embedded(("a", x), ("  ", none), (None, x), ("zxqv", none)))] == [1000]


def test_a_missing_embedding_is_no_similarity():
    with pytest.raises(ValueError, match="segment 1 has no embedding"):
        list(fits(embedded(("a", np.ones(1)), (None, None))))
