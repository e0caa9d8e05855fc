"""Which clusters a job may be sent to: a pure rule, and the one line that the command line makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.clusters import refuse_open_cluster
from pipeline.errors import ConfigError
from tests.jobs.test_cli import lodepack
from tests.support import QUICKSTART

OURS = (None, "auto", "local", "localhost:6379", "127.0.0.1:6379", "ray://127.0.0.1:10001", "ray://[::1]:10001", "::1")
OTHERS = ("ray://head:10001", "10.0.0.7:6379", "head", "http://head.example:8265", "ray://[fd00::7]:10001", "0.0.0.0:1")


@pytest.mark.parametrize("address", OURS)
def test_this_machine_needs_no_token(address: str | None, tmp_path: Path) -> None:
    refuse_open_cluster(address, {}, tmp_path)


@pytest.mark.parametrize("address", OTHERS)
def test_another_machine_is_refused_without_a_token(address: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"address {address.replace('[', '.')[:6]}.*--open-cluster"):
        refuse_open_cluster(address, {"RAY_ADDRESS": "x:1"}, tmp_path)
    with pytest.raises(ConfigError):
        refuse_open_cluster(address, {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "t"}, tmp_path)


def test_a_token_is_found_where_ray_finds_one(tmp_path: Path) -> None:
    refuse_open_cluster("head:6379", {"RAY_AUTH_TOKEN": "t"}, tmp_path)
    refuse_open_cluster("head:6379", {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t"}, tmp_path)
    (tmp_path / "token").write_text("t\n")
    refuse_open_cluster("head:6379", {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}, tmp_path)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("t")
    refuse_open_cluster("head:6379", {"RAY_AUTH_MODE": "token"}, tmp_path)
    with pytest.raises(ConfigError):  # Ray wrote it for a cluster of this machine
        refuse_open_cluster("head:6379", {}, tmp_path)
    (tmp_path / ".ray" / "auth_token").write_text("\n")
    with pytest.raises(ConfigError):
        refuse_open_cluster("head:6379", {"RAY_AUTH_MODE": "token"}, tmp_path)


def test_the_command_line_refuses_an_open_cluster_in_one_line_before_any_work(tmp_path: Path) -> None:
    for given in (("--address", "ray://head.invalid:10001"), ("--set", "address=ray://head.invalid:10001")):
        result = lodepack("run", QUICKSTART, "--output", tmp_path / "out", *given)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
        assert "--open-cluster" in result.stderr
        assert not (tmp_path / "out").exists()


def test_a_run_is_told_a_dashboards_address_from_a_clusters(tmp_path: Path) -> None:
    done = lodepack("run", QUICKSTART, "--output", tmp_path, "--address", "http://127.0.0.1:8265")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "address http://127.0.0.1:8265 is a dashboard's" in done.stderr
    assert "say lodepack submit" in done.stderr
