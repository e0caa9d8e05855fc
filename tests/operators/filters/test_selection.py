"""At most six images stay, the most similar ones, each with at least .24."""

from dataclasses import replace

import numpy as np

from operators.filters.selection import Selection
from tests.operators.filters.test_image_text import TEXT, of
from tests.operators.filters.test_nearness import embedded


def test_a_similarity_of_24_hundredths_is_enough():
    assert Selection.reason == "filter-selection"
    found = embedded(("a", TEXT), (None, of(0.24)), (None, of(0.239)), (None, of(0.5)), ("b", TEXT))
    assert [fault.node for fault in Selection().faults(found)] == [2]


def test_the_six_most_similar_stay_and_of_equals_the_earlier():
    cosines = (0.3, 0.9, 0.4, 0.5, 0.6, 0.3, 0.7, 0.8, 0.1)
    found = embedded(("a", TEXT), *((None, of(cosine)) for cosine in cosines))
    faults = {fault.node: fault.detail for fault in Selection().faults(found)}
    assert set(faults) == {1, 6, 9}
    assert faults[1] == "6 images fit their texts better; no more are kept"
    assert faults[9] == "cosine 0.100 with the text beside it; at least 0.24"
    assert [fault.node for fault in Selection(max_images=7).faults(found)] == [6, 9]


def test_an_image_that_fits_no_text_goes():
    found = embedded((None, of(1)), ("zxqv", np.zeros(2, np.float32)))
    assert [fault.node for fault in Selection().faults(found)] == [0]


def test_what_the_data_set_says_counts_before_the_encoder():
    found = embedded(("a", TEXT), (None, of(0.9)), (None, of(0.1)))
    said = {1: 0.2, 2: 0.24}
    nodes = tuple(replace(node, similarity=said.get(node.number)) for node in found.nodes)
    assert [fault.node for fault in Selection().faults(replace(found, nodes=nodes))] == [1]
