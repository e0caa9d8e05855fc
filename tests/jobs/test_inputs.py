"""The two forms of a job's input: one source or several, each mistake one line with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.chain import resolve_job
from jobs.inputs import sections_by_source
from jobs.spec import load_job
from pipeline.errors import ConfigError
from pipeline.types import Source
from tests.support import QUICKSTART

MIXTURE = "input={sources: {docs: {shards: x.tar, weight: 2.5}, a: {shards: y.tar, format: pairs, max_samples: 3}}}"


MISTAKES = {
    "both forms": (["input.sources.a.shards=x.tar"], "input: has sources and format, shards; give each source its own"),
    "no source": (["input={sources: {}}"], "input.sources: holds no source"),
    "bad name": (["input={sources: {a/b: {shards: x.tar}}}"], "'a/b': letters, digits, _ and - are expected"),
    "unknown field": (["input={sources: {a: {shards: x.tar, wieght: 2}}}"], "input.sources.a.wieght: unknown field"),
    "no shards": (["input={sources: {a: {weight: 2}}}"], "input.sources.a.shards: missing"),
    "weight 0": (["input.weight=0"], "input.weight: Input should be greater than 0"),
    "weight over 100": (["input.weight=101"], "input.weight: Input should be less than or equal to 100"),
    "weight of none": (["input.weight=.nan"], "input.weight: Input should be"),
    "cap of 0": (["input.max_samples=0"], "input.max_samples: Input should be greater than or equal to 1"),
    "talks without a template": (
        ["profile=vit", "budget=none", "input={sources: {a: {shards: x.tar}, b: {shards: y, format: conversations}}}"],
        "profile vit has no chat template",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_a_mixture_is_one_line(mistake: str) -> None:
    overrides, expected = MISTAKES[mistake]
    with pytest.raises(ConfigError) as told:
        load_job(str(QUICKSTART), overrides)
    (_, line) = str(told.value).splitlines()
    assert expected in line


def test_sources_come_by_name_with_what_readers_need() -> None:
    job = load_job(str(QUICKSTART), [MIXTURE])
    assert [source for source, _ in sections_by_source(job.input)] == [
        Source("pairs", 1.0, 3, "a"),
        Source("auto", 2.5, None, "docs"),
    ]
    (only,) = sections_by_source(load_job(str(QUICKSTART), ["input.weight=0.5"]).input)
    assert (only[0], only[0].label) == (Source("interleaved", 0.5), "input")


def test_one_field_of_one_source_can_be_set() -> None:
    job = load_job(str(QUICKSTART), [MIXTURE, "input.sources.docs.weight=2"])
    assert [source.weight for source, _ in sections_by_source(job.input)] == [1.0, 2.0]


def test_input_of_a_mixture_says_to_use_set() -> None:
    with pytest.raises(ConfigError, match=r"mixes sources \(docs, a\).*--set 'input.sources.docs.shards=URL'"):
        load_job(str(QUICKSTART), [MIXTURE], input__shards=["x.tar"])


def test_shards_that_are_not_there_are_told_by_source(tmp_path: Path) -> None:
    wrong = f"input={{sources: {{a: {{shards: {tmp_path}/gone.tar}}, b: {{shards: '{tmp_path}/none-*.tar'}}}}}}"
    with pytest.raises(ConfigError) as told:
        resolve_job(load_job(str(QUICKSTART), [wrong]))
    lines = str(told.value).splitlines()
    assert [line.split(" ")[0].rstrip(":") for line in lines] == ["input.sources.a.shards", "input.sources.b.shards"]
