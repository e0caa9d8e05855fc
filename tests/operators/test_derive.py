"""Each document is followed by what is made of it, with its pictures; everything else passes as it is."""

import pyarrow as pa
import pytest

from operators.derive import Derive
from operators.deriving.views import NEGATIVES, NUMBERS, TASKS
from operators.profiles import load_profile
from operators.slice import Slice
from pipeline.derived import derived_ordinal, original_of, view_of
from pipeline.operator import Row
from pipeline.schema import DECODED

ALL = tuple(NUMBERS)
REJECTION = {"operator": "filter", "reason": "x", "detail": "", "member": "", "offset": 0, "size": 0}


def row_of(ordinal, letters, role=None, **changes) -> Row:
    """A document in which capitals are images; the first segment of the document was dropped."""
    row = {"unit": 3, "shard": "a.tar", "shard_number": 1, "ordinal": ordinal, "key": f"k{ordinal}"}
    row["segments"] = [
        {
            "number": i + 1,
            "kind": int(letter.isupper()),
            "text": None if letter.isupper() else letter,
            "member": f"k{ordinal}.{letter}",
            "offset": 512 * i,
            "size": 9,
            "encoding": "base64" if letter.isupper() else None,
            "role": role,
            "turn": 0,
        }
        for i, letter in enumerate(letters)
    ]
    images = [letter for letter in letters if letter.isupper()]
    row["dropped"] = [{"segment": 0, "member": "m", "offset": 0, "size": 1, "reason": "x", "detail": "", "rules": []}]
    row |= {"num_derived": 0, "withheld": False, "rejection": None, "shard_end": None}
    row["pictures"] = [{"width": ord(i), "height": 9, "format": "png", "digest": i.encode() * 16} for i in images]
    size = {"width": 1, "height": 1, "colour_width": 1, "colour_height": 1}
    row["smalls"] = [{"grey": i.encode(), "colour": i.encode() * 3, **size} for i in images]
    return row | changes


def table_of(*rows):
    return pa.Table.from_pylist(list(rows), DECODED)


def derive(*rows, views=ALL):
    found = Derive(views)(table_of(*rows))
    assert found.schema == DECODED
    return found.to_pylist()


def test_a_document_is_followed_by_its_views_in_the_order_of_their_numbers():
    first, *made, last = derive(row_of(5, "aAbBcC"), row_of(6, "a"))
    assert first == table_of(row_of(5, "aAbBcC", num_derived=8)).to_pylist()[0]
    assert last == table_of(row_of(6, "a")).to_pylist()[0]
    assert [row["key"] for row in made] == [f"k5~{name}" for name in ALL]
    assert [(original_of(row["ordinal"]), view_of(row["ordinal"])) for row in made] == [(5, i) for i in range(1, 9)]
    for row in made:
        assert (row["unit"], row["shard"], row["shard_number"]) == (3, "a.tar", 1)
        assert (row["dropped"], row["num_derived"]) == ([], 0)
        assert [one["number"] for one in row["segments"]] == list(range(len(row["segments"])))


def test_pictures_and_small_copies_go_with_their_segments():
    for row in derive(row_of(5, "aAbBcC"))[1:]:
        images = [one["member"][-1] for one in row["segments"] if one["kind"]]
        assert sorted(images) == ["A", "B", "C"]
        assert [chr(one["width"]) for one in row["pictures"]] == images
        assert [one["grey"].decode() for one in row["smalls"]] == images
        assert all(one["encoding"] == "base64" for one in row["segments"] if one["kind"])
    assert all(row["smalls"] == [] for row in derive(row_of(5, "aAbB", smalls=[])))


@pytest.mark.parametrize("name", NEGATIVES)
def test_a_negative_is_a_document(name):
    _, row = derive(row_of(5, "aAbBcC"), views=(name,))
    assert {(one["role"], one["turn"]) for one in row["segments"]} == {(None, 0)}
    assert sorted(one["text"] or one["member"][-1] for one in row["segments"]) == sorted("aAbBcC")


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_a_conversation_of_two_turns_and_texts_of_ours_have_no_place(name):
    _, row = derive(row_of(5, "aAbBcC"), views=(name,))
    assert list(dict.fromkeys((one["role"], one["turn"]) for one in row["segments"])) == [("user", 0), ("assistant", 1)]
    ours = [one for one in row["segments"] if not one["member"]]
    assert {(one["kind"], one["offset"], one["size"]) for one in ours} == {(0, 0, 0)}
    assert ours[0] == row["segments"][0]


def test_rejected_withheld_end_and_derived_rows_and_conversations_pass_untouched():
    end = {"rows": 1, "sha256": "0", "bytes": 1, "ignored": 0}
    for row in (
        row_of(5, "aAbB", rejection=REJECTION | {"segment": None, "rules": []}),
        row_of(5, "aAbB", withheld=True),
        row_of(5, "", shard_end=end),
        row_of(derived_ordinal(5, 1), "aAbB"),
        row_of(5, "aAbB", role="user"),
    ):
        assert derive(row) == table_of(row).to_pylist()


def test_batching_changes_nothing():
    rows = [row_of(i, "aAbBcCdD"[: i + 1]) for i in range(8)]
    assert derive(*rows) == [made for row in rows for made in derive(row)]


def test_a_view_more_changes_no_other():
    every = {row["key"]: row for row in derive(row_of(5, "aAbBcC"))[1:]}
    for name in ALL:
        _, row = derive(row_of(5, "aAbBcC"), views=(name,))
        assert row == every[row["key"]]


def test_what_is_derived_can_be_sliced():
    derived = Derive(ALL)(table_of(row_of(5, "aAbBcC", smalls=[])))
    sliced = Slice(load_profile("llava_onevision"), None)(derived).to_pylist()
    assert [len(row["plans"]) for row in sliced] == [3] * 9
