"""Plans come from sizes alone, one per image, in order, with what each is asked; refused shapes are named."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.placement import PlacementConfig
from operators.profiles import load_profile
from operators.slice import Slice
from pipeline.errors import Reason
from pipeline.schema import DECODED, SLICED
from pipeline.types import Modality

QWEN, NEXT = load_profile("qwen2_5_vl"), load_profile("llava_next")


def rows_of(*documents, **changes):
    """One DECODED row per document, a document being texts and (width, height) in order."""
    rows = []
    for ordinal, parts in enumerate(documents):
        segments = [
            {
                "kind": 0 if isinstance(part, str) else 1,
                "text": part if isinstance(part, str) else None,
                "member": f"{ordinal}.{i}",
                "offset": 512 * (i + 1),
                "size": 10 + i,
            }
            for i, part in enumerate(parts)
        ]
        pictures = [{"width": p[0], "height": p[1], "format": "png"} for p in parts if not isinstance(p, str)]
        row = {"unit": 0, "shard": "0.tar", "shard_number": 0, "ordinal": ordinal, "key": str(ordinal)}
        row |= {
            "segments": segments,
            "dropped": [],
            "num_derived": 0,
            "withheld": False,
            "rejection": None,
            "shard_end": None,
        }
        rows.append(row | {"pictures": pictures, "smalls": []} | changes)
    return pa.Table.from_pylist(rows, DECODED)


def plan(table, profile=QWEN, max_regions=None):
    sliced = Slice(profile, max_regions)(table)
    assert sliced.schema == SLICED
    return sliced.to_pylist()


def test_each_image_has_one_plan_of_its_own_size_in_order():
    (row,) = plan(rows_of(["a", (640, 480), (100, 100), "b"]))
    assert [(p["width"], p["height"], p["views"][0]["tokens"]) for p in row["plans"]] == [
        (640, 480, 391),
        (100, 100, 16),
    ]
    assert [run["token"] for run in row["layouts"][0]] == ["<|vision_start|>", "<|image_pad|>", "<|vision_end|>"]
    assert [sum(run["count"] for run in layout) for layout in row["layouts"]] == [393, 18]


def test_small_pictures_pass_without_being_copied():
    small = {"grey": b"grey", "width": 2, "height": 2, "colour": b"rgb", "colour_width": 1, "colour_height": 1}
    table = rows_of(["a", (640, 480)], [(100, 100)], smalls=[small])
    sliced = Slice(QWEN, None)(table)
    assert sliced["smalls"] == table["smalls"]
    assert address_of_grey(sliced) == address_of_grey(table)


def address_of_grey(table):
    return table["smalls"].chunk(0).values.field("grey").buffers()[-1].address


@pytest.mark.parametrize("profile", [QWEN, NEXT])
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(20, 4000), st.integers(20, 4000)), min_size=1, max_size=4))
def test_runs_of_a_view_hold_its_tokens(profile, sizes):
    (row,) = plan(rows_of(sizes), profile)
    for found, layout in zip(row["plans"], row["layouts"], strict=True):
        for number, view in enumerate(found["views"]):
            runs = [run for run in layout if run["view"] == number]
            assert sum(run["count"] for run in runs) == view["tokens"] == view["rows"] * view["cols"]
            assert all(run["modality"] == Modality.IMAGE for run in runs)


@settings(max_examples=25, deadline=None)
@given(st.integers(30, 6000), st.integers(30, 6000), st.integers(1, 40))
def test_with_a_budget_no_image_has_more_regions_than_allowed(width, height, max_regions):
    (row,) = plan(rows_of([(width, height)]), max_regions=max_regions)
    if row["rejection"] is not None:
        assert row["rejection"]["reason"] == Reason.IMAGE_SLIVER
        return
    views = row["plans"][0]["views"]
    assert 1 <= len(views) <= max_regions
    assert {view["kind"] for view in views} == {"region"}


def test_family_with_fixed_tiles_ignores_regions():
    assert plan(rows_of([(640, 480)]), NEXT, 9) == plan(rows_of([(640, 480)]), NEXT)


def test_sliver_rejects_its_sample_and_names_the_segment():
    bad, good = plan(rows_of(["a", (300, 300), (201, 1), "b"], [(200, 1)]))
    rejection = bad["rejection"]
    assert (rejection["operator"], rejection["reason"]) == ("slice", Reason.IMAGE_SLIVER)
    assert (rejection["segment"], rejection["member"], rejection["offset"], rejection["size"]) == (2, "0.2", 1536, 12)
    assert (bad["plans"], bad["layouts"], bad["queries"]) == ([], [], [])
    assert good["rejection"] is None


def spoken(*turns):
    """One DECODED row of a conversation: (role, text), or (role, (width, height))."""
    rows = rows_of([part for _, part in turns]).to_pylist()
    for segment, (role, _) in zip(rows[0]["segments"], turns, strict=True):
        segment["role"] = role
    return pa.Table.from_pylist(rows, DECODED)


def test_each_image_is_asked_by_the_text_beside_it():
    (row,) = plan(rows_of(["one", (300, 300), "two", (100, 100)]))
    assert row["queries"] == [
        {"text": "one\ntwo", "origin": "neighbours", "segments": [0, 2]},
        {"text": "two", "origin": "neighbours", "segments": [2]},
    ]
    assert plan(rows_of([(300, 300)]))[0]["queries"] == [{"text": "", "origin": "none", "segments": []}]
    assert plan(rows_of(["no picture"]))[0]["queries"] == []


def test_image_of_a_conversation_is_asked_by_its_user():
    turns = [("system", "be brief"), ("user", (300, 300)), ("user", "where is the hat?"), ("assistant", "there")]
    (row,) = plan(spoken(*turns, ("user", "and the coat?")))
    assert row["queries"] == [{"text": "where is the hat?", "origin": "user", "segments": [2]}]
    (other,) = plan(spoken(*turns[:3], ("assistant", "nowhere at all"), ("user", "and the coat?")))
    assert other["queries"] == row["queries"]


@pytest.mark.parametrize(
    ("images", "numbers"),
    [("interleaved", [[0, 2], [2]]), ("prefix", [[2, 3], [3]]), ("suffix", [[0, 1], [1]]), ("window", [[2, 3], [3]])],
)
def test_placing_pictures_elsewhere_changes_nothing_but_the_numbers_of_what_asks_them(images, numbers):
    table = rows_of(["one", (300, 300), "two", (100, 100)])
    (row,) = Slice(QWEN, None, PlacementConfig(images=images))(table).to_pylist()
    assert [query["segments"] for query in row["queries"]] == numbers
    for query, text in zip(row["queries"], ["one\ntwo", "two"], strict=True):
        assert query["text"] == text == "\n".join(row["segments"][i]["text"] for i in query["segments"])
    assert [found["width"] for found in row["plans"]] == [300, 100]


def test_withheld_rejected_and_end_rows_pass_untouched():
    earlier = {
        "operator": "read",
        "reason": "x",
        "detail": "",
        "member": "",
        "offset": 0,
        "size": 0,
        "segment": None,
        "rules": [],
    }
    end = {"rows": 1, "sha256": "0", "bytes": 1, "ignored": 0}
    for changes in ({"withheld": True}, {"rejection": earlier}, {"shard_end": end}):
        (row,) = plan(rows_of([(201, 1)], **changes))
        assert {name: row[name] for name in changes} == changes
        assert (row["plans"], row["layouts"], row["queries"]) == ([], [], [])


def test_plan_does_not_depend_on_the_batch():
    documents = [[(640, 480)], ["x", (33, 900)], [], [(201, 1)]]
    together = plan(rows_of(*documents), max_regions=9)
    table = rows_of(*documents)
    assert [row for i in range(4) for row in plan(table.slice(i, 1), max_regions=9)] == together
