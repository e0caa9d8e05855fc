"""Every image of a row gets its plan, or its row is rejected with the image's place; batches decide nothing."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from operators.profiles import load_profile
from operators.reduce import Reduce
from operators.reduction.composing import from_row
from operators.reduction.looks import Looks
from operators.reduction.supplied import supplied_scores
from operators.slice import Slice
from operators.tokenize import Tokenize
from operators.tokenizers.opening import open_tokenizer
from pipeline.schema import DECODED, MEASURED, TOKENIZED
from tests.operators.reduction.making import SETTINGS, method
from tests.support import ROOT

LLAVA, QWEN = load_profile("llava_1_5"), load_profile("qwen2_5_vl")
MODEL = (ROOT / "jobs/samples/tokenizer.model").read_bytes()
NEEDY = sorted(name for name in SETTINGS if "scores" not in method(name).needs)


def small(width, height, seed):
    """Of a picture of noise, whose left half is flat."""
    grey = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    grey[:, : width // 2] = 200
    colour = np.repeat(grey[:, :, None], 3, 2)
    return {
        "grey": grey.tobytes(),
        "width": width,
        "height": height,
        "colour": colour.tobytes(),
        "colour_width": width,
        "colour_height": height,
    }


def measured(*documents, profile=LLAVA):
    """A TOKENIZED table: of each document a text and pictures of these (width, height)."""
    rows = []
    for ordinal, sizes in enumerate(documents):
        segments = [
            {"kind": int(i > 0), "text": None if i else "A text.", "member": f"m{i}", "offset": 512 * i, "size": 9 + i}
            for i in range(len(sizes) + 1)
        ]
        row = {"unit": 0, "shard": "s.tar", "shard_number": 0, "ordinal": ordinal, "key": f"k{ordinal}"}
        row |= {"segments": segments, "dropped": [], "num_derived": 0, "withheld": False}
        row |= {"pictures": [{"width": w, "height": h, "format": "png"} for w, h in sizes]}
        row |= {"smalls": [small(*size, seed) for seed, size in enumerate(sizes)]}
        rows.append({name: row.get(name) for name in DECODED.names})
    sliced = Slice(profile, None)(pa.Table.from_pylist(rows, DECODED))
    found = Tokenize(open_tokenizer(MODEL, profile.tokens.literals(), "model"))(sliced)
    assert found.schema == TOKENIZED
    return found


def reduced(table, *methods, given=None):
    needs = frozenset().union(*(one.needs for one in methods))
    found = Reduce(methods, Looks(needs, given=given))(table)
    assert found.schema == MEASURED
    return found.to_pylist()


@pytest.mark.parametrize("name", NEEDY)
def test_every_image_of_every_row_gets_a_plan(name):
    table = measured([(96, 64), (40, 90)], [], [(64, 64)])
    rows = reduced(table, method(name))
    assert [row["rejection"] for row in rows] == [None] * 3
    assert [row["ordinal"] for row in rows] == [0, 1, 2]
    assert [len(row["reductions"]) for row in rows] == [2, 0, 1]
    for row in rows:
        for stored in row["reductions"]:
            assert (stored["methods"], stored["num_tokens"]) == ([name], 576)
            assert from_row(stored).num_kept == stored["num_kept"]


@pytest.mark.parametrize("name", ["mustdrop_merge", "tokenflex", "frame_pool"])
def test_a_batch_of_any_size_gives_the_same(name):
    table = measured([(96, 64), (40, 90)], [(64, 64)], [(30, 200), (64, 64)])
    whole = reduced(table, method(name))
    assert [row for i in range(3) for row in reduced(table.slice(i, 1), method(name))] == whole


def test_a_grid_that_does_not_fit_rejects_its_row_with_the_place_of_its_picture():
    sound, odd = (112, 112), (112, 84)
    one, two, three = reduced(measured([sound], [sound, odd], [sound], profile=QWEN), method("wico"))
    assert one["rejection"] is three["rejection"] is None
    assert [len(row["reductions"]) for row in (one, two, three)] == [1, 0, 1]
    where = {name: two["rejection"][name] for name in ("operator", "member", "offset", "size", "segment")}
    assert where == {"operator": "reduce", "member": "m2", "offset": 1024, "size": 11, "segment": 2}
    assert two["rejection"]["reason"] == "reduction-grid"
    assert two["rejection"]["detail"] == "a grid of 3 x 4 tokens has no whole blocks of 2 x 2; 2 x 4 would do"


def given_scores(path, *rows):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return supplied_scores(str(path))


def test_scores_of_the_users_rank_the_tokens_of_their_image(tmp_path):
    scores = np.random.default_rng(0).permutation(576)
    given = given_scores(tmp_path / "s.jsonl", {"key": "k0", "image": 1, "scores": scores.tolist()},
                         {"key": "k0", "image": 0, "scores": scores[::-1].tolist()})  # fmt: skip
    (row,) = reduced(measured([(64, 64), (40, 90)]), method("rank"), given=given)
    first, second = (from_row(stored).order for stored in row["reductions"])
    assert second.tolist() == np.argsort(-scores).tolist()
    assert first.tolist() == np.argsort(-scores[::-1]).tolist()


@pytest.mark.parametrize(
    ("rows", "held"), [([], "none"), ([{"key": "k0", "image": 0, "scores": [1, 2]}], "2"),
                       ([{"key": "k1", "image": 0, "scores": [1] * 576}], "none")]
)  # fmt: skip
def test_scores_that_are_missing_or_too_few_reject_the_row(tmp_path, rows, held):
    given = given_scores(tmp_path / "s.jsonl", {"key": "other", "image": 0, "scores": [1]}, *rows)
    (row,) = reduced(measured([(64, 64)]), method("rank"), given=given)
    assert row["rejection"]["reason"] == "reduction-scores"
    assert row["rejection"]["detail"] == f"the file of scores has {held} for it; 576 expected"
    assert (row["rejection"]["member"], row["rejection"]["segment"]) == ("m1", 1)


def test_what_was_rejected_or_ends_a_shard_passes():
    table = measured([(64, 64)])
    rejection = {"operator": "decode", "reason": "decode-error", "detail": "cut"}
    row = table.to_pylist()[0] | {"rejection": rejection}
    (found,) = reduced(pa.Table.from_pylist([row], TOKENIZED), method("wico"))
    assert found["rejection"]["reason"] == "decode-error"
    assert found["reductions"] == []
