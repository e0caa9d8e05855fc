"""Damaged records of an output end in one clear line, wherever they are read."""

import json
from contextlib import suppress

import pytest

from jobs.inspect.output import open_output
from jobs.verify import verify
from pipeline.errors import ConfigError, LodepackError, StorageError
from pipeline.loading import PackedDataset
from pipeline.planning import latest_version
from pipeline.records import read_last_run, read_manifest
from tests.support import build, write_pairs

OPTIONS = ("input.format=pairs", "score=null", "budget=none", "sequence_length=512")


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    build(folder / "out", write_pairs(folder, 1, 2), *OPTIONS)
    return folder / "out"


def damages(record):
    """Bytes in place of the record's own."""
    text = json.dumps(record)
    yield from (b"", b"{", b"null", b"[]", b"\xff\xfe", text.encode()[:-9], b"[" * 100_000)
    for name in record:
        yield json.dumps({key: value for key, value in record.items() if key != name}).encode()
        yield json.dumps(record | {name: [None, "\ud800"]}).encode()
    yield text.replace("qwen", "qwem", 1).encode()


@pytest.mark.parametrize("folder", ["manifests", "versions"])
def test_damaged_record_is_a_storage_error_of_one_line(output, folder):
    (path,) = (output / folder).iterdir()
    sound = path.read_bytes()
    try:
        for data in damages(json.loads(sound)):
            path.write_bytes(data)
            with pytest.raises(StorageError, match=rf"{path.name} is damaged: .*restore it") as caught:
                read_manifest(str(path)) if folder == "manifests" else latest_version(str(output))
            assert "\n" not in str(caught.value)
    finally:
        path.write_bytes(sound)


@pytest.mark.parametrize("folder", ["manifests", "versions", "runs", "runs/shards"])
def test_nobody_meets_a_damaged_record_with_another_error(output, folder):
    path = max(found for found in (output / folder).iterdir() if found.suffix == ".json")
    sound = path.read_bytes()

    def run(url):
        build(url, str(output.parent / "pairs-000000.tar"), *OPTIONS)

    try:
        for data in (b"{}", b"\x00", sound[: len(sound) // 2], b'{"schema_version": 3}', b"[[1]]"):
            for reader in (verify, lambda url: open_output(url).newest_run(), PackedDataset, run):
                path.write_bytes(data)
                with suppress(LodepackError):
                    reader(str(output))
    finally:
        path.write_bytes(sound)


def test_deeply_nested_records_are_findings_of_verify_or_one_line(output):
    for folder, error in (("versions", "nested too deep"), ("manifests", None)):
        path = max(found for found in (output / folder).iterdir() if found.suffix == ".json")
        sound = path.read_bytes()
        path.write_bytes(b"[" * 100_000)
        try:
            if error is None:
                assert any("nested too deep" in finding.what for finding in verify(str(output)).findings)
            else:
                with pytest.raises(ConfigError, match=error):
                    verify(str(output))
        finally:
            path.write_bytes(sound)


def test_damaged_record_of_the_last_run_says_what_to_do(output):
    path = max(found for found in (output / "runs").iterdir() if found.suffix == ".json")
    sound = path.read_bytes()
    path.write_bytes(sound[:50])
    with pytest.raises(ConfigError, match=r"is damaged: .*; remove it"):
        read_last_run(str(output))
    path.write_bytes(sound)
    assert {"shards", "tokenizer"} <= set(read_last_run(str(output)))


def test_the_last_run_that_ended_well_is_found_behind_one_that_failed_and_one_that_was_killed(output):
    path = max(found for found in (output / "runs").iterdir() if found.suffix == ".json")
    record = json.loads(path.read_text())
    others = [output / "runs" / f"99990101T00000{number}.0-1.json" for number in range(2)]
    for other, outcome in zip(others, (None, {"failure": "no room"}), strict=True):
        other.write_text(json.dumps(record | {"outcome": outcome, "tokenizer": "elsewhere"}))
    try:
        assert read_last_run(str(output))["tokenizer"] == "elsewhere"
        assert read_last_run(str(output), ended=True)["tokenizer"] == record["tokenizer"]
    finally:
        for other in others:
            other.unlink()
