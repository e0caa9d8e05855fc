"""What the README shows is what the commands do."""

import re

import pytest
import yaml
from support import ROOT

from operators.profiles import load_profile, profile_names

README = (ROOT / "README.md").read_text("utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([\d,]+), ([\d,]+) \| ([\w-]+) \|", README, re.MULTILINE)
RULES = {"1d": "1-D", "2d": "2-D", "mrope": "M-RoPE", "v2pe": "V2PE"}


def test_every_profile_stands_in_the_table():
    assert sorted(name for name, *_ in ROWS) == profile_names()


@pytest.mark.parametrize(("name", "ids", "features", "rule"), ROWS)
def test_table_of_families_is_true(name, ids, features, rule):
    profile = load_profile(name)
    plan = profile.slicing.plan(640, 480, profile.tokens.by_role())
    assert [f"{plan.tokens:,}", f"{plan.placeholders:,}"] == [ids, features]
    assert RULES[profile.positions.rule] == rule


def test_family_of_ones_own_is_ten_lines_and_works(tmp_path):
    (example,) = [block for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if "slicing:" in block]
    assert len(example.splitlines()) <= 10
    path = tmp_path / "ours.yaml"
    path.write_text(example)
    profile = load_profile(str(path))
    assert profile.name == "ours"
    assert profile.slicing.plan(640, 480, profile.tokens.by_role()).placeholders == 1792
    assert yaml.safe_load(example)["positions"]["rule"] == profile.positions.rule
