"""Packed rows inside a model: a tiny Llama runs layer by layer on what stored plans leave of each row."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from pipeline.loading.reduction.layers import IGNORED, Image, attention_mask, fewer, row_at

NUM_LAYERS = 4
DOCUMENTS = torch.tensor([0, 14, 30], dtype=torch.int32)
PLACES = (torch.arange(3, 11), torch.cat([torch.arange(16, 20), torch.arange(21, 25)]))  # a newline stands at 20
ORDER = [5, 2, 7, 0, 1, 3, 6, 4]
NOTHING = {"order": None, "schedule": None, "clusters": [], "expand": None, "decay": None}


def steps(*pairs):
    return [{"layer": layer, "tokens": tokens} for layer, tokens in pairs]


def images(*plans):
    return [Image(NOTHING | plan, places) for plan, places in zip(plans, PLACES, strict=True)]


TAPERED = {"order": ORDER, "schedule": steps((1, 5), (3, 2))}
RECYCLED = TAPERED | {"clusters": [{"layer": 1, "members": [3, 6, 4], "groups": [1, 0, 1]}]}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=NUM_LAYERS,
        num_attention_heads=2,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def ids():
    return torch.randint(0, 50, (30,), generator=torch.Generator().manual_seed(1))


POSITIONS = torch.cat([torch.arange(14), torch.arange(16)])


@torch.no_grad()
def run(model, ids, pictures, answers=None, cu_seqlens=DOCUMENTS, positions=POSITIONS):
    """Logits of the tokens that the last layer sees, and the rows of all layers."""
    hidden = model.model.embed_tokens(ids)[None]
    rows = [row_at(cu_seqlens, pictures, layer) for layer in range(-1, NUM_LAYERS)]
    for layer, (before, row) in enumerate(pairwise(rows)):
        hidden = fewer(hidden, before, row, pictures)
        own = positions[row.tokens][None]
        hidden = model.model.layers[layer](
            hidden,
            attention_mask=attention_mask(row, pictures, answers)[None, None],
            position_ids=own,
            position_embeddings=model.model.rotary_emb(hidden, own),
        )
    return model.lm_head(model.model.norm(hidden))[0], rows[1:]


def test_a_schedule_that_drops_nothing_gives_the_logits_of_the_plain_model(model, ids):
    full = {"order": ORDER, "schedule": steps((1, 8), (3, 8)), "decay": [{"answer_token": 0, "tokens": 8}]}
    answers = torch.full((30,), -1)
    answers[26:] = torch.arange(4)
    for pictures in (images({}, {}), images(full, full)):
        logits, _ = run(model, ids, pictures, answers)
        for start, end in ((0, 14), (14, 30)):
            plain = model(input_ids=ids[None, start:end]).logits[0]
            assert (logits[start:end] - plain).abs().max() <= 1e-5


def test_each_layer_sees_what_the_schedule_says_in_the_order_of_the_row(model, ids):
    logits, rows = run(model, ids, images(TAPERED, {}))
    assert [len(row.tokens) for row in rows] == [30, 27, 27, 24]
    assert logits.shape == (24, 50)
    assert rows[1].tokens.tolist() == [0, 1, 2, 3, 4, 5, 8, 10, *range(11, 30)]  # places 0, 1, 2, 5, 7
    assert rows[3].tokens.tolist() == [0, 1, 2, 5, 8, *range(11, 30)]
    assert [row.cu_seqlens.tolist() for row in rows] == [[0, 14, 30], [0, 11, 27], [0, 11, 27], [0, 8, 24]]
    assert rows[3].stays(30).nonzero().flatten().tolist() == rows[3].tokens.tolist()
    assert POSITIONS[rows[3].tokens].tolist() == [0, 1, 2, 5, 8, 11, 12, 13, *range(16)]


def test_a_cluster_is_the_mean_of_its_members_behind_the_tokens_that_stay(model, ids):
    pictures = images({}, RECYCLED)
    before, after, last = (row_at(DOCUMENTS, pictures, layer) for layer in (0, 1, 3))
    # kept places 0, 1, 2, 5, 7 stand at 16, 17, 18, 22, 24; clusters: {6} at 23, {3, 4} at 19 (3 ranks before 4)
    behind = after.tokens.tolist().index(24)
    assert after.tokens[behind + 1 : behind + 4].tolist() == [23, 19, 25]
    assert after.clusters[behind + 1 : behind + 4].tolist() == [0, 1, -1]
    assert len(after.tokens) == 30 - 3 + 2
    assert after.cu_seqlens.tolist() == [0, 14, 29]
    hidden = torch.randn(30, 5, generator=torch.Generator().manual_seed(2))
    states = fewer(hidden, before, after, pictures)
    assert torch.equal(states[after.clusters < 0], hidden[after.tokens[after.clusters < 0]])
    assert torch.equal(states[behind + 1], hidden[23])
    assert torch.equal(states[behind + 2], hidden[[19, 21]].mean(0))
    assert torch.equal(fewer(states, after, row_at(DOCUMENTS, pictures, 2), pictures), states)
    assert (last.clusters < 0).all()  # until the next layer of the schedule
    assert fewer(states, after, last, pictures).shape == (24, 5)
    labels = after.labels(torch.arange(30))
    assert labels[behind : behind + 4].tolist() == [24, IGNORED, IGNORED, 25]
    logits, rows = run(model, ids, pictures)
    assert [len(row.tokens) for row in rows] == [30, 29, 29, 24]
    assert logits.isfinite().all()


def test_documents_stay_apart_whatever_is_dropped(model, ids):
    pictures = images(RECYCLED, TAPERED)
    logits, rows = run(model, ids, pictures)
    other = ids.clone()
    other[:14] = (other[:14] + 7) % 50
    changed, _ = run(model, other, pictures)
    start = int(rows[-1].cu_seqlens[1])
    assert torch.equal(logits[start:], changed[start:])
    assert not torch.allclose(logits[:start], changed[:start])
    alone = [Image(pictures[0].plan, pictures[0].places)]
    own, _ = run(model, ids[:14], alone, cu_seqlens=DOCUMENTS[:2], positions=POSITIONS[:14])
    assert (own - logits[:start]).abs().max() <= 1e-5


def test_late_tokens_of_an_answer_see_the_first_of_the_order_alone():
    decay = [{"answer_token": 1, "tokens": 6}, {"answer_token": 3, "tokens": 2}]
    pictures = images({}, {"order": ORDER, "decay": decay})
    answers = torch.full((30,), -1)
    answers[25:30] = torch.arange(5)
    seen = attention_mask(row_at(DOCUMENTS, pictures, 0), pictures, answers)
    visual = PLACES[1]
    assert [int(seen[token, visual].sum()) for token in range(25, 30)] == [8, 6, 6, 2, 2]
    assert visual[seen[28, visual]].tolist() == sorted(visual[ORDER[:2]].tolist())
    assert seen[29, 14:16].all()
    assert seen[29, 20]  # the newline is no token of the order
    assert not seen[29, :14].any()
    assert seen[25:30, 25:30].equal(torch.ones(5, 5).tril().bool())


def test_a_decay_hides_clusters_whose_best_member_it_hides():
    pictures = images({}, RECYCLED | {"decay": [{"answer_token": 0, "tokens": 6}]})
    answers = torch.full((30,), -1)
    answers[29] = 0
    row = row_at(DOCUMENTS, pictures, 1)
    seen = attention_mask(row, pictures, answers)[-1]
    assert seen[row.clusters >= 0].tolist() == [False, True]  # places 6 and 3 rank 6th and 5th, from 0


def test_what_does_not_fit_says_so():
    with pytest.raises(ValueError, match="no order for an image with 8 places"):
        row_at(DOCUMENTS, images({"schedule": steps((0, 3))}, {}), 0)
    with pytest.raises(ValueError, match="an order of 2 tokens"):
        row_at(DOCUMENTS, images({"order": [1, 0], "schedule": steps((0, 3))}, {}), 0)
    with pytest.raises(ValueError, match="expands"):
        row_at(DOCUMENTS, images({"expand": {"layer": 2, "tokens": 16}}, {}), 0)
    rows = [row_at(DOCUMENTS, images(TAPERED, {}), layer) for layer in (0, 1)]
    with pytest.raises(ValueError, match="states of 29 tokens"):
        fewer(torch.zeros(29, 4), *rows, images(TAPERED, {}))


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(8)), st.lists(st.integers(0, 8), max_size=4))
def test_rows_are_nested_and_have_what_each_plan_leaves(order, lefts):
    lefts = sorted(lefts, reverse=True)
    plan = {"order": np.array(order, np.int32), "schedule": steps(*enumerate(lefts))}
    pictures = images(plan, plan)
    rows = [row_at(DOCUMENTS, pictures, layer) for layer in range(-1, len(lefts))]
    hidden = torch.arange(30.0)[:, None]
    for before, after, left in zip(rows, rows[1:], lefts, strict=False):
        hidden = fewer(hidden, before, after, pictures)
        assert hidden.flatten().long().equal(after.tokens)
        assert set(after.tokens.tolist()) <= set(before.tokens.tolist())
        assert after.tokens.equal(after.tokens.sort().values)
        assert after.cu_seqlens.tolist() == [0, 14 - 8 + left, 30 - 16 + 2 * left]
        kept = {int(PLACES[0][place]) for place in order[:left]}
        assert kept == set(after.tokens.tolist()) & set(PLACES[0].tolist())
