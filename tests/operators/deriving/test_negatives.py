"""Negatives are permutations that keep what they must, never the document itself, and the same everywhere."""

import pytest
from hypothesis import given
from letters import QUICKLY, document, documents, word

from operators.deriving.views import NEGATIVES

VIEWS = list(NEGATIVES)
LONG = document("aAbBcCdDeE")


def read(found, order):
    return [found.contents[i] for i in order]


@pytest.mark.parametrize("view", VIEWS)
@QUICKLY
@given(found=documents())
def test_a_negative_is_another_order_of_the_same_segments(view, found):
    order = NEGATIVES[view](found)
    if order is None:
        return
    assert sorted(order) == list(range(len(found.contents)))
    assert read(found, order) != list(found.contents)
    assert order[: len(found.head)] == found.head
    assert order == NEGATIVES[view](found)


@pytest.mark.parametrize(("view", "kept"), [("shuffle-texts", True), ("shuffle-images", False)])
@QUICKLY
@given(found=documents())
def test_the_other_kind_stays_where_it_is(view, kept, found):
    order = NEGATIVES[view](found)
    places = range(len(found.contents)) if order is not None else []
    assert all(order[place] == place for place in places if found.is_image(place) == kept)
    assert all(found.is_image(order[place]) == found.is_image(place) for place in places)


@QUICKLY
@given(documents())
def test_shuffled_steps_keep_their_pairs(found):
    order = NEGATIVES["shuffle-steps"](found)
    if order is not None:
        begins = {step[0]: step for step in found.steps}
        rest = order[len(found.head) :]
        while rest:
            step = begins.pop(rest[0])
            assert rest[: len(step)] == step
            rest = rest[len(step) :]
        assert not begins


@QUICKLY
@given(documents())
def test_only_a_document_without_another_order_has_no_negative(found):
    texts, images = ({found.contents[i] for i in places} for places in (found.texts, found.images))
    assert (NEGATIVES["shuffle-texts"](found) is None) == (len(texts) < 2)
    assert (NEGATIVES["shuffle-images"](found) is None) == (len(images) < 2)
    assert (NEGATIVES["shuffle-both"](found) is None) == (len(texts) < 2 or len(images) < 2)


@pytest.mark.parametrize(
    ("letters", "turns", "has_one"),
    [("aAbB", None, True), ("aAaA", None, False), ("aaaA", "1223", True), ("aaa", "122", False)],
)
def test_steps_that_read_alike_however_they_are_ordered_have_no_negative(letters, turns, has_one):
    assert (NEGATIVES["shuffle-steps"](document(letters, turns)) is not None) == has_one


def test_both_kinds_are_shuffled_apart():
    order = NEGATIVES["shuffle-both"](LONG)
    assert [i // 2 for i in order[::2]] != [i // 2 for i in order[1::2]]


def test_orders_differ_by_view_and_by_document():
    names = [f"s.tar/{i}" for i in range(20)]
    for view in VIEWS:
        assert len({word(LONG, NEGATIVES[view](document("aAbBcCdDeE", name=name))) for name in names}) > 15
    assert len({tuple(NEGATIVES[view](LONG)) for view in VIEWS}) == len(VIEWS)


@pytest.mark.parametrize(
    ("view", "letters"),
    [
        ("shuffle-texts", "cAbBdCaDeE"),
        ("shuffle-images", "aCbAcBdEeD"),
        ("shuffle-both", "eEcBdCbDaA"),
        ("shuffle-steps", "eEbBcCdDaA"),
    ],
)
def test_an_order_is_never_another_one(view, letters):
    assert word(LONG, NEGATIVES[view](LONG)) == letters
