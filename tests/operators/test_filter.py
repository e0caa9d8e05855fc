"""Dropped segments leave with their pictures; rejected documents keep what was dropped; others are untouched."""

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from operators.decode import shrink
from operators.filter import Filter
from operators.filters import FilterConfig
from operators.relevance.participatory import open_encoder
from pipeline.schema import DECODED

SQUARE, WIDE, TINY = (400, 400), (900, 300), (20, 20)
WORDS = "the cat sat on the mat and looked at the other cat"


def picture(size, seed):
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(noise)


def row_of(*parts, ordinal=0, role=None, **changes):
    """A DECODED row of texts and sizes of pictures."""
    images = [(i, part) for i, part in enumerate(parts) if isinstance(part, tuple)]
    segments = [
        {
            "number": i,
            "kind": int(isinstance(part, tuple)),
            "text": part if isinstance(part, str) else None,
            "member": f"m{i}",
            "offset": 512 * i,
            "size": 9,
            "encoding": None,
            "role": role,
            "turn": 0,
            "similarity": None,
        }
        for i, part in enumerate(parts)
    ]
    sizes = [{"width": size[0], "height": size[1], "format": "png", "digest": bytes([i] * 16)} for i, size in images]
    smalls = [shrink(picture(size, i), size, 1 << 19) for i, size in images]
    row = {"unit": 0, "shard": "a.tar", "shard_number": 0, "ordinal": ordinal, "key": f"k{ordinal}"}
    row |= {"segments": segments, "dropped": [], "num_derived": 0}
    return (
        row | {"withheld": False, "rejection": None, "shard_end": None, "pictures": sizes, "smalls": smalls} | changes
    )


def filtered(*rows, keeps_smalls=True, **rules):
    config = FilterConfig(**rules)
    encoder = open_encoder(None, "cpu") if config.needs() == "encoder" else None
    operator = Filter(config.rules(), encoder, keeps_smalls=keeps_smalls)
    table = operator(pa.Table.from_pylist(list(rows), DECODED))
    assert table.schema == DECODED
    return table.to_pylist()


def test_a_dropped_picture_leaves_with_its_size_and_its_small_copy():
    (row,) = filtered(row_of("a", WIDE, SQUARE), aspect=True, size=True)
    assert row["rejection"] is None
    assert [segment["number"] for segment in row["segments"]] == [0, 2]
    assert [picture["width"] for picture in row["pictures"]] == [400]
    assert [small["width"] for small in row["smalls"]] == [400]
    (dropped,) = row["dropped"]
    assert dropped["detail"]
    assert dropped | {"detail": ""} == {
        "segment": 1, "member": "m1", "offset": 512, "size": 9, "reason": "filter-aspect", "detail": "",
        "rules": ["filter-aspect"],
    }  # fmt: skip


def test_a_rejected_document_keeps_what_was_dropped_and_loses_texts_and_pictures():
    (row,) = filtered(row_of(WORDS, TINY, "x" * 30), size=True, images={"min": 1}, words={"min": 5})
    assert row["rejection"]["operator"] == "filter"
    assert row["rejection"]["reason"] == "filter-images"
    assert [one["segment"] for one in row["dropped"]] == [1]
    assert [segment["text"] for segment in row["segments"]] == [None, None]
    assert (row["pictures"], row["smalls"]) == ([], [])


def test_a_conversation_is_never_cut_but_rejected():
    (row,) = filtered(row_of("What is it?", TINY, "A cat.", role="user"), size=True)
    assert (row["rejection"]["reason"], row["rejection"]["segment"]) == ("filter-size", 1)
    assert (row["rejection"]["member"], row["rejection"]["offset"]) == ("m1", 512)
    assert row["dropped"] == []
    assert len(row["segments"]) == 3


def test_no_turn_of_a_conversation_is_judged_by_itself():
    (row,) = filtered(row_of("What?", SQUARE, "A cat.", role="user"), node_words=True, node_stopwords=True)
    assert (row["rejection"], row["dropped"], len(row["segments"])) == (None, [], 3)
    (row,) = filtered(row_of("What?", SQUARE, "A cat.", role="user"), words={"min": 4})
    assert row["rejection"]["reason"] == "filter-words"


def test_rejected_withheld_and_end_rows_pass_untouched():
    earlier = {"operator": "read", "reason": "x", "detail": "", "member": "", "offset": 0, "size": 0}
    earlier |= {"segment": None, "rules": []}
    end = {"rows": 1, "sha256": "0", "bytes": 1, "ignored": 0}
    for changes in ({"withheld": True}, {"rejection": earlier}, {"shard_end": end}):
        given = row_of(TINY, **changes) | {"pictures": [], "smalls": []}
        assert filtered(given, size=True) == [given]


def test_batches_change_nothing():
    rows = [row_of(WORDS, SQUARE, SQUARE, WIDE, ordinal=i) for i in range(3)] + [row_of(TINY, ordinal=3)]
    rules = {"preset": "comm", "size": True, "near_duplicate": True}
    assert filtered(*rows, **rules) == [row for one in rows for row in filtered(one, **rules)]


def test_small_copies_stay_only_where_somebody_wants_them():
    (row,) = filtered(row_of(SQUARE, WIDE), keeps_smalls=False, blur=True)
    assert (len(row["pictures"]), row["smalls"]) == (2, [])


@pytest.mark.parametrize("preset", ["obelics", "mm_interleaved", "comm"])
def test_presets_judge_documents_of_any_shape(preset):
    rows = [row_of(ordinal=0), row_of("", ordinal=1), row_of(SQUARE, ordinal=2), row_of(WORDS, SQUARE, "", ordinal=3)]
    for row in filtered(*rows, preset=preset):
        left = {segment["number"] for segment in row["segments"]} | {one["segment"] for one in row["dropped"]}
        assert left == set(range(len(rows[row["ordinal"]]["segments"])))


def test_a_document_of_one_picture_again_and_again_is_rejected_and_one_that_goes_on_is_not():
    """CoMM's F: of equal pictures it is 0. The rule that drops repeated files is not asked."""
    row = row_of("a", SQUARE, "b", SQUARE, "c", SQUARE)
    again = row | {"smalls": row["smalls"][:1] * 3, "ordinal": 1}
    smalls = []
    for shade in (0, 60, 120):
        ramp = np.add.outer(np.arange(200), np.arange(200)) // 4 + shade
        smalls.append(shrink(Image.fromarray(np.repeat(ramp.astype(np.uint8)[:, :, None], 3, 2)), (200, 200), 1 << 19))
    going_on, repeated = filtered(row | {"smalls": smalls}, again, image_sequence=True)
    assert repeated["rejection"]["reason"] == "filter-image-sequence"
    assert going_on["rejection"] is None


def test_what_a_data_set_says_of_a_picture_reaches_the_rules():
    row = row_of("a", SQUARE, SQUARE)
    for segment, said in zip(row["segments"], (None, 0.3, 0.1), strict=True):
        segment["similarity"] = said
    (found,) = filtered(row, selection=True)
    assert [one["segment"] for one in found["dropped"]] == [2]
