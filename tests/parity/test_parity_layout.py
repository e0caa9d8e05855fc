"""The ids that the operators give a document of pictures are those that transformers' own tokenizer gives its text."""

from itertools import groupby

import pyarrow as pa
import pytest
from processors import byte_tokenizer, layout_ids

from operators.profiles import load_profile, profile_names
from operators.slice import Slice
from operators.tokenize import Tokenize
from operators.tokenizers.opening import open_tokenizer
from pipeline.schema import DECODED
from pipeline.types import Place

SIZES = [(640, 480), (90, 300), (64, 64), (1500, 1100)]
TEXT = "Zwei Bilder \n\n und <row_1_col_1> Text: 图像 "


def document(sizes):
    """A decoded row: a text, then each picture and a text."""
    kinds = [0, *([1, 0] * len(sizes))]
    return dict.fromkeys(DECODED.names) | {
        "segments": [
            {"kind": kind, "text": None if kind else f"{TEXT}{i}", "member": "m", "offset": 0, "size": 1, "turn": 0}
            for i, kind in enumerate(kinds)
        ],
        "dropped": [],
        "num_derived": 0,
        "withheld": False,
        "pictures": [{"width": width, "height": height, "format": "png"} for width, height in sizes],
        "smalls": [],
    }


@pytest.mark.parametrize("name", profile_names())
@pytest.mark.parametrize("count", [1, 4])
def test_ids_of_a_document_equal_those_of_its_layout_in_text(name, count):
    profile = load_profile(name)
    theirs = byte_tokenizer(profile)
    ours = open_tokenizer(theirs.backend_tokenizer.to_str().encode(), profile.tokens.literals(), name)
    table = pa.Table.from_pylist([document(SIZES[:count])], schema=DECODED)
    (row,) = Tokenize(ours)(Slice(profile, None)(table)).to_pylist()
    assert row["rejection"] is None
    runs = [[run["id"] for run in image for _ in range(run["count"])] for image in row["runs"]]
    plans = [
        profile.slicing.plan(*size, profile.tokens.by_role(), Place(i, count)) for i, size in enumerate(SIZES[:count])
    ]
    assert runs == [layout_ids(plan, theirs) for plan in plans]
    texts = [ids for ids, segment in zip(row["tokens"], row["segments"], strict=True) if segment["kind"] == 0]
    with_specials_as_text = byte_tokenizer(load_profile("vit"))
    assert texts == [with_specials_as_text.encode(f"{TEXT}{i}") for i in range(0, 2 * count + 1, 2)]
    for image, plan in zip(row["runs"], plans, strict=True):
        visual = [(view, sum(r["count"] for r in g)) for view, g in groupby(image, key=lambda run: run["view"])]
        assert sum(n for view, n in visual if view >= 0) == sum(view.tokens for view in plan.views)
