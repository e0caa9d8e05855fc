"""Pictures go to sentences as MMC4 assigns them, unless the document says where."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.formats.assignment import assign, sentences_of
from pipeline.formats.carried import cut_pictures, text_bytes
from pipeline.tar import Member
from tests.formats_made import GOLDEN

INDEX = Member("k.json", 512, 1, b"")


def test_pictures_share_out_the_sentences_as_in_the_published_example() -> None:
    assert assign(GOLDEN) == [2, 1]


def test_pictures_that_are_too_many_go_where_they_fit_best() -> None:
    assert assign([[0.9, 0.1], [0.8, 0.2], [0.7, 0.6]]) == [0, 0, 1]


def test_no_other_way_to_share_out_is_better() -> None:
    for seed in range(20):
        table = np.random.default_rng(seed).random((3, 5))
        best = max(itertools.permutations(range(5), 3), key=lambda way: sum(table[i, way[i]] for i in range(3)))
        assert assign(table.tolist()) == list(best)


def test_what_the_document_says_stands_and_the_rest_is_assigned() -> None:
    assert sentences_of(INDEX, [0, None], GOLDEN, 3) == [0, 1]
    assert sentences_of(INDEX, [1, 1], None, 3) == [1, 1]
    assert sentences_of(INDEX, [], None, 3) == []


@pytest.mark.parametrize("wrong", [-1, 3, 1.0, True, "1", [1]])
def test_number_of_no_sentence_is_invalid(wrong: object) -> None:
    with pytest.raises(InputError, match=r"image 1 of k.json belongs to sentence .* of 3"):
        sentences_of(INDEX, [0, wrong], GOLDEN, 3)


@pytest.mark.parametrize(
    "matrix", [[], [[1, 2, 3]], [[1, 2], [1, 2]], [[1, 2, None]] * 2, [[1, 2, float("nan")]] * 2, "ab"]
)
def test_matrix_of_another_shape_is_invalid(matrix: object) -> None:
    with pytest.raises(InputError, match="is no table of 2 images by 3 sentences"):
        sentences_of(INDEX, [None, None], matrix, 3)


def test_pictures_are_cut_out_of_a_json_at_their_very_bytes() -> None:
    said = b'"x": "\\"image_base64\\": \\"QUJD\\"", "image_base64": "a\\/b"'
    data = b'{"image_base64" :\n"QUJD", "image_base64": "QQ==", %b}' % said
    text, ranges = cut_pictures(data)
    assert [data[slice(*span)] for span in ranges] == [b"QUJD", b"QQ=="]
    assert text == data.replace(b'\n"QUJD"', b'\n"0"').replace(b"QQ==", b"1")
    assert text_bytes(data) == len(data) - 8
