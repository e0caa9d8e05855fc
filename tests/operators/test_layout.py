"""Ids, labels, positions and modality of a document or a part of one: what is trained, and what stands where."""

from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.layout import (
    IGNORE,
    Part,
    framing_tokens,
    image_numbers,
    lay_out,
    num_trained,
    segment_tokens,
    text_labels,
)
from operators.profiles import load_profile
from operators.slicing.regions import plan_regions
from operators.vocabulary import Vocabulary
from pipeline.types import Modality
from tests.operators.shrinking import shrunk_plan

PAD, START, END, S, E, PADDING = 90, 91, 92, 93, 94, 95
"""Ids of placeholder, image start, image end, document start, document end, padding; text has lower ones."""
IDS = {"<image>": PAD, "<|image_pad|>": PAD, "<|vision_start|>": START, "<|vision_end|>": END}
BARE = Vocabulary(placeholder=PAD, document_start=None, document_end=E, padding=PADDING, size=99, num_added=0)
STARTED = Vocabulary(placeholder=PAD, document_start=S, document_end=E, padding=PADDING, size=99, num_added=0)
FAMILIES = {"qwen": (load_profile("qwen2_5_vl"), BARE), "llava": (load_profile("llava_next"), STARTED)}


def row_of(parts, profile):
    """A measured row; a part is a list of ids, or (width, height), or (width, height, budget)."""
    segments, tokens, plans, runs = [], [], [], []
    for part in parts:
        segments.append({"kind": int(isinstance(part, tuple)), "role": None})
        tokens.append([] if isinstance(part, tuple) else part)
        if not isinstance(part, tuple):
            continue
        if len(part) == 3:
            plan = plan_regions(*part[:2], profile.slicing, profile.tokens.by_role())
            plan = shrunk_plan(plan, [part[2]] * len(plan.views), profile.slicing)
        else:
            plan = profile.slicing.plan(*part, profile.tokens.by_role())
        plans.append({"views": [asdict(view) for view in plan.views]})
        runs.append(
            [{"id": IDS[r.token], "modality": int(r.modality), "view": r.view, "count": r.count} for r in plan.layout]
        )
    return {
        "segments": segments,
        "tokens": tokens,
        "trained": [[] for _ in tokens],
        "plans": plans,
        "runs": runs,
        "reductions": [],
    }


def laid(parts, family="qwen", part=None):
    profile, vocabulary = FAMILIES[family]
    return lay_out(row_of(parts, profile), part or Part(0, len(parts)), vocabulary, profile.positions)


texts = st.lists(st.integers(0, 80), max_size=6)
sides = st.integers(20, 1200)
documents = {
    "qwen": st.lists(
        texts | st.tuples(sides, sides) | st.tuples(sides, sides, st.integers(1, 400)), min_size=1, max_size=5
    ),
    "llava": st.lists(texts | st.tuples(sides, sides), min_size=1, max_size=4),
}


@st.composite
def cut_documents(draw):
    """A family, a document, and the borders of its parts."""
    family = draw(st.sampled_from(sorted(FAMILIES)))
    document = draw(documents[family])
    inner = draw(st.sets(st.integers(1, len(document) - 1))) if len(document) > 1 else set()
    return family, document, sorted({0, len(document), *inner})


def parts_of(borders):
    count = len(borders) - 1
    return [Part(first, last, i, count) for i, (first, last) in enumerate(pairwise(borders))]


def test_image_between_texts_equals_the_golden_line():
    found = laid([[1, 2], (84, 56), [3, 4]])
    assert found.ids.tolist() == [1, 2, START, *[PAD] * 6, END, 3, 4, E]
    assert found.labels.tolist() == [IGNORE, 2, *[IGNORE] * 8, 3, 4, E]
    text, image, marker = Modality.TEXT, Modality.IMAGE, Modality.MARKER
    assert found.modality.tolist() == [text, text, marker, *[image] * 6, marker, text, text, text]
    expected = [(0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 3, 3), (3, 3, 4), (3, 3, 5), (3, 4, 3), (3, 4, 4), (3, 4, 5)]
    expected += [(6, 6, 6), (7, 7, 7), (8, 8, 8), (9, 9, 9)]
    assert [tuple(column) for column in found.positions.T.tolist()] == expected
    assert found.view_starts == ((3,),)


def test_dtypes_are_those_of_the_output():
    found = laid([[1], (84, 56)])
    assert {name: getattr(found, name).dtype for name in ("ids", "labels", "positions", "modality")} == {
        "ids": np.int32,
        "labels": np.int32,
        "positions": np.int32,
        "modality": np.int8,
    }


def test_document_of_one_image_trains_its_end_alone():
    found = laid([(84, 56)])
    assert found.labels[:-1].tolist() == [IGNORE] * 8
    assert found.labels[-1] == E


def test_start_token_is_a_marker_and_frees_the_first_text_token():
    found = laid([[1, 2]], "llava")
    assert found.ids.tolist() == [S, 1, 2, E]
    assert found.labels.tolist() == [IGNORE, 1, 2, E]
    assert found.modality.tolist() == [Modality.MARKER, Modality.TEXT, Modality.TEXT, Modality.TEXT]
    assert found.positions.tolist() == [[0, 1, 2, 3]]


def test_newlines_of_llava_are_placeholders_of_modality_marker():
    found = laid([[1], (640, 480), [2]], "llava")
    assert len(found.ids) == 2 + 2340 + 2
    visual = found.ids == PAD
    assert visual.sum() == 2340
    assert set(found.labels[visual]) == {IGNORE}
    newlines = visual & (found.modality == Modality.MARKER)
    grid_h, grid_w = 36, 48
    assert newlines.sum() == grid_h
    expected = 2 + 576 + grid_w + (grid_w + 1) * np.arange(grid_h)
    assert np.flatnonzero(newlines).tolist() == expected.tolist()
    assert (found.modality[visual & ~newlines] == Modality.IMAGE).all()


def test_starts_of_llava_views_are_their_first_tokens():
    (starts,) = laid([[1], (640, 480)], "llava").view_starts
    row = 48 + 1  # of which the upper tiles hold 18, as 6 rows of padding are dropped
    assert starts == (2, 2 + 576, 2 + 576 + 24, 2 + 576 + 18 * row, 2 + 576 + 18 * row + 24)


@pytest.mark.parametrize("family", sorted(FAMILIES))
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_starts_point_at_the_first_token_of_each_view(family, data):
    profile, vocabulary = FAMILIES[family]
    row = row_of(data.draw(documents[family]), profile)
    found = lay_out(row, Part(0, len(row["segments"])), vocabulary, profile.positions)
    owners = []
    for image, (i, starts) in enumerate(zip(images_of(row), found.view_starts, strict=True)):
        assert len(starts) == len(row["plans"][image]["views"])
        place = int(vocabulary.document_start is not None) + sum(
            len(row["tokens"][k]) if number is None else sum(run["count"] for run in row["runs"][number])
            for k, number in enumerate(image_numbers(row)[:i])
        )
        for run in row["runs"][image]:
            owners += [(place + k, image, run["view"]) for k in range(run["count"])]
            place += run["count"]
    first = {}
    for place, image, view in owners:
        first.setdefault((image, view), place)
    for image, starts in enumerate(found.view_starts):
        for view, start in enumerate(starts):
            if row["plans"][image]["views"][view]["tokens"]:
                assert start == first[image, view]
                assert found.ids[start] == PAD
                assert found.modality[start] == Modality.IMAGE


def images_of(row):
    return [i for i, number in enumerate(image_numbers(row)) if number is not None]


@settings(max_examples=60, deadline=None)
@given(cut_documents())
def test_length_is_known_without_laying_out(case):
    family, document, borders = case
    profile, vocabulary = FAMILIES[family]
    row = row_of(document, profile)
    for part in parts_of(borders):
        found = lay_out(row, part, vocabulary, profile.positions)
        length = sum(segment_tokens(row)[part.first : part.last]) + framing_tokens(part, vocabulary)
        assert len(found.ids) == len(found.labels) == len(found.modality) == found.positions.shape[1] == length
        assert found.positions.shape[0] == (3 if family == "qwen" else 1)


@settings(max_examples=60, deadline=None)
@given(cut_documents())
def test_parts_together_are_the_document_and_each_is_isolated(case):
    family, document, borders = case
    whole = laid(document, family)
    parts = [laid(document, family, part) for part in parts_of(borders)]
    assert np.concatenate([part.ids for part in parts]).tolist() == whole.ids.tolist()
    assert np.concatenate([part.modality for part in parts]).tolist() == whole.modality.tolist()
    starts = np.cumsum([0, *(len(part.ids) for part in parts)])
    labels = whole.labels.copy()
    labels[[start for start in starts if start < len(labels)]] = IGNORE
    assert np.concatenate([part.labels for part in parts]).tolist() == labels.tolist()
    shifted = [
        tuple(start + int(offset) for start in view)
        for part, offset in zip(parts, starts, strict=False)
        for view in part.view_starts
    ]
    assert shifted == list(whole.view_starts)
    for part in parts:
        assert part.positions[:, :1].tolist() in ([[0]] * len(part.positions), [[]] * len(part.positions))
    vocabulary = FAMILIES[family][1]
    for number, part in enumerate(parts):
        assert (vocabulary.document_end in part.ids) == (number == len(parts) - 1)
        assert (S in part.ids) == (number == 0 and vocabulary.document_start is not None)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(FAMILIES)), st.data())
def test_only_text_and_the_end_token_are_trained(family, data):
    document = data.draw(documents[family])
    found = laid(document, family)
    trained = found.labels != IGNORE
    assert not trained[:1].any()
    assert (found.labels[trained] == found.ids[trained]).all()
    assert (found.modality[trained] == Modality.TEXT).all()
    assert (found.modality[1:] == Modality.TEXT).tolist() == trained[1:].tolist()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(FAMILIES)), st.data())
def test_labels_in_the_index_are_those_of_the_whole_document(family, data):
    profile, vocabulary = FAMILIES[family]
    row = row_of(data.draw(documents[family]), profile)
    found = lay_out(row, Part(0, len(row["segments"])), vocabulary, profile.positions)
    is_text = (found.modality == Modality.TEXT) & (np.arange(len(found.ids)) < len(found.ids) - 1)
    assert [label for labels in text_labels(row, vocabulary) for label in labels] == found.labels[is_text].tolist()


def test_budgeted_views_keep_the_positions_of_the_cells_they_stand_for():
    native = laid([(1120, 560, 400)])
    thin = laid([(1120, 560, 100)])
    assert len(native.ids) == 3 + 800
    assert len(thin.ids) == 3 + 200
    assert thin.positions[:, -1].tolist() == native.positions[:, -1].tolist()
    first = thin.positions[:, 1:11] - 1
    assert first.tolist() == [[0] * 10, [1] * 10, list(range(1, 21, 2))]


def test_text_without_images_counts_up():
    found = laid([[1, 2], [], [3]])
    assert found.positions.tolist() == [[0, 1, 2, 3]] * 3
    assert found.view_starts == ()


def chat_of(*turns):
    """A conversation: (role, ids, trained) of each text, or ("user", (width, height))."""
    row = row_of([turn[1] for turn in turns], load_profile("qwen2_5_vl"))
    for segment, turn in zip(row["segments"], turns, strict=True):
        segment["role"] = turn[0]
    row["trained"] = [list(turn[2]) if len(turn) == 3 else [] for turn in turns]
    return row


def test_conversation_trains_what_its_template_says_and_gets_no_frame():
    row = chat_of(("user", [1, 2], [0, 0]), ("user", (84, 56)), ("user", [3], [0]), ("assistant", [4, 5], [0, 1]))
    for vocabulary in (BARE, STARTED):
        found = lay_out(row, Part(0, 4), vocabulary, load_profile("qwen2_5_vl").positions)
        assert found.ids.tolist() == [1, 2, START, *[PAD] * 6, END, 3, 4, 5]
        assert found.labels.tolist() == [*[IGNORE] * 12, 5]
        assert text_labels(row, vocabulary) == [[IGNORE, IGNORE], [], [IGNORE], [IGNORE, 5]]
        assert num_trained(row, vocabulary) == 1


def test_first_token_of_a_conversation_is_never_trained():
    row = chat_of(("assistant", [4, 5], [1, 1]))
    assert text_labels(row, STARTED) == [[IGNORE, 5]]
    assert lay_out(row, Part(0, 1), STARTED, load_profile("qwen2_5_vl").positions).labels.tolist() == [IGNORE, 5]
    assert num_trained(row, STARTED) == 1


@pytest.mark.parametrize(("parts", "vocabulary", "expected"), [([[1, 2, 3]], BARE, 3), ([[1, 2, 3]], STARTED, 4)])
def test_trained_tokens_of_a_document_are_its_text_and_its_end(parts, vocabulary, expected):
    assert num_trained(row_of(parts, load_profile("qwen2_5_vl")), vocabulary) == expected
