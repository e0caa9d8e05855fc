"""Pictures that are to be written as ids are copied at their layout's size, coded, and laid out with their labels."""

from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from operators.decode import COARSE_PIXELS, Decode, Measure
from operators.discrete.config import DiscreteConfig
from operators.discrete.layouts import LAYOUTS, DiscreteIds, discrete_runs
from operators.discretise import Discretise
from operators.layout import IGNORE, Part, lay_out, num_trained, segment_tokens
from operators.positions.mrope import MRope
from operators.slice import discrete_plan
from operators.vocabulary import Vocabulary
from pipeline.errors import Reason
from pipeline.guard import run_here
from pipeline.schema import DECODED, READ
from pipeline.types import Modality
from tests.operators.test_decode import noise, rows_of, saved


def decoded(table, images, layout="llamagen", grey_pixels=COARSE_PIXELS):
    task = Measure(max_image_pixels=10**8, grey_pixels=grey_pixels, check="decode", layout=layout)
    discrete = DiscreteConfig(codebook="-", layout=layout, images=images)
    return Decode(partial(run_here, task), discrete)(table)


def numbered(*documents):
    """rows_of, with the numbers that segments have."""
    rows = rows_of(*documents).to_pylist()
    for row in rows:
        row["segments"] = [segment | {"number": i} for i, segment in enumerate(row["segments"])]
    return pa.Table.from_pylist(rows, READ)


def brightness(picture):
    """A coder of one code for each 16 pixels a side: the mean level."""
    height, width = (side // 16 for side in picture.shape[:2])
    return picture.reshape(height, 16, width, 16, 3).mean(axis=(1, 3, 4)).astype(np.int32)


def test_every_second_picture_is_copied_and_coded():
    a, b = noise(300, 400), noise(64, 64)
    table = decoded(numbered([saved(a, "PNG"), "x", saved(b, "PNG")], ["y"], [saved(a, "PNG")]), "alternate")
    copies = [picture["copy"] for row in table.to_pylist() for picture in row["pictures"]]
    assert [copy is not None for copy in copies] == [False, True, False]
    expected = np.asarray(LAYOUTS["llamagen"].prepare(b))
    assert copies[1] == {"rgb": expected.tobytes(), "width": 256, "height": 256}
    coded = Discretise(brightness)(table)
    assert coded.schema == DECODED
    (_, written), _, (kept,) = (row["pictures"] for row in coded.to_pylist())
    assert written["copy"] is None
    assert written["codes"] == {"rows": 16, "cols": 16, "ids": brightness(expected).ravel().tolist()}
    assert kept["copy"] is kept["codes"] is None
    assert len(coded.to_pylist()[0]["smalls"]) == 2


def test_the_small_copies_are_those_of_any_other_picture():
    table = numbered([saved(noise(1800, 1200))])
    (ids,), (views,) = (decoded(table, images).to_pylist() for images in ("all", "alternate"))
    assert ids["smalls"] == views["smalls"]


@pytest.mark.parametrize("grey_pixels", [None, COARSE_PIXELS])
def test_what_cannot_be_coded_is_rejected_with_its_place(grey_pixels):
    sliver = decoded(numbered(["x", saved(noise(1000, 50), "PNG")]), "all", "emu3", grey_pixels).to_pylist()
    damaged = decoded(numbered([saved(noise())[:2000]]), "all", "emu3", grey_pixels).to_pylist()
    assert [row["rejection"]["reason"] for row in (*sliver, *damaged)] == [Reason.IMAGE_SLIVER, Reason.DECODE_ERROR]
    assert (sliver[0]["rejection"]["segment"], sliver[0]["rejection"]["member"]) == (1, "0.1")


def row_of(parts, layout, roles=None):
    """A measured row; a part is a list of ids, or a shape of codes."""
    ids = DiscreteIds(layout, 1000, 50)
    images = [part for part in parts if isinstance(part, tuple)]
    grids = [np.arange(rows * cols, dtype=np.int32).reshape(rows, cols) % 50 for rows, cols in images]
    pictures = [{"width": 9, "height": 9, "codes": {"rows": rows, "cols": cols}} for rows, cols in images]
    return {
        "segments": [
            {"kind": int(isinstance(part, tuple)), "role": role}
            for part, role in zip(parts, roles or [None] * len(parts), strict=True)
        ],
        "tokens": [[] if isinstance(part, tuple) else part for part in parts],
        "trained": [[] for _ in parts],
        "plans": [{"views": list(discrete_plan(picture).views)} for picture in pictures],
        "runs": [discrete_runs(grid, ids, lambda text: [*text.encode()]) for grid in grids],
        "reductions": [],
    }


def vocabulary(start, *, trains=True):
    return Vocabulary(
        placeholder=1, document_start=start, document_end=2, padding=3, size=2000, num_added=0, trains_discrete=trains
    )


PARTS = st.lists(
    st.one_of(st.lists(st.integers(10, 99), max_size=4), st.tuples(st.integers(1, 3), st.integers(1, 3))),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(PARTS, st.sampled_from([*LAYOUTS]), st.sampled_from([None, 4]), st.booleans())
def test_ids_have_labels_as_the_job_says_and_positions_of_text(parts, layout, start, trains):
    row, words = row_of(parts, layout), vocabulary(start, trains=trains)
    laid = lay_out(row, Part(0, len(parts)), words, MRope())
    assert len(laid.ids) == sum(segment_tokens(row)) + (start is not None) + 1
    written = laid.modality == Modality.DISCRETE
    assert (written == (laid.ids >= 1000)).all()
    expected = laid.ids if trains else np.full(len(laid.ids), IGNORE)
    assert (laid.labels[1:][written[1:]] == expected[1:][written[1:]]).all()
    assert num_trained(row, words) == (laid.labels != IGNORE).sum()
    assert (laid.positions == np.arange(len(laid.ids))).all()


@pytest.mark.parametrize(("role", "trains"), [("user", False), ("assistant", True)])
def test_of_a_conversation_the_assistant_s_pictures_are_trained(role, trains):
    row = row_of([[10], (2, 2), [11]], "llamagen", ["user", role, "assistant"])
    laid = lay_out(row, Part(0, 3), vocabulary(None), MRope())
    assert (laid.labels[1:5] != IGNORE).tolist() == [trains] * 4
    assert num_trained(row, vocabulary(None)) == (laid.labels != IGNORE).sum()


def test_a_picture_is_upright_before_it_is_coded():
    turned = Image.new("RGB", (64, 128))
    turned.paste((255, 255, 255), (0, 0, 64, 64))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise: white is right
    (row,) = decoded(numbered([saved(turned, "PNG", exif=exif)]), "all").to_pylist()
    shown = np.frombuffer(row["pictures"][0]["copy"]["rgb"], np.uint8).reshape(256, 256, 3)
    assert shown[128, -1].min() > 200
    assert shown[128, 0].max() < 50
