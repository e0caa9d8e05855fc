"""Local files appear whole or not at all, once, under the names that their content gives them."""

import hashlib
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import storage
from pipeline.errors import StorageError
from pipeline.storage import attempts
from pipeline.storage import ranges as in_ranges

THREADS = 16
DATA = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(attempts, "ATTEMPTS", 2)


def temporary(root, text=b"content"):
    path = storage.temporary_path(str(root))
    path.write_bytes(text)
    return path


@pytest.mark.parametrize("attempt", range(5))
def test_exactly_one_of_many_threads_creates_a_file_and_it_is_whole(tmp_path, attempt):
    target = str(tmp_path / "manifests/unit.json")
    gate = Barrier(THREADS)

    def create(number):
        gate.wait()
        return storage.create_exclusive(target, f"{number:04d}".encode() * 5000)

    with ThreadPoolExecutor(THREADS) as threads:
        won = list(threads.map(create, range(THREADS)))
    assert won.count(True) == 1
    assert Path(target).read_bytes() == f"{won.index(True):04d}".encode() * 5000
    assert not list((tmp_path / "runs/tmp").iterdir())


def test_second_creation_leaves_the_first_alone(tmp_path):
    target = str(tmp_path / "versions/000001.json")
    assert storage.create_exclusive(target, b"first")
    assert not storage.create_exclusive(target, b"second")
    assert storage.read_bytes(target) == b"first"


def test_file_is_put_under_the_name_of_its_content(tmp_path):
    source = temporary(tmp_path)
    sha256 = hashlib.sha256(b"content").hexdigest()
    stored = storage.put_by_content(str(tmp_path), "data", "u-0000", ".parquet", source)
    assert stored == storage.Stored(f"data/u-0000-{sha256[:8]}.parquet", sha256, 7)
    assert (tmp_path / stored.path).read_bytes() == b"content"
    assert not source.exists()


def test_file_is_put_under_a_plain_name_and_replaces_what_had_it(tmp_path):
    for content in (b"first", b"second"):
        source = temporary(tmp_path, content)
        storage.put_file(str(tmp_path), "some/folder/shard.tar", source)
        assert (tmp_path / "some/folder/shard.tar").read_bytes() == content
        assert not source.exists()


def test_putting_the_same_content_twice_is_harmless(tmp_path):
    first, second = (storage.put_by_content(str(tmp_path), "data", "u", ".x", temporary(tmp_path)) for _ in range(2))
    assert first == second
    assert [path.name for path in (tmp_path / "data").iterdir()] == [first.path.removeprefix("data/")]
    other = storage.put_by_content(str(tmp_path), "data", "u", ".x", temporary(tmp_path, b"other"))
    assert other.path != first.path


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, len(DATA)), st.integers(0, 300)), max_size=12).map(
        lambda ranges: [(offset, min(size, len(DATA) - offset)) for offset, size in ranges]
    ),
    st.sampled_from([0, 1, 100, 1 << 20]),
    st.sampled_from([100, 999, 1 << 20]),
)
def test_ranges_read_together_are_slices(tmp_path, ranges, coalesce, block):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(in_ranges, "COALESCE_BYTES", coalesce)
        patched.setattr(in_ranges, "BLOCK_BYTES", block)
        found = storage.read_ranges(str(path), ranges)
    assert found == [DATA[offset : offset + size] for offset, size in ranges]


def test_range_behind_the_end_of_a_file_is_an_error(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with pytest.raises(StorageError, match="the shard changed"):
        storage.read_ranges(str(path), [(0, 5), (len(DATA) - 2, 3)])


def test_files_of_living_processes_and_of_other_hosts_are_not_swept(tmp_path):
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    host = socket.gethostname()
    folder = tmp_path / storage.TEMPORARY
    mine, dead = temporary(tmp_path), folder / f"{host}.{done.pid}.abc"
    parent, foreign = folder / f"{host}.{os.getppid()}.abc", folder / f"{host}x.{done.pid}.abc"
    for path in (dead, parent, foreign):
        path.write_bytes(b"")
    storage.sweep_temporaries(str(tmp_path))
    assert sorted(folder.iterdir()) == sorted([mine, parent, foreign])


def test_sweeping_where_nothing_was_written_is_harmless(tmp_path):
    storage.sweep_temporaries(str(tmp_path / "none"))
    storage.sweep_temporaries("s3://bucket/out")
    assert not (tmp_path / "none").exists()


def test_temporary_paths_are_never_the_same(tmp_path):
    assert len({storage.temporary_path(str(tmp_path)) for _ in range(100)}) == 100


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_plain_and_file_urls_mean_the_same_file(tmp_path, scheme):
    url = f"{scheme}{tmp_path}/a/b.txt"
    storage.overwrite(f"{scheme}{tmp_path}", "a/b.txt", b"one")
    storage.overwrite(f"{scheme}{tmp_path}", "a/b.txt", b"two")
    assert storage.read_bytes(url) == b"two"
    assert storage.exists(url)
    assert storage.hash_file(url) == hashlib.sha256(b"two").hexdigest()
    assert storage.list_names(f"{scheme}{tmp_path}/a") == ["b.txt"]
    with storage.open_input(url) as (stream, size):
        assert (stream.read(), size) == (b"two", 3)
    assert not storage.create_exclusive(url, b"three")


def test_missing_folder_has_no_names_and_missing_file_is_a_storage_error(tmp_path):
    assert storage.list_names(str(tmp_path / "none")) == []
    assert not storage.exists(str(tmp_path / "none"))
    with pytest.raises(StorageError, match=r"none: No such file"):
        storage.read_bytes(str(tmp_path / "none"))
    with pytest.raises(StorageError), storage.open_input(str(tmp_path / "none")):
        pass


def test_fingerprint_changes_with_the_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    before = storage.fingerprint(str(path))
    assert storage.fingerprint(str(path)) == before
    os.utime(path, (1, 1))
    assert storage.fingerprint(str(path)) != before
    path.write_bytes(b"longer")
    assert storage.fingerprint(str(path)).startswith("6:")


def test_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="choose an output folder"):
        storage.temporary_path(str(tmp_path / "file"))


def test_joined_parts_have_single_slashes():
    assert storage.join("s3://bucket/out/", "a", "b.json") == "s3://bucket/out/a/b.json"
    assert storage.join("out", "a") == "out/a"
