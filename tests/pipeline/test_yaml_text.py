"""A YAML text is plain data in bounded memory, or one error that its reader expects."""

import time

import pytest
import yaml

from jobs.spec import load_job
from operators.profiles import load_profile
from pipeline.errors import ConfigError
from pipeline.yaml_text import MAX_VALUES, parse_yaml

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(c)}: &{chr(c)} [{', '.join([f'*{chr(c - 1)}'] * 9)}]\n" for c in range(ord("b"), ord("p"))
)
"""2 * 9 ** 14 texts, in a kilobyte."""
HOSTILE = {
    "aliases": f"{LAUGHS}profile: *o\n",
    "merges": LAUGHS.replace("[x, x]", "{x: 1}").replace(": &", ": &").replace("[", "{<<: [").replace("]", "]}"),
    "itself": "name: &a [*a]\n",
    "deep": "name: " + "[" * 2000,
    "date": "name: 2026-13-01\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_a_config_error_of_a_job_and_of_a_profile(tmp_path, name):
    path = tmp_path / "it.yaml"
    path.write_text(HOSTILE[name])
    started = time.monotonic()
    for read in (lambda: load_job(str(path), []), lambda: load_profile(str(path))):
        with pytest.raises(ConfigError, match="is no YAML"):
            read()
    assert time.monotonic() - started < 20


def test_aliases_are_read_while_they_are_few():
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: *a\n") == {
        "a": {"x": 1},
        "b": {"x": 1, "y": 2},
        "c": {"x": 1},
    }
    assert parse_yaml("") is None
    assert len(parse_yaml("[" + "1," * (MAX_VALUES - 1) + "]")) == MAX_VALUES - 1
    with pytest.raises(ValueError, match="more than"):
        parse_yaml("[" + "1," * MAX_VALUES + "]")


def test_tag_that_would_make_an_object_is_none(tmp_path):
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        parse_yaml(f"!!python/object/apply:os.mkdir [{tmp_path}/made]")
    assert not (tmp_path / "made").exists()
