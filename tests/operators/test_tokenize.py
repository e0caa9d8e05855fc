"""Ids per text segment and runs per image; text is never parsed for special tokens."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.profiles import load_profile
from operators.tokenize import Tokenize
from operators.tokenizers.sentencepiece import SentencePieceTokenizer
from pipeline.schema import SLICED, TOKENIZED
from pipeline.types import Modality

MODEL = (Path(__file__).resolve().parents[2] / "jobs/samples/tokenizer.model").read_bytes()
QWEN, NEXT = load_profile("qwen2_5_vl"), load_profile("llava_next")
IMAGE = None
"""Stands for an image in a document."""


def rows_of(*documents, profile=QWEN, **changes):
    """One SLICED row per document, a document being texts and IMAGE in order."""
    rows = []
    for ordinal, parts in enumerate(documents):
        segments = [
            {"kind": int(part is IMAGE), "text": part, "member": f"{i}", "offset": 512 * (i + 1), "size": 9}
            for i, part in enumerate(parts)
        ]
        plan = profile.slicing.plan(90, 60, profile.tokens.by_role())
        layout = [{"token": r.token, "modality": r.modality, "view": r.view, "count": r.count} for r in plan.layout]
        num_images = sum(part is IMAGE for part in parts)
        row = {"unit": 0, "shard": "0.tar", "shard_number": 0, "ordinal": ordinal, "key": str(ordinal)}
        row |= {
            "segments": segments,
            "dropped": [],
            "num_derived": 0,
            "withheld": False,
            "rejection": None,
            "shard_end": None,
        }
        row |= {"pictures": [], "smalls": [], "plans": [], "layouts": [layout] * num_images}
        rows.append(row | changes)
    return pa.Table.from_pylist(rows, SLICED)


def tokenize(table, profile=QWEN):
    tokenizer = SentencePieceTokenizer(MODEL, profile.tokens.literals())
    tokens = Tokenize(tokenizer)(table)
    assert tokens.schema == TOKENIZED
    return tokens.to_pylist(), tokenizer


@pytest.mark.parametrize("profile", [QWEN, NEXT])
def test_text_full_of_special_tokens_yields_none_of_their_ids(profile):
    literals = {*QWEN.tokens.literals(), *NEXT.tokens.literals(), "<unk>", "<|video_pad|>", "<|im_start|>"}
    texts = [*literals, " ".join(literals), "".join(literals), *(f"a{literal}b" for literal in literals)]
    (row,), tokenizer = tokenize(rows_of(texts, profile=profile), profile)
    special = set(tokenizer.special_ids.values())
    assert len(row["tokens"]) == len(texts)
    for text, ids in zip(texts, row["tokens"], strict=True):
        assert ids
        assert not special & set(ids)
        assert max(ids) < tokenizer.size - tokenizer.num_added
        assert tokenizer.decode(ids) == text


def test_segments_keep_their_places_and_lose_their_text():
    (row,), tokenizer = tokenize(rows_of(["one", IMAGE, "", IMAGE, "two"]))
    assert [bool(ids) for ids in row["tokens"]] == [True, False, False, False, True]
    assert [tokenizer.decode(row["tokens"][i]) for i in (0, 4)] == ["one", "two"]
    assert {segment["text"] for segment in row["segments"]} == {None}
    assert [segment["offset"] for segment in row["segments"]] == [512, 1024, 1536, 2048, 2560]


def test_runs_carry_the_ids_of_the_special_tokens():
    (row,), tokenizer = tokenize(rows_of([IMAGE, "x", IMAGE]))
    ids = tokenizer.special_ids
    expected = [
        {"id": ids["<|vision_start|>"], "modality": Modality.MARKER, "view": -1, "count": 1},
        {"id": ids["<|image_pad|>"], "modality": Modality.IMAGE, "view": 0, "count": 6},
        {"id": ids["<|vision_end|>"], "modality": Modality.MARKER, "view": -1, "count": 1},
    ]
    assert row["runs"] == [expected, expected]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30), min_size=1, max_size=6))
def test_each_text_is_encoded_by_itself(texts):
    (together,), tokenizer = tokenize(rows_of(texts))
    alone, _ = tokenize(rows_of(*([text] for text in texts)))
    assert together["tokens"] == [row["tokens"][0] for row in alone]
    assert together["tokens"] == tokenizer.encode(texts)


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
        ((row,), _) = tokenize(rows_of(["text"], **changes))
        assert {name: row[name] for name in changes} == changes
        assert (row["tokens"], row["runs"]) == ([], [])
