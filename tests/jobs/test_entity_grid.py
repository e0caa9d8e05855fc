"""`lodepack entity-grid` makes strict shards, the same for a seed, and tells how many entities seams cut."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from jobs.cli import app
from jobs.entity_grid.making import (
    COLOURS,
    POSITIONS,
    SHAPES,
    SIDE,
    Document,
    Entity,
    box_at,
    draw_picture,
    make_document,
    question_of,
)
from jobs.verify import verify
from operators.reduction.seams import slices_of
from tests.support import build


def call(*arguments):
    return CliRunner().invoke(app, ["entity-grid", *map(str, arguments)])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("entities") / "out"
    result = call(folder, "--documents", 60, "--seed", 7, "--json")
    assert result.exit_code == 0, result.output
    return folder, json.loads(result.stdout)


def test_golden_an_entity_at_the_centre_is_in_four_slices_and_one_in_a_corner_is_not_cut(made):
    _, told = made
    assert (told["columns"], told["rows"]) == (2, 2)
    assert told["slices"]["middle centre"] == 4
    corners = [position for position in POSITIONS if "middle" not in position and "centre" not in position]
    assert [told["slices"][corner] for corner in corners] == [1] * 4
    assert sorted(told["slices"].values()) == [1] * 4 + [2] * 4 + [4]


def test_the_rate_that_is_told_is_that_of_the_shards(made):
    folder, told = made
    entities = [entity for index in indexes(folder) for entity in index["entities"]]
    cut = sum(slices_of(tuple(entity["box"]), SIDE, SIDE, (2, 2)) > 1 for entity in entities)
    assert (told["documents"], told["entities"]) == (60, len(entities))
    assert told["crossing_rate"] == cut / len(entities) > told["least_crossing_rate"]


def members_of(folder):
    with tarfile.open(folder / "entity-grid-000000.tar") as archive:
        return {one.name: archive.extractfile(one).read() for one in archive.getmembers()}


def indexes(folder):
    return [json.loads(data) for name, data in members_of(folder).items() if name.endswith(".json")]


def test_shards_build_and_verify(tmp_path):
    call(tmp_path / "in", "--documents", 6)
    fields = ("input.format=auto", "profile=llava_1_5", "score=null", "budget=none", "pixels=source")
    summary = build(tmp_path / "built", f"{tmp_path}/in/*.tar", *fields)
    assert summary["totals"]["samples"]["packed"] == 6
    assert verify(str(tmp_path / "built")).findings == []


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path):
    hashes = []
    for run, seed in (("one", 3), ("two", 3), ("three", 4)):
        assert call(tmp_path / run, "--documents", 5, "--seed", seed).exit_code == 0
        hashes.append(hashlib.sha256((tmp_path / run / "entity-grid-000000.tar").read_bytes()).hexdigest())
    assert hashes[0] == hashes[1] != hashes[2]


def test_boxes_are_those_of_the_pixels():
    for shape in SHAPES:
        for position in POSITIONS:
            entity = Entity("red", shape, position, box_at(position))
            pixels = np.asarray(draw_picture(Document((entity,), "counting"))) != 255
            rows, cols = (np.flatnonzero(pixels.any(axis=(axis, 2))) for axis in (1, 0))
            assert (cols[0], rows[0], cols[-1] + 1, rows[-1] + 1) == entity.box


def test_every_place_shape_colour_and_question_is_drawn_and_no_place_twice():
    documents = [make_document(1, number) for number in range(400)]
    entities = [entity for document in documents for entity in document.entities]
    assert {entity.position for entity in entities} == set(POSITIONS)
    assert {entity.name for entity in entities} == {f"{colour} {shape}" for colour in COLOURS for shape in SHAPES}
    counts = Counter(document.question for document in documents)
    assert set(counts) == {"recognition", "position", "counting"}
    assert min(counts.values()) > 100
    assert {len(document.entities) for document in documents} == {1, 2}
    assert all(len({entity.position for entity in one.entities}) == len(one.entities) for one in documents)


def test_answers_are_what_the_picture_shows(made):
    folder, _ = made
    members = members_of(folder)
    for name, data in members.items():
        if not name.endswith(".json"):
            continue
        index = json.loads(data)
        asked, answer = (turn["value"] for turn in index["conversations"])
        entities = index["entities"]
        picture = Image.open(io.BytesIO(members[name.replace(".json", ".png")]))
        seen = {}
        for entity in entities:
            left, top, right, bottom = entity["box"]
            colour = picture.getpixel(((left + right) // 2, (top + bottom) // 2))
            seen[entity["position"]] = next(known for known, value in COLOURS.items() if value == colour)
            assert entity["name"].startswith(seen[entity["position"]])
        if index["question"] == "counting":
            assert answer == {1: "One.", 2: "Two."}[len(entities)]
        elif index["question"] == "position":
            asked_name = re.search("Where is the (.*)\\?", asked)[1]
            assert (
                answer == f"At the {next(e['position'] for e in entities if e['name'] == asked_name)} of the picture."
            )
        else:
            position = re.search("at the (.*) of", asked)[1]
            assert seen[position] in answer


def test_a_vowel_has_its_article():
    entity = Entity("orange", "circle", "top left", box_at("top left"))
    assert question_of(Document((entity,), "recognition"))[1] == "An orange circle."


def test_a_folder_that_holds_something_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    result = call(tmp_path, "--documents", 1)
    assert "is not empty" in str(result.exception)


def test_what_was_made_is_told_in_words(tmp_path):
    result = call(tmp_path / "out", "--documents", 3)
    assert "wrote 3 documents" in result.stdout
    assert "seams between 2 x 2 slices cut" in result.stdout
