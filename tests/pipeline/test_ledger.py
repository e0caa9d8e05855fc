"""Counts close: whatever was read is packed, rejected or withheld, each once, with its place."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError, Reason
from pipeline.ledger import (
    COUNTS,
    add_counts,
    close_counts,
    dropped_rows,
    num_filtered,
    reject_rows,
    sort_rejects,
)
from pipeline.schema import REJECTS
from pipeline.types import DETAIL_CHARS, Rejection


def row_of(num_segments=3, shard="a.tar", ordinal=7):
    segments = [
        {"number": i, "kind": 1, "text": None, "member": f"k.{i}", "offset": 512 * (i + 1), "size": 10 + i}
        for i in range(num_segments)
    ]
    return {"shard": shard, "key": "k", "ordinal": ordinal, "segments": segments, "dropped": []}


GUILTY = Rejection("decode", "decode-error", "cut", "k.1", 1024, 11, 1)


def test_rejected_sample_and_each_of_its_segments_have_a_row():
    sample, *segments = reject_rows(row_of(), GUILTY)
    assert (sample["level"], sample["segment"], sample["reason"], sample["detail"]) == (
        "sample",
        None,
        "decode-error",
        "cut",
    )
    assert (sample["member"], sample["offset"], sample["size"]) == ("k.1", 1024, 11)
    assert sample["id"] == {"shard": "a.tar", "key": "k", "ordinal": 7}
    assert [(s["segment"], s["reason"], s["detail"], s["offset"]) for s in segments] == [
        (0, Reason.SAMPLE_REJECTED, "", 512),
        (1, "decode-error", "cut", 1024),
        (2, Reason.SAMPLE_REJECTED, "", 1536),
    ]
    assert {row["operator"] for row in (sample, *segments)} == {"decode"}


def test_rejection_as_type_and_as_row_give_the_same_rows():
    as_row = {name: getattr(GUILTY, name) for name in Rejection.__slots__}
    assert reject_rows(row_of(), GUILTY) == reject_rows(row_of(), as_row)


def test_sample_without_a_place_of_its_own_takes_that_of_its_first_segment():
    nowhere = Rejection("pack", "no-loss", "nothing")
    (sample, *_) = reject_rows(row_of(), nowhere)
    assert (sample["member"], sample["offset"], sample["size"]) == ("k.0", 512, 10)
    (sample,) = reject_rows(row_of(0), Rejection("read", "tar-header", "?", "", 2048, 512))
    assert (sample["member"], sample["offset"], sample["size"]) == ("", 2048, 512)


def test_rows_fit_the_schema_of_rejects():
    table = pa.Table.from_pylist(reject_rows(row_of(), GUILTY), REJECTS)
    assert table.num_rows == 4
    assert set(reject_rows(row_of(), GUILTY)[0]) == set(REJECTS.names)


def test_rejects_stand_in_the_order_of_the_input_each_once():
    order = {"b.tar": 0, "a.tar": 1}
    rows = [row for shard in order for ordinal in (10, 9, 2) for row in reject_rows(row_of(2, shard, ordinal), GUILTY)]
    expected = [
        (shard, ordinal, segment) for shard in ("b.tar", "a.tar") for ordinal in (2, 9, 10) for segment in (None, 0, 1)
    ]
    found = sort_rejects(rows[::-1] + rows, order)
    assert [(row["shard"], row["id"]["ordinal"], row["segment"]) for row in found] == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["packed", "rejected", "withheld"]), st.integers(0, 4)), max_size=20))
def test_counts_close_for_samples_and_segments(fates):
    counts = {level: {"read": 0, "withheld": 0} for level in ("sample", "segment")}
    rejects = []
    for ordinal, (fate, num_segments) in enumerate(fates):
        for level, amount in (("sample", 1), ("segment", num_segments)):
            counts[level]["read"] += amount
            counts[level]["withheld"] += amount * (fate == "withheld")
        if fate == "rejected":
            rejects += reject_rows(row_of(num_segments, ordinal=ordinal), GUILTY)
    closed = close_counts(counts, sort_rejects(rejects * 2, {"a.tar": 0}))
    for level, weights in (("samples", [1] * len(fates)), ("segments", [num_segments for _, num_segments in fates])):
        total = closed[level]
        assert set(total) == set(COUNTS)
        assert (
            total["read"] + total["derived"] + total["repeated"]
            == total["packed"] + total["rejected"] + total["withheld"]
        )
        for fate in ("packed", "rejected", "withheld"):
            assert total[fate] == sum(
                weight for (found, _), weight in zip(fates, weights, strict=True) if found == fate
            )


def test_numbers_add_at_any_depth():
    one = {"a": 1, "b": {"c": 2, "d": {"e": 3}}}
    more = {"a": 10, "b": {"d": {"e": 30, "f": 4}}, "g": {"h": 5}}
    assert add_counts(one, more) == {"a": 11, "b": {"c": 2, "d": {"e": 33, "f": 4}}, "g": {"h": 5}}
    assert one == {"a": 1, "b": {"c": 2, "d": {"e": 3}}}
    assert add_counts({}, one) == one


def test_detail_of_a_rejection_is_short_and_in_utf_8():
    rejection = Rejection.from_error("read", InputError(Reason.TEXT_INVALID, "\udc80" * 300, member="m\udcff"))
    assert len(rejection.detail) == DETAIL_CHARS
    assert rejection.detail.startswith("\\udc80")
    assert rejection.member == "m\\udcff"


def test_a_dropped_segment_is_rejected_and_its_sample_is_not():
    dropped = {"segment": 1, "member": "k.1", "offset": 1024, "size": 11, "reason": "filter-size"}
    (found,) = dropped_rows(row_of(2) | {"dropped": [dropped | {"detail": "small", "rules": ["filter-size"]}]})
    assert (found["level"], found["segment"], found["operator"]) == ("segment", 1, "filter")
    assert set(found) == set(REJECTS.names)
    closed = close_counts({"sample": {"read": 1}, "segment": {"read": 3}}, [found])
    assert (closed["samples"]["packed"], closed["segments"]["packed"]) == (1, 2)


def test_a_sample_that_has_no_segment_left_has_the_place_of_what_was_dropped():
    dropped = [{"segment": 0, "member": "k.0", "offset": 512, "size": 10}]
    (sample,) = reject_rows(row_of(0) | {"dropped": dropped}, Rejection("filter", "filter-images", "none"))
    assert (sample["member"], sample["offset"], sample["size"]) == ("k.0", 512, 10)


def test_what_filters_reject_is_counted_by_their_reasons():
    assert num_filtered({"decode-error": 3, "filter-size": 2, "filter-duplicate-image": 1}) == 3
