"""Stored maps are apportioned anew as if no budget had been there before; all else of a row stays."""

import pyarrow.parquet as pq
import pytest
from support import SAMPLES, build

from operators.apportion import Apportion
from operators.budget import BudgetConfig
from operators.measured import measured_from_index
from operators.profiles import load_profile
from operators.replan import COLUMNS, Replan
from operators.weights import ScoreConfig

WEIGHTS = ScoreConfig()
LOD = BudgetConfig()
THRIFTY = BudgetConfig(max_tokens=150)
CAPPED = BudgetConfig(max_image_tokens=600, thresholds=(0.2, 0.4, 0.6))
QUERY = BudgetConfig(rule="query")
HALF = BudgetConfig(rule="global", image_share=0.5)
FEW = BudgetConfig(rule="global", image_tokens=400)
SHARED = BudgetConfig(rule="global", sample_tokens=1000)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Rows with the maps and the budgets of the quickstart job."""
    output = tmp_path_factory.mktemp("replan") / "out"
    build(output, str(SAMPLES[0]), "pixels=none", limit=12)
    (path,) = (output / "index").glob("*.parquet")
    return measured_from_index(pq.read_table(path), 0, {SAMPLES[0].name: 0})


def again(table, budget, weights=WEIGHTS, *, keeps):
    return Replan(Apportion(weights, budget, load_profile("qwen2_5_vl").slicing, keeps=keeps))(table)


@pytest.mark.parametrize("keeps", [False, True])
def test_the_same_settings_change_nothing(measured, keeps):
    assert again(measured, LOD, keeps=keeps).equals(measured)


@pytest.mark.parametrize("before", [LOD, THRIFTY, CAPPED, QUERY])
@pytest.mark.parametrize("behind", [LOD, THRIFTY, CAPPED, QUERY, HALF, FEW, SHARED])
def test_regions_that_keep_their_views_have_those_that_they_would_get(measured, before, behind):
    other = ScoreConfig(propositional=0.1, balance="opponent")
    had = again(measured, before, keeps=False)
    assert again(had, behind, other, keeps=True).equals(again(had, behind, other, keeps=False))


@pytest.mark.parametrize("before", [THRIFTY, HALF, SHARED])
def test_what_an_older_budget_did_does_not_matter(measured, before):
    had = again(measured, before, keeps=False)
    assert not had.equals(measured)
    assert again(had, LOD, keeps=False).equals(measured)


def test_no_column_but_three_is_touched(measured):
    found = again(measured, THRIFTY, keeps=True)
    assert found.schema.equals(measured.schema)
    assert found.drop_columns(list(COLUMNS)).equals(measured.drop_columns(list(COLUMNS)))
