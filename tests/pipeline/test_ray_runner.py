"""What the user hears when something fails inside an actor: our own line, whatever Ray wraps around it."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.chain import build_chain, resolve_job
from jobs.spec import load_job
from pipeline import ray_runner
from pipeline.chain import Chain, Stage
from pipeline.errors import ConfigError, StorageError
from pipeline.ray_runner import Cluster
from pipeline.types import Source, Unit
from pipeline.units import list_shards
from tests.failing import Failing, Hopeless, Unbuildable, make
from tests.support import QUICKSTART, ROOT, write_small_shards


def chain_with(kind: type[Failing], folder: Path) -> tuple[Chain, list[Unit]]:
    pattern = write_small_shards(folder / "in", 1, 2)
    fields = [f"tokenizer={ROOT}/jobs/samples/tokenizer.model", "score=null", "budget=none"]
    job = load_job(str(QUICKSTART), fields, input__shards=pattern, output=str(folder / "out"))
    chain = build_chain(resolve_job(job))
    stages = (*chain.stages, Stage("failing", partial(make, kind, folder / "mended"), None))
    return replace(chain, stages=stages), [Unit(0, tuple(list_shards([pattern])), Source("interleaved"))]


def test_a_storage_error_in_an_actor_is_tried_again(ray_session: Cluster, tmp_path: Path) -> None:
    chain, units = chain_with(Failing, tmp_path)
    kinds: list[str] = []
    notices: list[str] = []

    def on_reports(table: pa.Table) -> set[int]:
        kinds.extend(table["kind"].to_pylist())
        return set() if len(kinds) == 3 else {0}

    assert ray_runner.run_ray(ray_session, chain, units, None, on_reports, notices.append) == 2
    assert sorted(kinds) == ["data", "index", "summary"]
    assert [text.partition(" (")[0] for text in notices] == ["round 1 left 1 unit(s) open"]
    assert "the network is down" in notices[0]


def test_a_storage_error_that_stays_ends_the_run_in_its_own_words(ray_session: Cluster, tmp_path: Path) -> None:
    chain, units = chain_with(Hopeless, tmp_path)
    with pytest.raises(StorageError, match=r"^s3://bucket/shard\.tar: access denied to \d+ columns; check the key$"):
        ray_runner.run_ray(ray_session, chain, units, None, lambda _: {0}, lambda _: None)


def test_a_config_error_in_an_actor_ends_the_run_at_once_in_its_own_words(ray_session: Cluster, tmp_path: Path) -> None:
    chain, units = chain_with(Unbuildable, tmp_path)
    with pytest.raises(ConfigError, match=r"^tokenizer gone.model cannot be read; train one$"):
        ray_runner.run_ray(ray_session, chain, units, None, lambda _: {0}, lambda _: None)


def test_an_address_where_nobody_listens_is_refused_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    with pytest.raises(StorageError, match=r"cannot reach cluster at 127\.0\.0\.1:9"):
        ray_runner._connect("127.0.0.1:9")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(StorageError, match=r"cannot reach cluster at 127\.0\.0\.1:9"):
        ray_runner._connect(None)
    assert time.monotonic() - began < 30
