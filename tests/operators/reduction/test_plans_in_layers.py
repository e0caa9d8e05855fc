"""What the meter counts of a plan is what its stored form leaves in each layer of a row."""

from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest
import torch

from operators.reduction.dyrate import DyRate
from operators.reduction.flops import tokens_by_layer
from operators.reduction.mustdrop import MustDrop
from operators.reduction.plan import ImageTokens
from operators.reduction.rank import Rank
from operators.reduction.sparsevlm import SparseVLM
from pipeline.loading.reduction.layers import Image, attention_mask, row_at
from pipeline.schema import REDUCTION


def stored(reduction):
    """As the packs have it."""
    row = asdict(reduction)
    named = {"grids": ("rows", "cols"), "schedule": ("layer", "tokens"), "decay": ("answer_token", "tokens")}
    for field, names in named.items():
        row[field] = row[field] and [dict(zip(names, pair, strict=True)) for pair in row[field]]
    return pa.array([row], REDUCTION).to_pylist()[0]


def image():
    random = np.random.default_rng(0)
    return ImageTokens(
        ((8, 12),),
        ("whole",),
        ((0, 0),),
        scores=random.integers(0, 1000, 96) ** 2,
        salience=random.integers(0, 50, 96),
        features=random.integers(0, 256, (96, 4)),
    )


@pytest.mark.parametrize(
    "method",
    [
        *(Rank(schedule=schedule) for schedule in ("pyramid", "fastv", "progressive", ((0, 40), (3, 0.1)))),
        *(SparseVLM(tokens=tokens) for tokens in (192, 64)),
        SparseVLM(version="plus"),
        SparseVLM(version="1", rank=3),
        MustDrop(tokens=64),
    ],
    ids=lambda method: "-".join(map(str, method.model_dump(exclude_defaults=True).values())) or method.method,
)
def test_each_layer_has_the_tokens_that_the_meter_counts(method):
    plan = method.plan(image()).then(DyRate(rates=8, schedule=[[1, 8]]).plan(image()))
    places = torch.arange(4, 100)
    pictures = [Image(stored(plan), places)]
    borders = torch.tensor([0, 110], dtype=torch.int32)
    counts = tokens_by_layer(plan, 32)
    assert min(counts) < 96
    answers = torch.full((110,), -1)
    answers[-2:] = torch.arange(2)
    for layer, count in enumerate(counts):
        row = row_at(borders, pictures, layer)
        assert len(row.tokens) == 14 + count
        own = row.tokens[(row.tokens >= 4) & (row.tokens < 100) & (row.clusters < 0)]
        assert set(own.tolist()) <= {4 + place for place in plan.order[:count].tolist()}
        seen = attention_mask(row, pictures, answers)
        late = row.tokens[seen[-1]]  # the second token of the answer sees an eighth of the order
        assert set(late[(late >= 4) & (late < 100)].tolist()) <= {4 + place for place in plan.order[:12].tolist()}
        assert seen[-2].sum() == 14 + count - 1
