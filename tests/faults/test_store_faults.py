"""An S3 that misbehaves, through the tests' own proxy: the same bytes, or one clear line and a run that resumes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import s3fs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import storage
from pipeline.errors import StorageError
from pipeline.storage import attempts, ranges, uploads
from tests.faults.proxy import Asked, Proxy, proxy_before, seeded
from tests.servers import KEYS
from tests.support import BUCKET, REPRODUCIBLE, build, tree, write_small_shards

SMALL = ("unit.target_shards=1", "sequence_length=2048", "score=null", "budget=none", "pixels=none")
MIXED = {"500": 0.02, "503": 0.02, "reset": 0.01, "short": 0.005, "trimmed": 0.005}
"""5 % errors and 1 % short bodies."""
DATA = random.Random(0).randbytes(200_000)


@pytest.fixture(scope="module")
def direct(store: s3fs.S3FileSystem, s3_server: str) -> s3fs.S3FileSystem:
    """The server without a proxy, whatever the environment says later."""
    keys = {"key": KEYS["accessKey"], "secret": KEYS["secretKey"]}
    return s3fs.S3FileSystem(skip_instance_cache=True, endpoint_url=s3_server, **keys)


@pytest.fixture
def proxied(direct: s3fs.S3FileSystem, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """lodepack goes through a proxy that stalls for 30 s and does nothing else yet."""
    with proxy_before(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.address)
        yield proxy


def once(fault: str, is_meant: Callable[[Asked], bool]) -> Callable[[Asked], str | None]:
    """The fault for the first request that is meant."""
    done: list[Asked] = []

    def choose(asked: Asked) -> str | None:
        if done or not is_meant(asked):
            return None
        done.append(asked)
        return fault

    return choose


def after(number: int, fault: str, method: str = "") -> Callable[[Asked], str | None]:
    """The fault for every request from `number` on."""
    return lambda asked: fault if asked.number >= number and asked.method.startswith(method) else None


def remote_tree(store: Any, prefix: str) -> dict[str, str]:
    store.invalidate_cache()
    return {
        path.removeprefix(f"{prefix}/"): sha256(store.cat_file(path)).hexdigest()
        for path in store.find(prefix)
        if path.removeprefix(f"{prefix}/").startswith(REPRODUCIBLE)
    }


@pytest.fixture(scope="module")
def inputs(direct: s3fs.S3FileSystem, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str]]:
    """A pattern of shards on S3, and the tree of an undisturbed local build of the same shards."""
    folder = tmp_path_factory.mktemp("undisturbed")
    local = write_small_shards(folder / "shards", 8, 4)
    for shard in (folder / "shards").iterdir():
        direct.put_file(str(shard), f"{BUCKET}/faults-in/{shard.name}")
    build(folder / "out", local, *SMALL)
    return f"s3://{BUCKET}/faults-in/{Path(local).name}", tree(folder / "out")


@pytest.mark.parametrize("fault", ["500", "503", "reset", "lost", "short", "trimmed"])
def test_any_single_fault_on_any_request_is_got_over(proxied: Proxy, direct: Any, fault: str) -> None:
    root, url = f"s3://{BUCKET}/single-{fault}", f"s3://{BUCKET}/single-{fault}/a.bin"
    calls: list[tuple[str, Callable[[], Any], Any]] = [
        ("PUT", lambda: storage.overwrite(root, "a.bin", DATA), None),
        ("GET", lambda: storage.read_bytes(url), DATA),
        ("GET", lambda: storage.read_ranges(url, [(5, 100), (70_000, 9)]), [DATA[5:105], DATA[70_000:70_009]]),
        ("GET", lambda: storage.hash_file(url), sha256(DATA).hexdigest()),
        ("HEAD", lambda: storage.fingerprint(url).split(":")[0], str(len(DATA))),
        ("HEAD", lambda: storage.exists(url), True),
        ("GET", lambda: storage.list_names(root), ["a.bin"]),
        ("GET", lambda: storage.expand_glob(f"{root}/*.bin"), [url]),
        ("PUT", lambda: storage.create_exclusive(f"{root}/new", b"new"), True),
    ]
    for method, call, expected in calls:
        proxied.choose = once(fault, lambda asked, method=method: asked.method == method)
        assert call() == expected
    assert direct.cat_file(f"{BUCKET}/single-{fault}/new") == b"new"


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_stall_costs_seconds(proxied: Proxy, direct: Any, method: str) -> None:
    proxied.choose = once("stall", lambda asked: asked.method == method)
    begun = time.monotonic()
    storage.overwrite(f"s3://{BUCKET}/stalled", method, DATA)
    assert storage.read_bytes(f"s3://{BUCKET}/stalled/{method}") == DATA
    assert proxied.injected == {"stall": 1}
    assert time.monotonic() - begun < 2 * attempts.FIRST_SECONDS + 2


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(-10, len(DATA) + 10), st.integers(0, 70_000)), max_size=8),
)
def test_no_byte_of_a_stream_is_lost_doubled_or_short(
    proxied: Proxy, direct: Any, seed: int, reads: list[tuple[int, int]]
) -> None:
    proxied.choose = lambda _: None
    direct.pipe_file(f"{BUCKET}/streamed", DATA)
    shares = {"500": 0.06, "reset": 0.03, "lost": 0.03, "short": 0.03, "trimmed": 0.06}
    proxied.choose = seeded(seed, shares)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ranges, "FIRST_BYTES", 5_000)
        patched.setattr(ranges, "BLOCK_BYTES", 20_000)
        patched.setattr(attempts, "WAIT_SECONDS", 0.001)
        patched.setattr(attempts, "ATTEMPTS", 30)
        with storage.open_input(f"s3://{BUCKET}/streamed") as (stream, size):
            assert size == len(DATA)
            for offset, length in reads:
                if offset >= 0:
                    stream.seek(offset)
                at = stream.tell()
                assert stream.read(length) == DATA[at : at + length]
            stream.seek(0)
            assert stream.read() == DATA


def test_a_shard_that_changes_under_its_reader_is_named(proxied: Proxy, direct: Any) -> None:
    url = f"s3://{BUCKET}/changing"
    for content, changed in ((DATA, bytes(len(DATA))), (DATA, DATA[:100])):
        direct.pipe_file(f"{BUCKET}/changing", content)
        with storage.open_input(url) as (stream, _):
            direct.pipe_file(f"{BUCKET}/changing", changed)
            with pytest.raises(StorageError, match=f"{url} changed while it was read"):
                stream.read()


def test_a_range_behind_the_end_is_an_error_at_once(proxied: Proxy, direct: Any) -> None:
    direct.pipe_file(f"{BUCKET}/end", DATA)
    for wanted in ((len(DATA) - 2, 3), (len(DATA) + 5, 3)):
        with storage.counted() as traffic, pytest.raises(StorageError, match="changed while it was read"):
            storage.read_ranges(f"s3://{BUCKET}/end", [wanted])
        assert traffic.retries == 0


def test_a_lost_answer_to_an_exclusive_create_tells_ours_from_theirs(proxied: Proxy, direct: Any) -> None:
    url = f"s3://{BUCKET}/exclusive"
    proxied.choose = once("lost", lambda asked: asked.method == "PUT")
    assert storage.create_exclusive(f"{url}/ours", b"ours")
    assert not storage.create_exclusive(f"{url}/ours", b"ours")
    proxied.choose = once("reset", lambda asked: asked.method == "PUT")
    direct.pipe_file(f"{BUCKET}/exclusive/theirs", b"theirs")
    assert not storage.create_exclusive(f"{url}/theirs", b"ours")
    assert direct.cat_file(f"{BUCKET}/exclusive/theirs") == b"theirs"


@pytest.mark.parametrize("lost", ["uploads=", "partNumber=2", "uploadId="])
def test_lost_answers_of_an_upload_in_parts_leave_one_whole_object(
    proxied: Proxy, direct: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", 5 << 20)
    source, data = tmp_path / "source", random.Random(1).randbytes(11 << 20)
    source.write_bytes(data)
    proxied.choose = once(
        "lost",
        lambda asked: lost in f"{asked.target}=" and (lost != "uploadId=" or asked.method == "POST"),
    )
    storage.put_file(f"s3://{BUCKET}/parts", f"to/{lost}", source)
    assert proxied.injected == {"lost": 1}
    assert direct.cat_file(f"{BUCKET}/parts/to/{lost}") == data


def test_uploads_that_nobody_finished_are_listed_with_their_age_and_aborted(proxied: Proxy, direct: Any) -> None:
    root = f"s3://{BUCKET}/orphans"
    for key in ("orphans/data/a", "orphans/data/b", "orphans-not/c"):
        direct.call_s3("create_multipart_upload", Bucket=BUCKET, Key=key)
    found = storage.unfinished_uploads(root)
    assert [upload.path for upload in found] == ["data/a", "data/b"]
    assert all(abs(datetime.now(UTC) - upload.started) < timedelta(minutes=5) for upload in found)
    for upload in [*found, found[0]]:
        storage.abort_upload(root, upload)
    assert storage.unfinished_uploads(root) == []
    assert len(storage.unfinished_uploads(f"{root}-not")) == 1
    assert storage.unfinished_uploads("/some/folder") == []


def test_refusals_are_one_line_each_without_a_retry_or_a_secret(
    proxied: Proxy, direct: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line(call: Callable[[], Any]) -> str:
        with storage.counted() as traffic, pytest.raises(StorageError) as found:
            call()
        assert traffic.retries == 0
        text = str(found.value)
        assert "\n" not in text
        assert not any(secret in text for secret in KEYS.values())
        return text

    root = f"s3://{BUCKET}/refused"
    proxied.choose = after(0, "expired")
    said = line(lambda: storage.read_bytes(f"{root}/x"))
    assert said.startswith(f"{root}/x: the credentials to read in bucket {BUCKET} have expired (ExpiredToken); renew")
    assert "to create in" in line(lambda: storage.create_exclusive(f"{root}/x", b"x"))
    assert "to write in" in line(lambda: storage.overwrite(root, "x", b"x"))
    proxied.choose = after(0, "denied")
    assert "not allowed to list in bucket lode (AccessDenied); grant s3:ListBucket" in line(
        lambda: storage.list_names(root)
    )
    proxied.choose = after(0, "full")
    assert "no room to write 3 bytes" in line(lambda: storage.create_exclusive(f"{root}/x", b"new"))
    proxied.choose = after(0, "none")
    assert "there is no bucket nowhere" in line(lambda: storage.list_names("s3://nowhere/x"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert "does not know the credentials" in line(lambda: storage.read_bytes(f"{root}/x"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    assert "does not know the credentials" in line(lambda: storage.read_bytes(f"{root}/x"))


def test_a_store_that_only_fails_is_given_up_after_a_number_of_tries_that_is_named(
    proxied: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "ATTEMPTS", 3)
    proxied.choose = after(0, "503")
    with pytest.raises(StorageError, match=r"could not read it in 3 tries, the last one: 503 SlowDown"):
        storage.read_bytes(f"s3://{BUCKET}/any")


def test_a_build_through_errors_and_short_bodies_has_the_bytes_of_an_undisturbed_one(
    proxied: Proxy, direct: Any, inputs: tuple[str, dict[str, str]]
) -> None:
    shards, expected = inputs
    proxied.choose = seeded(1, {fault: 3 * share for fault, share in MIXED.items()} | {"lost": 0.03})
    summary = build(f"s3://{BUCKET}/faults-out", shards, *SMALL)
    assert summary["requests"].keys() == {"requests", "bytes", "retries"}
    assert sum(proxied.injected.values()) >= 10
    proxied.choose = after(0, "none")
    assert remote_tree(direct, f"{BUCKET}/faults-out") == expected


def test_a_run_whose_credentials_expire_ends_with_one_line_and_resumes_with_good_ones(
    proxied: Proxy, direct: Any, inputs: tuple[str, dict[str, str]]
) -> None:
    shards, expected = inputs
    output = f"s3://{BUCKET}/expired-out"
    proxied.choose = after(60, "expired")
    with pytest.raises(StorageError, match=r"^s3://\S+: the credentials to \w+ in bucket lode have expired") as found:
        build(output, shards, *SMALL)
    assert "\n" not in str(found.value)
    committed = direct.find(f"{BUCKET}/expired-out/manifests")
    assert 0 < len(committed) < len([path for path in expected if path.startswith("manifests/")])
    proxied.choose = after(0, "none")
    assert build(output, shards, *SMALL)["units"]["kept"] == len(committed)
    assert remote_tree(direct, f"{BUCKET}/expired-out") == expected


def test_a_full_store_is_one_line_with_path_and_bytes_and_commits_nothing(
    proxied: Proxy, direct: Any, inputs: tuple[str, dict[str, str]]
) -> None:
    shards, expected = inputs
    output = f"s3://{BUCKET}/full-out"
    proxied.choose = lambda asked: "full" if asked.method == "PUT" and "/data/" in asked.target else None
    with pytest.raises(StorageError, match=rf"^{output}/data/\S+: no room to write [\d,]+ bytes \(507"):
        build(output, shards, *SMALL)
    assert not direct.exists(f"{BUCKET}/full-out/manifests")
    proxied.choose = after(0, "none")
    build(output, shards, *SMALL)
    assert remote_tree(direct, f"{BUCKET}/full-out") == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_build_through_errors_short_bodies_and_stalls_has_the_same_bytes(
    proxied: Proxy, direct: Any, inputs: tuple[str, dict[str, str]], seed: int
) -> None:
    shards, expected = inputs
    proxied.choose = seeded(seed, MIXED | {"lost": 0.01, "stall": 0.02})
    build(f"s3://{BUCKET}/long-{seed}", shards, *SMALL)
    assert proxied.injected["stall"]
    proxied.choose = after(0, "none")
    assert remote_tree(direct, f"{BUCKET}/long-{seed}") == expected


@pytest.mark.slow
def test_a_build_on_ray_through_errors_short_bodies_and_stalls_has_the_same_bytes(
    proxied: Proxy, direct: Any, inputs: tuple[str, dict[str, str]]
) -> None:
    shards, expected = inputs
    proxied.choose = seeded(11, MIXED | {"lost": 0.01, "stall": 0.02})
    build(f"s3://{BUCKET}/on-ray", shards, *SMALL, local=False)
    assert proxied.injected["stall"]
    assert any(asked.method == "PUT" and "/data/" in asked.target for asked in proxied.asked)
    proxied.choose = after(0, "none")
    assert remote_tree(direct, f"{BUCKET}/on-ray") == expected
