"""Each method's plans pass the check that knows its settings, and a lie about any of them is found."""

from __future__ import annotations

import json
import re
import shutil
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewriting import Output

from jobs.verify import verify
from jobs.verify.reductions import ASKED, FIELDS, METHODS, reduction_faults
from operators.reduction.composing import composition_fault, reduce_tokens, to_row
from pipeline.schema import REDUCTION
from pipeline.types import Place
from pipeline.units import canonical_json
from tests.operators.reduction.making import SETTINGS, method, tokens
from tests.support import build, write_small_shards

GRIDS = (((4, 4), (2, 2), (2, 2)), ("whole", "tile", "tile"))
VARIANTS = [
    *((name, {}) for name in sorted(SETTINGS)),
    ("wico", {"window": [1, 2]}),
    ("tokenflex", {"draws": "image", "seed": 7}),
    ("tokenflex", {"probabilities": {4: 0.25, 1: 3.0}}),
    ("tokenflex_by_scores", {"shown": 1.0}),
    ("frame_pool", {"draw": True, "least": 3, "most": 20}),
    ("rank", {"schedule": "pyramid"}),
    ("rank", {"schedule": "fastv", "drop": 0.3}),
    ("rank", {"schedule": "progressive"}),
    ("rank", {"schedule": [[0, 1.0], [3, 20], [9, 0.3]]}),
    ("sparsevlm", {"version": "1", "rank": 2, "scale": 3.5, "bias": -1.0}),
    ("sparsevlm", {"version": "1.5", "tokens": 64}),
    ("sparsevlm", {"version": "plus", "tokens": 96}),
    ("mustdrop", {"layer": 5, "global_threshold": 0.06, "individual_threshold": 0.06}),
    ("mustdrop_merge", {"window": 2, "threshold": -1.0}),
    ("visionzip", {"sums": True}),
    ("tome", {"decreasing": True, "merges": 2}),
    ("tome", {"class_token": False, "merges": 9}),
    ("prumerge", {"plus": True}),
    ("prumerge", {"sums": True}),
    ("prumerge", {"sums": True, "plus": True}),
    ("dyrate", {"rates": 3, "schedule": [[4, 2], [9, 3]]}),
]
"""Methods and settings."""


def segment_of(methods, image):
    """An image of the index, as much of it as the check reads; and the recipe's methods."""
    views = [
        {"rows": rows, "cols": cols, "kind": kind, "row": row, "col": col}
        for (rows, cols), kind, (row, col) in zip(image.grids, image.kinds, image.places, strict=True)
    ]
    runs = [{"view": -1, "count": 3}]
    for number, view in enumerate(views):
        runs += [{"view": number, "count": view["rows"] * view["cols"]}, {"view": -1, "count": 1}]
    reduction = to_row(reduce_tokens(methods, image))
    recipe = json.loads(canonical_json([one.model_dump(mode="json") for one in methods]))
    return {"reduction": reduction, "runs": runs, "plan": {"views": views}}, recipe


def faults(segment, recipe, place=Place()):  # noqa: B008 - frozen
    return list(reduction_faults(segment, recipe, "s.tar/k#0", place))


@pytest.mark.parametrize(("name", "given_settings"), VARIANTS)
def test_plans_as_they_were_made_pass(name, given_settings):
    for seed in range(3):
        assert faults(*segment_of([method(name, **given_settings)], tokens(seed, *GRIDS))) == []


@settings(max_examples=60)
@given(st.lists(st.sampled_from(VARIANTS), min_size=1, max_size=4), st.integers(0, 99), st.data())
def test_compositions_on_any_grids_pass(chosen, seed, data):
    methods = [method(name, **given_settings) for name, given_settings in chosen]
    stages = sorted(methods, key=lambda one: ("arrange", "merge", "layers", "answer").index(one.stage))
    methods = [one for i, one in enumerate(stages) if one.stage not in {other.stage for other in stages[:i]}]
    if composition_fault(methods) is not None:
        methods = methods[:1]
    side = st.integers(1, 4).map(lambda half: 2 * half)
    grid = data.draw(st.tuples(side, side))
    grids = (data.draw(st.tuples(side, side)), *[grid] * data.draw(st.integers(0, 3)))
    kinds = ("whole", *["tile"] * (len(grids) - 1))
    assert faults(*segment_of(methods, tokens(seed, grids, kinds))) == []


def test_what_the_check_knows_of_methods_is_what_there_is():
    assert set(METHODS) == set(FIELDS) == set(SETTINGS)
    plain = {"methods", "num_tokens", "num_kept", "grids"}
    assert {REDUCTION.field(i).name for i in range(REDUCTION.num_fields)} == ASKED | plain


def put(**values):
    return lambda reduction: reduction.update(values)


def swapped(name, i=0, j=-1):
    def change(reduction):
        found = reduction[name]
        found[i], found[j] = found[j], found[i]

    return change


def popped(name):
    return lambda reduction: reduction[name].pop()


def tokens_off_by_one(name, at=0, by=-1):
    def change(reduction):
        reduction[name][at]["tokens"] += by

    return change


def next_group(reduction):
    """One token that is kept by nobody else goes elsewhere."""
    token = next(i for i, group in enumerate(reduction["groups"]) if reduction["kept"][group] != i)
    reduction["groups"][token] = (reduction["groups"][token] + 1) % reduction["num_kept"]


def one_more(reduction):
    """A token that was merged is kept as well."""
    token = next(i for i in range(reduction["num_tokens"]) if i not in reduction["kept"])
    kept = sorted([*reduction["kept"], token])
    if reduction["groups"]:
        old = [reduction["kept"][group] for group in reduction["groups"]]
        old[token] = token
        reduction["groups"] = [kept.index(one) for one in old]
        if reduction["shares"]:
            reduction["shares"] = [1 / old.count(one) for one in old]
    reduction |= {"kept": kept, "num_kept": len(kept)}


def bent_share(reduction):
    reduction["shares"][0] *= 0.5


def pool_smaller(reduction):
    reduction["pools"][0] = {"rows": 1, "cols": 1}
    reduction["kept"] = reduction["kept"][:1] + [i for i in reduction["kept"] if i >= 16]
    reduction["num_kept"] = len(reduction["kept"])


def last_place_moved(reduction):
    reduction["kept"][-1] += 1


def schedule_grows(reduction):
    reduction["schedule"][-1]["tokens"] = reduction["schedule"][0]["tokens"] + 1


def cluster_lost(reduction):
    reduction["clusters"] = reduction["clusters"][:-1]


def member_for_another(reduction):
    """The last of those that no layer recycles, in place of the first that one does."""
    reduction["clusters"][0]["members"][0] = reduction["order"][len(reduction["order"]) - 1]


def member_that_stays(reduction):
    reduction["clusters"][0]["members"][0] = reduction["order"][0]


LIES = [
    ("wico", {}, swapped("kept"), r"keeps tokens that are not ascending"),
    ("wico", {}, one_more, r"has windows that are not 7 of one size"),
    ("wico", {}, swapped("window"), r"has a kept token that is not in its own window"),
    ("wico", {}, lambda r: r["window"][0].reverse(), r"joins other tokens than blocks of 2 x 2"),
    ("wico", {}, put(methods=["tome"]), r"is reduced by \['tome'\]; \['wico'\], as the job says"),
    ("wico", {}, put(expand={"layer": 3, "tokens": 24}), r"asks for expand, kept, window; kept, window"),
    ("wico", {}, put(kept=None, num_kept=24), r"asks for window; kept, window"),
    ("wico", {}, put(grids=[{"rows": 6, "cols": 4}]), r"has 24 tokens in grids of \[\(6, 4\)\]; 24 in \[\(4, 4\), "),
    ("wico_plus", {}, put(expand={"layer": 29, "tokens": 24}), r"is spread as .*29.*'tokens': 24} expected"),
    ("hires_restore", {}, swapped("restore"), r"raster that is not that of its slices"),
    ("hires_restore", {}, put(restore=None), r"raster that is not that of its slices"),
    ("hires_restore", {}, put(restore=[0] * 24), r"raster that is no permutation of 24 tokens"),
    ("self_mining", {}, next_group, r"averages other tokens than regions of 2 x 2"),
    ("tokenflex", {"probabilities": {4: 1}}, pool_smaller, r"has pools \[\(1, 1\), .* expected"),
    ("tokenflex", {}, last_place_moved, r"pooled tokens in other places"),
    (
        "tokenflex",
        {"probabilities": {4: 1}},
        put(pools=[{"rows": 4, "cols": 4}] * 3),
        r"has pools of \[16, 16, 16\] tokens; 12 in all",
    ),
    ("tokenflex_by_scores", {}, put(pools=[{"rows": 1, "cols": 1}]), r"has pools of \[1\] tokens"),
    ("frame_pool", {}, last_place_moved, r"pooled tokens in other places"),
    ("mustdrop_merge", {}, one_more, r"tokens fewer; a multiple of 3, of windows of 2 x 2, expected"),
    ("mustdrop_merge", {"threshold": 0.3}, next_group, r"merges other tokens than windows of 2 x 2"),
    (
        "mustdrop_merge",
        {"threshold": -1.0},
        last_place_moved,
        r"a merged token in another place",
    ),
    ("mustdrop_merge", {}, swapped("groups"), r"a kept token that is not in its own group"),
    ("visionzip", {}, one_more, r"keeps 11 of 24 tokens; 10 expected"),
    ("visionzip", {}, bent_share, r"shares that do not weigh a target as much"),
    ("visionzip", {"sums": True}, bent_share, r"shares that do not weigh a target as much"),
    ("tome", {}, one_more, r"keeps 22 of 24 tokens; 21 expected"),
    ("tome", {}, lambda r: r["groups"].__setitem__(next(i for i in range(24) if i not in r["kept"]), -1), r"into none"),
    ("prumerge", {}, bent_share, r"shares that do not add up to one"),
    ("prumerge", {}, put(kept=[*range(24)], groups=[*range(24)], shares=[1.0] * 24, num_kept=24), r"1 to 7 expected"),
    ("prumerge", {"sums": True, "plus": True}, put(shares=[0.1] * 24), r"more than one kept token that does not weigh"),
    ("prumerge", {"plus": True}, put(kept=[0], groups=[0] * 24, shares=[1 / 24] * 24, num_kept=1), r"keeps 1 of 24"),
    ("rank", {}, tokens_off_by_one("schedule"), r"has a schedule of \[\(2, 11\), \(5, 1\)\]; \[\(2, 12\), \(5, 1\)\]"),
    ("rank", {}, schedule_grows, r"has a schedule whose steps do not ascend, or that brings tokens back"),
    ("rank", {}, lambda r: r["order"].__setitem__(0, r["order"][1]), r"order that is no permutation of the 24 kept"),
    ("rank", {}, popped("schedule"), r"has a schedule of \[\(2, 12\)\]; "),
    ("sparsevlm", {}, tokens_off_by_one("schedule"), r"has a schedule of .* expected|clusters at layer"),
    ("sparsevlm", {}, cluster_lost, r"recycles .*, as layer, tokens and clusters; "),
    ("sparsevlm", {}, member_for_another, r"recycles other tokens than the best of those that a layer drops"),
    ("sparsevlm", {}, member_that_stays, r"has clusters at layer 2 of tokens that it does not drop"),
    ("mustdrop", {}, put(schedule=[{"layer": 3, "tokens": 9}]), r"one step at layer 2, of 2 tokens at least"),
    ("mustdrop", {}, put(schedule=[{"layer": 2, "tokens": 1}]), r"one step at layer 2, of 2 tokens at least"),
    ("dyrate", {}, tokens_off_by_one("decay", 1), r"has a decay of \[\(32, 18\), \(64, 11\), \(128, 6\)\]; "),
    ("dyrate", {}, put(decay=None), r"asks for order; decay, order"),
]


@pytest.mark.parametrize(("name", "given_settings", "lie", "said"), LIES)
def test_a_lie_about_a_plan_is_found(name, given_settings, lie, said):
    segment, recipe = segment_of([method(name, **given_settings)], tokens(0, *GRIDS))
    told = deepcopy(segment)
    lie(told["reduction"])
    assert told != segment
    found = faults(told, recipe)
    assert any(re.search(said, line) for line in found), found
    assert not any("\n" in line for line in found)


def test_a_plan_drawn_for_another_document_is_found():
    segment, recipe = segment_of([method("tokenflex")], tokens(0, *GRIDS))
    others = {
        document: list(reduction_faults(segment, recipe, document, Place()))
        for document in (f"s.tar/k#{ordinal}" for ordinal in range(12))
    }
    assert others["s.tar/k#0"] == []
    assert any(others.values())


def test_more_images_than_a_budget_is_for_are_found():
    segment, recipe = segment_of([method("frame_pool", total=48, most=48)], tokens(0, *GRIDS))
    assert faults(segment, recipe, Place(0, 1)) == []
    assert faults(segment, recipe, Place(0, 4)) != []


def test_a_reduction_without_a_method_and_a_method_without_a_reduction_are_found():
    segment, recipe = segment_of([method("wico")], tokens(0, *GRIDS))
    assert faults(segment, []) == ["has a reduction, otherwise than the job"]
    assert faults(segment | {"reduction": None}, recipe) == ["has no reduction, otherwise than the job"]
    assert faults(segment | {"reduction": None}, []) == []


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Two documents of LLaVA-1.5, merged and ranked."""
    folder = tmp_path_factory.mktemp("sound")
    shards = write_small_shards(folder / "shards", 1, 2)
    options = ("profile=llava_1_5", "budget=none", "pixels=none", "sequence_length=2048", "score.participatory=0")
    build(folder / "out", shards, *options, "reduce=[{method: mustdrop_merge}, {method: rank}]")
    assert verify(str(folder / "out")).findings == []
    return folder / "out"


@pytest.fixture
def output(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "out")
    return Output(tmp_path / "out")


def of_index(rows):
    return next(one["reduction"] for row in rows for one in row["segments"] if one["reduction"])


def of_packs(rows):
    return rows[0]["plans"][0]["reduction"]


def kept_in_another_order(output):
    output.table("index", lambda rows: swapped("kept")(of_index(rows)))


def one_more_has_a_place(output):
    output.table("index", lambda rows: one_more(of_index(rows)))


def kept_of_no_picture(output):
    output.table("index", lambda rows: of_index(rows)["kept"].__setitem__(-1, 1_000_000))


def nothing_kept_somewhere(output):
    output.table("index", lambda rows: of_index(rows)["kept"].__setitem__(3, None))


def other_methods(output):
    output.table("index", lambda rows: of_index(rows).update(methods=["tome", "rank"]))


def order_of_a_pack_changed(output):
    output.table("data", lambda rows: swapped("order")(of_packs(rows)))


def schedule_grows_in_both(output):
    output.table("index", lambda rows: schedule_grows(of_index(rows)))
    output.table("data", lambda rows: schedule_grows(of_packs(rows)))


def group_moved_in_both(output):
    output.table("index", lambda rows: next_group(of_index(rows)))
    output.table("data", lambda rows: next_group(of_packs(rows)))


def plan_left_out(output):
    output.table("data", lambda rows: rows[0]["plans"].pop())


def plan_of_another_image(output):
    output.table("data", lambda rows: rows[0]["plans"][0].update(image=7))


def column_left_out(output):
    output.table("data", lambda table: table.drop_columns(["plans"]))


OF_AN_OUTPUT = {
    kept_in_another_order: r"segment \d+ keeps tokens that are not ascending",
    one_more_has_a_place: r"has the lengths|a multiple of 8",
    kept_of_no_picture: r"segment \d+ keeps tokens that are not ascending numbers under 576",
    nothing_kept_somewhere: r"segments.reduction.kept is null in 1 places; a value expected",
    other_methods: r"is reduced by \['tome', 'rank'\]; \['mustdrop_merge', 'rank'\], as the job says, expected",
    order_of_a_pack_changed: r"plan 0 is not that of its image; those of its 2 images in the index expected",
    schedule_grows_in_both: r"has a schedule whose steps do not ascend, or that brings tokens back",
    group_moved_in_both: r"merges other tokens than windows of 3 x 3",
    plan_left_out: r"has 1 plans; those of its 2 images in the index expected",
    plan_of_another_image: r"plan 0 is not that of its image",
    column_left_out: r"plans|columns|schema",
}


@pytest.mark.parametrize("lie", OF_AN_OUTPUT, ids=lambda lie: lie.__name__)
def test_a_lie_about_reductions_of_an_output_is_found(output, lie):
    lie(output)
    lines = [f"{finding.where}: {finding.what}" for finding in verify(str(output.root)).findings]
    assert any(re.search(OF_AN_OUTPUT[lie], line) for line in lines), lines
