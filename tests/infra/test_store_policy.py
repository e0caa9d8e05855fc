"""What lodepack asks of S3 on the wire is what the policies in infra/object-store allow: no more, and no less."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import s3fs
import yaml

from jobs.prune.command import prune
from jobs.verify.orphans import report_orphans
from pipeline import storage
from pipeline.errors import StorageError
from pipeline.storage import uploads
from tests.calling import call
from tests.faults.proxy import Asked, proxy_before
from tests.infra.manifests import JOB
from tests.servers import environment_of
from tests.support import ROOT, SAMPLES

FOLDER = ROOT / "infra" / "object-store"
BUILD, TIDY = FOLDER / "aws-build.json", FOLDER / "aws-tidy.json"
IN, OUT = "example-shards/manual", "example-packs/manual"
LOCAL = ("--local", "--json", "--set", "resources.score.gpus=0", "--set", "limit=4", "--set", "unit.target_shards=1")
MIB = 1 << 20


@dataclass(frozen=True)
class Right:
    """What one request needs: an action, on a bucket or an object, and the prefix that a listing asks for."""

    action: str
    resource: str
    prefix: str | None = None


def right_of(asked: Asked) -> Right:
    """By S3's own table of requests and actions."""
    target = urlsplit(asked.target)
    bucket, _, key = unquote(target.path).strip("/").partition("/")
    query = parse_qs(target.query, keep_blank_values=True)
    query.pop("x-id", None)  # the name of the operation, for logs
    where = f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else "")
    prefix = query.get("prefix", [None])[0]
    match asked.method, sorted(query):
        case "GET", names if not key and "list-type" in names:
            return Right("s3:ListBucket", where, prefix)
        case "GET", names if not key and "uploads" in names:
            return Right("s3:ListBucketMultipartUploads", where, prefix)
        case (("GET" | "HEAD"), []) if key:
            return Right("s3:GetObject", where)
        case ("PUT", [] | ["partNumber", "uploadId"]) | ("POST", ["uploads"] | ["uploadId"]) if key:
            return Right("s3:PutObject", where)
        case "DELETE", ["uploadId"] if key:
            return Right("s3:AbortMultipartUpload", where)
        case "DELETE", [] if key:
            return Right("s3:DeleteObject", where)
    raise AssertionError(f"a request that no policy knows: {asked.method} {asked.target}")


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def grants(policy: Path) -> list[tuple[str, str, list[str] | None]]:
    """Every action with every resource of its statement, and the prefixes to which a listing is held."""
    content = json.loads(policy.read_text("utf-8"))
    assert content["Version"] == "2012-10-17"
    found = []
    for statement in content["Statement"]:
        assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert statement["Effect"] == "Allow"
        prefixes = None
        if "Condition" in statement:
            ((operator, condition),) = statement["Condition"].items()
            # Without IfExists a key that is not there is answered with 403: HEAD tells of no prefix.
            assert operator == "StringLikeIfExists"
            ((name, prefixes),) = condition.items()
            assert name == "s3:prefix"
        for action in listed(statement["Action"]):
            assert "*" not in action
            found += [(action, resource, prefixes) for resource in listed(statement["Resource"])]
    return found


def allows(grant: tuple[str, str, list[str] | None], right: Right) -> bool:
    action, resource, prefixes = grant
    is_within = prefixes is None or right.prefix is None or any(fnmatchcase(right.prefix, one) for one in prefixes)
    return action == right.action and fnmatchcase(right.resource, resource) and is_within


def refused(policy: Path, rights: Iterable[Right]) -> list[Right]:
    return sorted({right for right in rights if not any(allows(one, right) for one in grants(policy))}, key=str)


def unused(policy: Path, rights: set[Right]) -> list[tuple[str, str]]:
    return [grant[:2] for grant in grants(policy) if not any(allows(grant, right) for right in rights)]


@contextmanager
def recorded(server: str, fault_at: str | None = None) -> Iterator[set[Right]]:
    """The rights that requests need which are made meanwhile. fault_at: requests whose target has this are denied."""
    rights: set[Right] = set()

    def choose(asked: Asked) -> str | None:
        return "denied" if fault_at is not None and fault_at in asked.target else None

    with proxy_before(server, choose) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setattr(uploads, "PART_BYTES", 5 * MIB)
        for name, value in environment_of(proxy.address).items():
            patch.setenv(name, value)
        yield rights
        rights |= {right_of(asked) for asked in proxy.asked}


@pytest.fixture(scope="module")
def asked(store: s3fs.S3FileSystem, s3_server: str, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, set[Right]]:
    """What the shipped job's builds need, and then tidying after them, by policy."""
    for bucket in ("example-shards", "example-packs"):
        store.mkdir(bucket)
    for file in (*SAMPLES, ROOT / "jobs" / "samples" / "tokenizer.model"):
        store.put_file(str(file), f"{IN}/{file.name}")
    large = tmp_path_factory.mktemp("large") / "file"
    with recorded(s3_server) as builds:
        assert call("run", JOB, *LOCAL).code == 0
        assert call("run", JOB, *LOCAL).code == 0  # nothing to do
        changes = ("--set", "budget.max_tokens=100", "--set", "pack.closing=true")
        assert call("run", JOB, *LOCAL, "--rebuild", *changes).code == 0
        large.write_bytes(random.Random(0).randbytes(11 * MIB))
        storage.put_file(f"s3://{OUT}", "data/large-0000-12345678.parquet", large)
    large.write_bytes(random.Random(0).randbytes(11 * MIB))
    with recorded(s3_server, fault_at="partNumber=2") as refusals, pytest.raises(StorageError):
        storage.put_file(f"s3://{OUT}", "data/refused-0000-12345678.parquet", large)
    for kind in ("index", "rejects"):
        store.pipe_file(f"{OUT}/{kind}/gone-0000-12345678.parquet", b"12345")
    store.call_s3("create_multipart_upload", Bucket="example-packs", Key="manual/data/half")
    with recorded(s3_server) as tidying:
        assert report_orphans(f"s3://{OUT}", remove=True, min_age_hours=0)["removed"]["number"] == 4
        assert prune(f"s3://{OUT}", keep=1, dry_run=False)["versions"]["removed"] == [1]
    return {BUILD: builds | refusals, TIDY: tidying}


def test_the_policies_are_for_the_shipped_job() -> None:
    job = yaml.safe_load(JOB.read_text("utf-8"))
    assert job["input"]["shards"].startswith(f"s3://{IN}/")
    assert job["tokenizer"].startswith(f"s3://{IN}/")
    assert job["output"] == f"s3://{OUT}"


@pytest.mark.parametrize("policy", [BUILD, TIDY], ids=lambda path: path.stem)
def test_every_request_is_allowed(asked: dict[Path, set[Right]], policy: Path) -> None:
    assert refused(policy, asked[policy]) == []


@pytest.mark.parametrize("policy", [BUILD, TIDY], ids=lambda path: path.stem)
def test_nothing_is_allowed_that_no_request_needs(asked: dict[Path, set[Right]], policy: Path) -> None:
    assert unused(policy, asked[policy]) == []


def test_a_build_may_not_tidy_and_tidying_may_not_build() -> None:
    removal = Right("s3:DeleteObject", f"arn:aws:s3:::{OUT}/versions/000001.json")
    packs = Right("s3:PutObject", f"arn:aws:s3:::{OUT}/data/x.parquet")
    assert refused(BUILD, [removal, packs]) == [removal]
    assert refused(TIDY, [removal, packs]) == [packs]
    shard = Right("s3:PutObject", f"arn:aws:s3:::{IN}/gimp-sample-000000.tar")
    elsewhere = Right("s3:ListBucket", "arn:aws:s3:::example-packs", "others/")
    assert refused(BUILD, [shard, elsewhere]) == sorted([shard, elsewhere], key=str)
