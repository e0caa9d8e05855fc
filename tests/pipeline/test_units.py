"""Shards are named by where they lie below their pattern, grouped by their names, and units known by content."""

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.types import Shard
from pipeline.units import canonical_json, group_shards, list_shards, recipe_difference, recipe_hash, unit_id


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def names_of(*patterns):
    return [shard.name for shard in list_shards([str(pattern) for pattern in patterns])]


def shards_of(names):
    return [Shard(name, f"/somewhere/{name}") for name in sorted(names)]


names = st.sets(st.text("abcdef0123456789", min_size=3, max_size=8), max_size=120)


def test_braces_name_files_below_the_fixed_folder(tmp_path):
    touch(tmp_path, "000.tar", "001.tar", "sub/000.tar", "other/000.tar")
    assert names_of(tmp_path / "{000..001}.tar") == ["000.tar", "001.tar"]
    assert names_of(tmp_path / "{sub,other}/000.tar") == ["other/000.tar", "sub/000.tar"]
    assert names_of(tmp_path / "sub/000.tar") == ["000.tar"]


@pytest.mark.parametrize("spell", [str, os.path.relpath, lambda p: f"./{os.path.relpath(p)}", lambda p: f"file://{p}"])
def test_globs_name_files_below_the_fixed_folder_however_it_is_spelt(tmp_path, monkeypatch, spell):
    work = touch(tmp_path, "data/a/0.tar", "data/b/0.tar", "data/b/1.tar", "work/x") / "work"
    monkeypatch.chdir(work)
    root = spell(tmp_path / "data")
    found = list_shards([f"{root}/*/*.tar"])
    assert [shard.name for shard in found] == ["a/0.tar", "b/0.tar", "b/1.tar"]
    assert [shard.name for shard in list_shards([f"{root}/{{a,b}}/0.tar"])] == ["a/0.tar", "b/0.tar"]
    for shard in found:
        path = shard.url.removeprefix("file://")
        assert (tmp_path / "data" / shard.name).samefile(path)


def test_names_are_the_same_in_every_folder(tmp_path):
    for copy in ("here", "elsewhere/deeper"):
        touch(tmp_path / copy, *(f"part/{i:03d}.tar" for i in range(40)))
    here = list_shards([str(tmp_path / "here/part/*.tar")])
    there = list_shards([str(tmp_path / "elsewhere/deeper/part/{000..039}.tar")])
    assert [shard.name for shard in here] == [shard.name for shard in there]
    assert [[s.name for s in group] for group in group_shards(here, 4)] == [
        [s.name for s in group] for group in group_shards(there, 4)
    ]


def test_shards_are_sorted_by_name_whatever_the_order_of_patterns(tmp_path):
    touch(tmp_path, "b/2.tar", "a/1.tar", "a/3.tar")
    assert names_of(tmp_path / "b/*.tar", tmp_path / "a/*.tar") == ["1.tar", "2.tar", "3.tar"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("none/*.tar", "matches no file"),
        ("{0..2}.tar", "no such file: .*1.tar"),
        ("{0..2.tar", "unbalanced braces"),
        ("missing.tar", "no such file"),
    ],
)
def test_pattern_that_names_nothing_is_told_before_any_work(tmp_path, pattern, message):
    touch(tmp_path, "0.tar", "2.tar")
    with pytest.raises(ConfigError, match=message):
        list_shards([str(tmp_path / pattern)])


def test_every_wrong_pattern_is_told(tmp_path):
    touch(tmp_path, "0.tar", "sub/1.tar")
    with pytest.raises(ConfigError) as told:
        names_of(tmp_path / "gone.tar", tmp_path / "0.tar", tmp_path / "none/*.tar", tmp_path / "sub")
    lines = str(told.value).splitlines()
    assert len(lines) == 3
    assert all(f"{tmp_path}/{name}" in line for name, line in zip(["gone.tar", "none/*", "sub"], lines, strict=True))


def test_a_glob_names_files_and_a_folder_is_told_with_the_glob_to_write(tmp_path):
    touch(tmp_path, "0.tar", "sub/1.tar")
    assert names_of(tmp_path / "**") == ["0.tar", "sub/1.tar"]
    with pytest.raises(ConfigError, match=rf"{tmp_path}/sub is a folder; write {tmp_path}/sub/\*\.tar"):
        names_of(tmp_path / "sub")


def test_two_shards_of_one_name_are_told(tmp_path):
    touch(tmp_path, "a/0.tar", "b/0.tar")
    with pytest.raises(ConfigError, match=r"names 0\.tar twice \(.*a/0\.tar and .*b/0\.tar\).*use one pattern"):
        list_shards([str(tmp_path / "a/0.tar"), str(tmp_path / "b/0.tar")])


@settings(max_examples=60, deadline=None)
@given(names, st.integers(1, 20))
def test_groups_hold_every_shard_once_in_order_and_within_bounds(found, target):
    shards = shards_of(found)
    groups = group_shards(shards, target)
    assert [shard for group in groups for shard in group] == shards
    assert all(len(group) <= 2 * target for group in groups)
    assert all(len(group) >= max(1, target // 4) for group in groups[:-1])
    assert all(groups)


def test_one_shard_a_unit_is_one_shard_a_unit():
    shards = shards_of(f"{i}" for i in range(20))
    assert group_shards(shards, 1) == [(shard,) for shard in shards]


def test_units_are_as_large_as_asked_for_on_average():
    shards = shards_of(f"{i:06d}.tar" for i in range(4000))
    assert 6 <= len(shards) / len(group_shards(shards, 8)) <= 10


def test_adding_or_removing_a_shard_touches_its_neighbours_alone():
    rng = random.Random(5)
    changed = []
    for _ in range(200):
        found = {f"{rng.randrange(10**9):09d}" for _ in range(400)}
        before = set(group_shards(shards_of(found), 8))
        gone = rng.choice(sorted(found))
        after = set(group_shards(shards_of(found - {gone}), 8))
        changed += [len(before - after), len(after - before)]
        assert len(before & after) >= len(before) - 12
    assert sum(changed) / len(changed) < 2.5
    assert sorted(changed)[len(changed) * 9 // 10] <= 4


def test_unit_id_depends_on_names_contents_order_and_recipe():
    base = [("a", "1"), ("b", "2")]
    ids = [
        unit_id(base, "r"),
        unit_id(base, "s"),
        unit_id(base[::-1], "r"),
        unit_id([("a", "2"), ("b", "1")], "r"),
        unit_id(base[:1], "r"),
        unit_id([("a", "1b"), ("", "2")], "r"),
    ]
    assert len(set(ids)) == len(ids)
    assert unit_id([["a", "1"], ("b", "2")], "r") == ids[0]
    assert len(ids[0]) == 16


def test_recipe_hash_knows_no_order_of_fields():
    assert recipe_hash({"a": 1, "b": {"c": 2, "d": 3}}) == recipe_hash({"b": {"d": 3, "c": 2}, "a": 1})
    assert recipe_hash({"a": 1}) != recipe_hash({"a": 2})
    assert canonical_json({"b": 1, "a": "é"}) == '{\n "a": "é",\n "b": 1\n}\n'.encode()


def test_difference_of_recipes_names_each_field_with_both_values():
    old = {"job": {"length": 8, "gone": 1, "same": [1]}, "x": None}
    new = {"job": {"length": 9, "same": [1], "new": {"deep": True}}, "x": None}
    assert recipe_difference(old, new) == [
        "job.gone: 1 -> (absent)",
        "job.length: 8 -> 9",
        "job.new.deep: (absent) -> True",
    ]
    assert recipe_difference(old, old) == []


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 2)
    | st.sampled_from([0.0, 1.0])
    | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
recipes = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@settings(max_examples=150, deadline=None)
@given(recipes, recipes)
def test_recipes_of_different_hash_have_a_difference_to_show(old, new):
    assert bool(recipe_difference(old, new)) == (recipe_hash(old) != recipe_hash(new))
