"""Keys that are planted in the environment, in options and in jobs are found nowhere in what lodepack leaves."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from jobs.secrets import fault_of_url, is_secret_name, redact
from jobs.spec import check_job, load_job
from pipeline.errors import ConfigError
from tests.benchmarks.reliability.secrets import (
    GIVEN,
    failing_calls,
    hits_below,
    on_ray,
    run_all,
    sound_calls,
    wrong_calls,
)
from tests.support import BUCKET, QUICKSTART

SECRET = (
    "s3://AKIA:abc@bucket/x.tar",
    "s3://AKIA:12/abc@bucket/x.tar",
    "s3://AKIA:ab/c+d@bucket/x-{0..3}.tar",
    "https://user@host/x",
    "https://u:p@host:80/x",
    "https://h/x?X-Amz-Signature=1",
    "https://h/x?a=1&AWSAccessKeyId=2",
    "gs://b/x?access_token=1",
    "ray://u:p@head:10001",
    "filecache::s3://AKIA:abc@bucket/x",
)
OPEN = (
    "/data/u:p@x/a.tar",
    "s3://bucket/a:b@c.tar",
    "s3://bucket/x-?.tar",
    "https://host:8080/x@y.tar",
    "https://h/x?versionId=7",
    "ray://[::1]:10001",
    "s3://bucket/{a,b}/*.tar",
)


@pytest.mark.parametrize("url", SECRET)
def test_an_address_with_a_secret_is_known_and_refused_in_any_field(url: str) -> None:
    assert fault_of_url(url)
    raw = yaml.safe_load(QUICKSTART.read_text())
    for fields in ({"output": url}, {"tokenizer": url}, {"input": {"shards": ["a.tar", url]}}, {"address": url}):
        with pytest.raises(ConfigError) as found:
            check_job(raw | fields, "job.yaml")
        assert next(iter(fields)) in str(found.value)
        assert "environment" in str(found.value)
        assert url not in str(found.value)


@pytest.mark.parametrize("url", OPEN)
def test_an_address_without_one_is_let_through(url: str) -> None:
    assert fault_of_url(url) is None


def test_names_of_secrets_are_known_and_names_of_fields_are_none() -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "sasToken", "storage_options", "apiKey", "HF_TOKEN", "password", "client_kwargs"):  # fmt: skip # noqa: E501
        assert is_secret_name(name), name

    def fields(value: object) -> list[str]:
        return [str(n) for k, v in value.items() for n in (k, *fields(v))] if isinstance(value, dict) else []

    for name in fields(load_job(str(QUICKSTART), []).model_dump()):
        assert not is_secret_name(name), name


def test_an_unknown_field_that_looks_like_a_secret_is_told_where_keys_belong() -> None:
    raw = yaml.safe_load(QUICKSTART.read_text()) | {"storage_options": {"secret": "abc"}, "max_token": 4}
    with pytest.raises(ConfigError, match="storage_options: unknown field; keys and tokens belong in the env") as found:
        check_job(raw, "job.yaml")
    assert "max_token: unknown field; remove it or check its spelling" in str(found.value)


def test_what_the_environment_keeps_is_cut_out_of_any_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abc/def+ghi")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/home/me/token")
    assert redact("signed with abc/def+ghi, /home/me/token") == "signed with <AWS_SECRET_ACCESS_KEY>, /home/me/token"


def test_the_search_finds_what_is_planted(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [GIVEN] * 9}), tmp_path / "packed.parquet", compression="zstd")
    (tmp_path / "plain").write_text(f"x{GIVEN}y")
    assert len(hits_below(tmp_path)[0]) == 2
    assert len(run_all([(("run", GIVEN), 2)])[0]) == 2


def test_no_secret_is_in_what_a_run_its_readers_and_its_mistakes_leave(tmp_path: Path) -> None:
    some = [*wrong_calls(tmp_path / "w")][::9]
    assert run_all([*sound_calls(tmp_path / "a"), *some])[0] == []
    assert not (tmp_path / "w" / "refused").exists()
    hits, number = hits_below(tmp_path / "a")
    assert hits == []
    assert number > 8


@pytest.mark.slow
def test_no_mistake_prints_a_secret(tmp_path: Path) -> None:
    assert run_all(wrong_calls(tmp_path))[0] == []
    assert not (tmp_path / "refused").exists()


def test_no_secret_is_in_what_storage_that_refuses_them_leaves(s3_server: str, tmp_path: Path) -> None:
    assert run_all(failing_calls(tmp_path, BUCKET), s3_server)[0] == []
    assert hits_below(tmp_path)[0] == []


@pytest.mark.slow
def test_no_secret_is_in_the_logs_of_ray(s3_server: str, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="ray") as session:  # short: Ray's sockets have 107 letters for their paths
        calls = [*sound_calls(tmp_path / "a"), *failing_calls(tmp_path / "f", BUCKET)]
        assert run_all(map(on_ray, calls), s3_server, Path(session))[0] == []
        assert list(Path(session).glob("**/logs/*"))
        assert hits_below(tmp_path / "a", tmp_path / "f", Path(session))[0] == []
