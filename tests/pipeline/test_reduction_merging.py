"""A stored plan merges features as it says, and loses none of them on the way."""

from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest
import torch

from operators.reduction.mustdrop_merge import MustDropMerge
from operators.reduction.prumerge import PruMerge
from operators.reduction.tome import ToMe
from operators.reduction.visionzip import VisionZip
from pipeline.loading.reduction.merging import keep, merge
from pipeline.schema import REDUCTION
from tests.operators.reduction.merging_made import noise, of_picture

METHODS = [MustDropMerge(), ToMe(), VisionZip(dominant=54, contextual=10), PruMerge(), PruMerge(plus=True)]
NONE = dict.fromkeys(field.name for field in REDUCTION)


def stored(plan):
    """As a trainer reads it: through the column's type."""
    row = asdict(plan) | {"grids": [{"rows": rows, "cols": cols} for rows, cols in plan.grids]}
    row = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in row.items()}
    return pa.array([row], REDUCTION).to_pylist()[0]


@pytest.fixture(scope="module")
def image():
    picture = noise(5)
    picture[:, :150] = 200
    return of_picture(picture)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.method)
def test_output_has_the_planned_count_and_every_feature_its_part(method, image):
    plan = stored(method.plan(image))
    features = torch.randn(576, 7, generator=torch.Generator().manual_seed(0), requires_grad=True)
    merged = merge(features, plan)
    assert merged.shape == (len(plan["kept"]), 7)
    merged.sum().backward()
    assert (features.grad > 0).all()
    # What goes into each adds up to one, so features that are the same come out as they are.
    assert torch.allclose(merge(torch.full((576, 2), 3.5), plan), torch.tensor(3.5))


@pytest.mark.parametrize("method", [MustDropMerge(), ToMe()], ids=lambda method: method.method)
def test_means_times_their_sizes_are_all_features_together(method, image):
    plan = stored(method.plan(image))
    features = torch.randn(576, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    sizes = torch.bincount(torch.tensor(plan["groups"]))
    assert sizes.sum() == 576
    assert torch.allclose((merge(features, plan) * sizes[:, None]).sum(0), features.sum(0))


@pytest.mark.parametrize("fields", [{}, {"sums": True}], ids=["average", "sums"])
def test_visionzip_is_what_the_reference_computes(fields, image):
    """Target plus mean of the assigned, halved unless sums are asked for."""
    plan = stored(VisionZip(dominant=54, contextual=10, **fields).plan(image))
    features = torch.randn(576, 5, generator=torch.Generator().manual_seed(2))
    groups = torch.tensor(plan["groups"])
    for number, (place, found) in enumerate(zip(plan["kept"], merge(features, plan), strict=True)):
        taken = groups == number
        taken[place] = False
        expected = features[place]
        if taken.any():
            expected = (expected + features[taken].mean(0)) * (1 if fields else 0.5)
        assert torch.allclose(found, expected, atol=1e-5)


def test_hand_example():
    features = torch.tensor([[1.0], [2.0], [30.0], [4.0]])
    plan = NONE | {"num_tokens": 4, "kept": [0, 2], "groups": [0, 0, 1, -1]}
    assert merge(features, plan).tolist() == [[1.5], [30]]
    assert merge(features, plan | {"shares": [0.75, 0.25, 1, 9]}).tolist() == [[1.25], [30]]
    assert keep(features, plan).tolist() == [[1], [30]]
    assert merge(features, plan | {"groups": None}).tolist() == [[1], [30]]
    assert keep(features, NONE | {"num_tokens": 4}) is features


def test_halves_are_added_in_float32_and_come_back_as_halves():
    features = torch.full((3000, 1), 10.0, dtype=torch.bfloat16)
    plan = NONE | {"num_tokens": 3000, "kept": [0], "groups": [0] * 3000, "shares": [1 / 3000] * 3000}
    merged = merge(features, plan)
    assert merged.dtype == torch.bfloat16
    assert merged.tolist() == [[10]]


def test_features_of_another_image_are_refused():
    plan = NONE | {"num_tokens": 4, "kept": [0], "groups": [0] * 4}
    for wrong in (torch.zeros(5, 2), torch.zeros(1, 4, 2)):
        for consumer in (keep, merge):
            with pytest.raises(ValueError, match=r"\[4, d\] expected"):
                consumer(wrong, plan)
