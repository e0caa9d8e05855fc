"""Lying and standing images are judged alike, and twice as long is allowed."""

from operators.filters.aspect import Aspect
from tests.operators.filters.making import document, dropped, image


def test_up_to_twice_as_long_as_wide_is_kept_lying_and_standing():
    assert Aspect.reason == "filter-aspect"
    sizes = [(400, 200), (200, 400), (401, 200), (200, 401), (300, 300)]
    assert dropped(Aspect(), *(image(width=w, height=h) for w, h in sizes)) == [2, 3]
    assert dropped(Aspect(max=3), *(image(width=w, height=h) for w, h in ((600, 200), (601, 200)))) == [1]


def test_the_detail_says_which_way():
    wide, high = Aspect().faults(document(image(width=620, height=200), image(width=100, height=250)))
    assert wide.detail == "3.1 times as wide as high; at most 2"
    assert high.detail == "2.5 times as high as wide; at most 2"
