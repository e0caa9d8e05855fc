"""A unit holds a document once, and a picture in as many documents as the job allows; the first ones stay."""

import numpy as np
import pytest

from operators.duplicates import Duplicates
from operators.filters import DedupConfig
from pipeline.derived import derived_ordinal
from pipeline.errors import InputError
from pipeline.types import SegmentKind


def row_of(key, *parts, role=None, ordinal=None):
    """A document of texts (lists of token ids) and pictures (one letter for each different file)."""
    kinds = [SegmentKind.TEXT if isinstance(part, list) else SegmentKind.IMAGE for part in parts]
    segments = [{"kind": kind, "role": role, "member": f"m{i}", "offset": i, "size": 1} for i, kind in enumerate(kinds)]
    pictures = [{"digest": part.encode() * 16} for part in parts if isinstance(part, str)]
    tokens = [np.array(part if isinstance(part, list) else [], np.int32).tobytes() for part in parts]
    identity = {"shard": "a.tar", "key": key, "ordinal": ord(key[0]) if ordinal is None else ordinal}
    return identity | {"segments": segments, "pictures": pictures, "tokens": tokens}


def judged(rows, **config):
    duplicates = Duplicates(DedupConfig(**config))
    found = {}
    for row in rows:
        try:
            duplicates.admit(row)
            found[row["key"]] = None
        except InputError as error:
            found[row["key"]] = error
    return found


def test_the_first_of_equal_documents_stays():
    rows = [row_of("a", [1, 2], "x"), row_of("b", [1, 2], "x"), row_of("c", [1, 2], "y"), row_of("d", "x", [1, 2])]
    found = judged(rows)
    assert [key for key, error in found.items() if error] == ["b"]
    assert found["b"].reason == "filter-duplicate-document"
    assert found["b"].detail == "the same document is a.tar a"


def test_documents_that_only_look_alike_are_told_apart():
    rows = [
        row_of("a", [1], [2]),
        row_of("b", [1, 2]),
        row_of("c", [12]),
        row_of("d", [1], [2], role="user"),
        row_of("e", []),
        row_of("f"),
    ]
    assert not any(judged(rows).values())


@pytest.mark.parametrize(("most", "rejected"), [(1, ["b", "c"]), (2, ["c"]), (3, [])])
def test_a_picture_stands_in_so_many_documents(most, rejected):
    rows = [row_of("a", [1], "x", "x"), row_of("b", [2], "x"), row_of("c", "y", "x"), row_of("d", "y")]
    found = judged(rows, images=most)
    assert [key for key, error in found.items() if error] == rejected
    for key in rejected:
        assert (found[key].reason, found[key].segment, found[key].member) == ("filter-duplicate-image", 1, "m1")


def test_a_document_that_is_rejected_for_one_picture_takes_no_other_away():
    rows = [row_of("a", "x"), row_of("b", "x", "y"), row_of("c", "y")]
    assert [key for key, error in judged(rows, images=1).items() if error] == ["b"]


def test_documents_may_be_left_alone():
    assert not any(judged([row_of("a", [1]), row_of("b", [1])], documents=False).values())


def test_what_is_made_of_a_document_stays_and_goes_with_it():
    read = [row_of("a", [1], "x"), row_of("b", [1], "x"), row_of("c", "x")]
    made = [row_of(f"{key}~continue", [1], "x", ordinal=derived_ordinal(ord(key), 7)) for key in "abc"]
    found = judged([*read, *made], images=1)
    assert {key: str(error.reason) for key, error in found.items() if error} == {
        "b": "filter-duplicate-document",
        "b~continue": "filter-duplicate-document",
        "c": "filter-duplicate-image",
        "c~continue": "filter-duplicate-image",
    }
    assert found["b~continue"].detail == "of what it was made of: the same document is a.tar a"
