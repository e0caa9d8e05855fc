"""`lodepack diff` says of two versions what differs, and why each unit is new or gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from jobs.diff.command import diff
from jobs.diff.screen import to_lines
from jobs.diff.units import Side, Unit, changed_units
from tests.calling import call
from tests.support import build, write_pairs, write_small_shards

FIELDS = ("unit.target_shards=1", "sequence_length=2048", "score=null", "budget=none", "pixels=source")


def side(**units: dict[str, str]) -> Side:
    """Units by id, each with its shards' contents by name; an id ends in its recipe where it has another."""
    found = {name: Unit(name, "input", name[2:], {s: (sha, None) for s, sha in u.items()}, ()) for name, u in units.items()}  # fmt: skip # noqa: E501
    return Side(found, frozenset({"input"}))


@pytest.mark.parametrize(
    ("old", "new", "of_new", "of_gone"),
    [
        ({"a1": {"p": "x"}}, {"b1": {"p": "y"}}, {"changed": ["p"]}, {"changed": ["p"]}),
        ({"a1": {"p": "x"}}, {"b1": {"p": "x", "q": "y"}}, {"added": ["q"]}, {"left": ["q"]}),
        ({"a1": {"p": "x", "q": "y"}}, {"b1": {"p": "x"}}, {"left": ["q"]}, {"removed": ["q"]}),
        ({"a1": {"p": "x"}}, {"b1r": {"p": "x"}}, {"recipe": True}, {"recipe": True}),
    ],
)
def test_a_unit_is_another_for_its_shards_or_its_recipe(old: Any, new: Any, of_new: Any, of_gone: Any) -> None:
    for own, other, absent, expected in (
        (side(**new), side(**old), "added", of_new),
        (side(**old), side(**new), "removed", of_gone),
    ):
        (found,) = changed_units(own, other, absent)
        assert {name: value for name, value in found.items() if name not in {"unit", "source", "shards"}} == expected


def test_shards_that_change_company_moved_a_border() -> None:
    old, new = side(a1={"p": "x", "q": "y", "r": "z"}), side(b1={"p": "x", "q": "y"}, c1={"r": "z"})
    assert [unit["moved"] for unit in changed_units(new, old, "added")] == [["r"], ["p", "q"]]
    assert [unit["moved"] for unit in changed_units(old, new, "removed")] == [["p", "q", "r"]]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions: a shard more, then another weight of the other source and another length."""
    folder = tmp_path_factory.mktemp("diff")
    write_small_shards(folder / "docs", 1, 1)
    sources: dict[str, Any] = {
        "docs": {"shards": str(folder / "docs" / "*.tar")},
        "photos": {"shards": write_pairs(folder / "photos", 1, 2), "format": "pairs"},
    }
    for number in range(3):
        write_small_shards(folder / "docs", min(number, 1) + 1, 1)
        sources["photos"]["weight"] = 2 if number == 2 else 1
        length = ["sequence_length=4096"] if number == 2 else []
        build(folder / "out", None, f"input={json.dumps({'sources': sources})}", *FIELDS, *length, rebuild=True)
    return folder / "out"


def test_shards_units_and_counts_are_told_by_source(output: Path) -> None:
    report = diff(str(output), [1, 2])
    assert report["inputs"] == {
        "docs": {"added": ["docs/small-000001.tar"], "removed": [], "changed": [], "kept": 1},
        "photos": {"added": [], "removed": [], "changed": [], "kept": 1},
    }
    (new,) = report["units"]["new"]
    assert (new["source"], new["added"]) == ("docs", ["docs/small-000001.tar"])
    assert (report["units"]["gone"], report["units"]["kept"], report["recipe"]) == ([], 2, [])
    assert report["counts"]["all"]["samples"]["packed"] == [3, 4]
    assert report["counts"]["sources"]["docs"]["samples"]["packed"] == [1, 2]
    assert report["counts"]["sources"]["photos"]["samples"]["packed"] == [2, 2]
    lines = to_lines(report)
    assert "shards of docs: 1 added (docs/small-000001.tar), 1 kept" in lines
    assert any(line.startswith("docs: samples: packed 1 to 2 (+1)") for line in lines)
    assert not any(line.startswith("photos: ") for line in lines)
    assert diff(str(output), [2, 1])["inputs"]["docs"]["removed"] == ["docs/small-000001.tar"]


def test_the_newest_two_are_compared_by_default_and_a_recipe_field_by_field(output: Path) -> None:
    shown = call("diff", output)
    assert shown.code == 0
    assert shown.out.splitlines()[0].endswith("version 2 to 3")
    assert "  job.sequence_length: 2048 -> 4096" in shown.out
    assert "  photos.weight: 1.0 -> 2.0" in shown.out
    assert "another recipe" in shown.out
    report = json.loads(call("diff", output, "--json").out)
    assert (report["from"], report["to"], report["units"]["kept"]) == (2, 3, 0)
    assert all(unit["recipe"] for unit in report["units"]["new"] + report["units"]["gone"])
    assert diff(str(output), [3, 3])["units"] == {"kept": 3, "new": [], "gone": []}


@pytest.mark.parametrize(
    ("versions", "error"),
    [
        ((1, 7), "has no version 7; choose one of 1 to 3"),
        ((2,), "1 version(s) named"),
        ((1, 2, 3), "3 version(s) named"),
    ],
)
def test_versions_that_are_not_there_or_not_two_are_refused_in_a_line(
    output: Path, versions: tuple[int, ...], error: str
) -> None:
    result = call("diff", output, *versions)
    assert result.code == 2
    assert error in result.err
    assert result.err.count("\n") == 1


def test_one_version_alone_is_compared_with_nothing(output: Path, tmp_path: Path) -> None:
    shutil.copytree(output, tmp_path / "out")
    for number in (1, 2):
        (tmp_path / f"out/versions/00000{number}.json").unlink()
    assert "has one version, 3; two are expected" in call("diff", tmp_path / "out").err
