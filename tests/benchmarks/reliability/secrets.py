"""Plants canary keys in the environment, in options and in jobs, runs lodepack, and looks for them in all it leaves.

python -m tests.benchmarks.reliability.secrets [--quick]

Looked through: standard output and error of each call, every file of each output (Parquet decoded too) and, on Ray,
every file of the session folder. `--quick` leaves Ray out. The goal is 0.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.servers import s3_server_in
from tests.support import BUCKET, QUICKSTART, ROOT, write_shard, write_small_shards

ENVIRONMENT = {
    name: f"Canary/{number}+{name[::-1].lower()}"
    for number, name in enumerate(("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "RAY_AUTH_TOKEN", "HF_TOKEN"))
}
GIVEN = "Canary/GIVEN+in-an-option"
CANARY = b"Canary/"
SMALL = ("sequence_length=2048", "score=null", "budget=none", "limits.max_reject_ratio=1", f"tokenizer={ROOT}/jobs/samples/tokenizer.model")  # fmt: skip # noqa: E501

Call = tuple[tuple[str, ...], int]
"""Arguments of lodepack, and the exit code that is right."""


def sound_calls(folder: Path) -> Iterator[Call]:
    """A run with rejects that ends well, and what reads its output."""
    output = str(folder / "out")
    pattern = write_small_shards(folder / "in", 1, 3)
    write_shard(folder / "in" / "bad.tar", {"bad.png": b"no picture", "bad.json": b"{"})
    yield (*_run(pattern, output), "--input", str(folder / "in" / "bad.tar")), 0
    yield ("verify", output), 0
    yield ("inspect", output, "--pack", "0"), 0
    yield ("requeue", output, "--to", str(folder / "requeued")), 0


def failing_calls(folder: Path, bucket: str) -> Iterator[Call]:
    """Runs that storage refuses: keys that the store does not know, for input, output and tokenizer."""
    pattern = write_small_shards(folder / "in", 1, 3)
    yield _run(pattern, f"s3://{bucket}/secrets-out"), 1
    yield _run(f"s3://{bucket}/secrets/*.tar", str(folder / "refused")), 1
    yield (*_run(pattern, str(folder / "refused")), "--set", f"tokenizer=s3://{bucket}/t.model"), 2
    yield ("verify", f"s3://{bucket}/secrets-out"), 1


def wrong_calls(folder: Path) -> Iterator[Call]:
    """Jobs and calls with a secret where none belongs."""
    folder.mkdir(exist_ok=True)
    output = str(folder / "refused")
    urls = (
        f"s3://AKIAEXAMPLE:{GIVEN}@bucket/x-{{0..3}}.tar",
        f"https://bucket.example/x.tar?X-Amz-Credential=a&X-Amz-Signature={GIVEN}",
        f"https://account.example/x.tar?sv=1&sig={GIVEN}",
        f"simplecache::s3://AKIAEXAMPLE:{GIVEN}@bucket/x.tar",
    )
    for url in urls:
        yield _run(url, output), 2
        yield ("run", str(QUICKSTART), "--local", "--set", f"input.shards={url}", "--output", output), 2
        yield ("run", str(QUICKSTART), "--local", "--output", url), 2
        yield ("inspect", url), 2
        yield ("verify", "gone", "--input", url), 2
    fields = (
        f"storage_options={{key: AKIAEXAMPLE, secret: {GIVEN}}}",
        f"input.storage_options={{secret: {GIVEN}}}",
        f"secret={GIVEN}",
        f"input=[{{token: {GIVEN}}}]",
        f"limits=[secret, {GIVEN}]",
        f"aws_secret_access_key: {GIVEN}",
        f"storage_options={{secret: {GIVEN}",
        f"address=ray://user:{GIVEN}@head:10001",
        f"score.encoder=https://hub.example/x?token={GIVEN}",
    )
    for field in fields:
        yield ("run", str(QUICKSTART), "--set", field, "--output", output), 2
    jobs = {
        "unknown": f"name: x\ninput: {{shards: a.tar}}\nstorage_options: {{secret: '{GIVEN}'}}\n",
        "address": f"name: x\ninput: {{shards: 's3://AKIA:{GIVEN}@b/x.tar'}}\noutput: o\nprofile: vit\n",
        "broken": f"name: x\nsecret: '{GIVEN}\nother: [\n",
        "tagged": f"name: !!python/object/apply:os.system ['echo {GIVEN}']\n",
    }
    for name, text in jobs.items():
        (folder / f"{name}.yaml").write_text(text)
        yield ("run", str(folder / f"{name}.yaml"), "--local"), 2


def _run(shards: str, output: str) -> tuple[str, ...]:
    fields = (part for field in SMALL for part in ("--set", field))
    return ("run", str(QUICKSTART), "--local", "--input", shards, "--output", output, *fields)


def on_ray(call: Call) -> Call:
    return tuple(argument for argument in call[0] if argument != "--local"), call[1]


def run_all(calls: Iterable[Call], s3: str | None = None, ray: Path | None = None) -> tuple[list[str], int]:
    """Each call with and without --debug: the calls that ended wrongly or printed a canary, and how many there were."""
    environment = os.environ | ENVIRONMENT | {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_DEFAULT_REGION": "us-east-1"}
    environment |= {"AWS_ENDPOINT_URL": s3} if s3 else {}
    environment |= {"RAY_TMPDIR": str(ray)} if ray else {}
    faults: list[str] = []
    number = 0
    for arguments, code in calls:
        for debug in ((), ("--debug",)):
            if debug and arguments[0] == "requeue":
                continue  # into a folder that is full now
            command = [sys.executable, "-m", "jobs", *arguments, *debug]
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
            number += 1
            if done.returncode != code or CANARY in done.stdout + done.stderr:
                faults.append(f"{' '.join(arguments)} {debug}: {done.returncode}\n{done.stderr.decode()[-2000:]}")
    return faults, number


def hits_below(*folders: Path) -> tuple[list[str], int]:
    """The files below some folders that hold a canary, as bytes or in a column; and how many were looked through."""
    hits: list[str] = []
    number = 0
    for path in (path for folder in folders for path in folder.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        number += 1
        data = path.read_bytes()
        if path.suffix == ".parquet":
            data += b"".join(_texts(pq.read_table(path)))
        if CANARY in data:
            hits.append(str(path))
    return hits, number


def _texts(table: pa.Table) -> Iterator[bytes]:
    """All bytes that a table holds, whatever the nesting."""
    for column in table.columns:
        for chunk in column.chunks:
            yield from (buffer.to_pybytes() for buffer in chunk.buffers() if buffer is not None)


def measure(*, quick: bool) -> dict[str, Any]:
    """Canaries found, of how many calls and files; and calls that ended with another code than they should."""
    faults: list[str] = []
    hits: list[str] = []
    calls = files = 0
    folder = Path(tempfile.mkdtemp(prefix="can"))  # short: Ray's sockets have 107 letters for their paths
    try:
        with s3_server_in(_made(folder / "weed")) as s3:
            given = [(sound_calls(folder / "a"), None), (wrong_calls(folder / "w"), None)]
            given += [(failing_calls(folder / "f", BUCKET), None)]
            if not quick:
                ray = _made(folder / "r")
                given += [(map(on_ray, sound_calls(folder / "b")), ray), (map(on_ray, failing_calls(folder / "g", BUCKET)), ray)]  # fmt: skip # noqa: E501
            for some, session in given:
                wrong, number = run_all(some, s3, session)
                faults += wrong
                calls += number
        searched = [folder / name / "out" for name in ("a", "b")] + [folder / "a/requeued", folder / "f", folder / "g"]
        hits, files = hits_below(*searched, folder / "r")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    printed = [fault for fault in faults if re.search("Canary/", fault)]
    return {
        "canary_hits": len(hits) + len(printed),
        "goal": 0,
        "places": hits + printed,
        "calls": calls,
        "calls_with_a_wrong_exit_code": len(faults) - len(printed),
        "files_looked_through": files,
        "on_ray": not quick,
    }


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    print(json.dumps(measure(quick="--quick" in sys.argv), indent=1))
