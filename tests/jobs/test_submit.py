"""Jobs submitted to a real head through its Jobs API: followed, stopped, lost, and submitted again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from jobs.clusters import give_token
from jobs.spec import load_job
from jobs.submit.environment import own_dependencies
from jobs.submit.following import _Log
from jobs.submit.request import Given, make_request
from tests.calling import call
from tests.clusters import TOKEN, RunningCluster, Shape, ray_cluster
from tests.jobs.test_stopping import is_running
from tests.support import QUICKSTART, ROOT, build, tree, write_small_shards

SHARDS = "shards/small-{000000..000007}.tar"
FIELDS = {"unit": {"target_shards": 1}, "sequence_length": 2048, "score": None, "budget": None, "pixels": "none"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[RunningCluster]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with ray_cluster(Shape(2), dashboard=True, token=TOKEN, environment={"PATH": path}) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: a job, its tokenizer by a relative path, shards, and what is not to travel."""
    folder = tmp_path_factory.mktemp("user")
    write_small_shards(folder / "shards", 8, 3)
    (folder / "text.model").write_bytes((ROOT / "jobs" / "samples" / "tokenizer.model").read_bytes())
    write_job(folder / "job.yaml")
    return folder


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fields = [f"{name}={json.dumps(value)}" for name, value in FIELDS.items()]
        build(folder / "local", SHARDS, "tokenizer=text.model", *fields)
    return tree(folder / "local")


def write_job(path: Path, **changes: Any) -> Path:
    job = yaml.safe_load(QUICKSTART.read_text()) | FIELDS
    job |= {"tokenizer": "text.model", "input": {"shards": str(path.parent / SHARDS)}, "name": "Our data!"}
    path.write_text(yaml.safe_dump(job | changes))
    return path


def start(cluster: RunningCluster, folder: Path, *options: object, token: str | None = TOKEN) -> subprocess.Popen[str]:
    environment = cluster.environment | {"PYTHONPATH": str(ROOT), "RAY_AUTH_TOKEN": token or ""}
    if token is None:
        environment = environment | {"RAY_AUTH_MODE": "disabled"}
    command = [sys.executable, "-m", "jobs", "submit", "job.yaml", "--address", cluster.dashboard, *map(str, options)]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def submit(cluster: RunningCluster, folder: Path, *options: object, token: str | None = TOKEN) -> Any:
    """The exit code, standard output, and the lines of standard error."""
    process = start(cluster, folder, *options, token=token)
    out, error = process.communicate(timeout=300)
    return process.returncode, out, error.splitlines()


def known(cluster: RunningCluster, output: Path) -> dict[str, str]:
    """Submissions that wrote there: id and status."""
    answer = requests.get(f"{cluster.dashboard}/api/jobs/", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30)
    jobs = [job for job in answer.json() if (job["metadata"] or {}).get("lodepack.output") == str(output)]
    return {job["submission_id"]: job["status"] for job in sorted(jobs, key=lambda job: job["start_time"])}


def drivers(output: Path) -> list[int]:
    """Processes of runs that `lodepack submit` started for this output, by the job file that they were given."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            is_run = b"jobs\0run\0submitted/" in (place / "cmdline").read_bytes()
            if is_run and str(output) in next((place / "cwd").glob("submitted/*")).read_text():
                found.append(int(place.name))
        except (OSError, StopIteration):
            continue
    return [pid for pid in found if is_running(pid)]


def wait_for_units(output: Path, number: int, process: subprocess.Popen[str] | None = None) -> None:
    while len(list((output / "manifests").glob("*.json"))) < number:
        assert process is None or process.poll() is None
        time.sleep(0.05)


@contextmanager
def passing(host: str, port: int) -> Iterator[tuple[str, Callable[[subprocess.Popen[str], Path], None]]]:
    """The address of a proxy, and what cuts all its connections every three seconds once a unit is committed."""
    opened: list[socket.socket] = []

    def pump(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client = listener.accept()[0]
                server = socket.create_connection((host, port))
                opened.extend((client, server))
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=pump, args=ends, daemon=True).start()

    def cut(process: subprocess.Popen[str], output: Path) -> None:
        wait_for_units(output, 1, process)
        while process.poll() is None:
            for end in opened:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            opened.clear()
            time.sleep(3)

    with socket.create_server((host, 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://{host}:{listener.getsockname()[1]}", cut


def test_two_submitters_at_once_start_one_job_with_the_bytes_of_a_local_run(
    cluster: RunningCluster, folder: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    both = [start(cluster, folder, "--output", tmp_path / "out") for _ in range(2)]
    ends = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    (submission,) = known(cluster, tmp_path / "out").items()
    assert submission[0].startswith("lodepack-our-data-")
    assert submission[1] == "SUCCEEDED"
    said = sorted(error.splitlines()[-1].partition(f"{submission[0]} ")[2].partition(" (")[0] for _, error in ends)
    assert said == ["is submitted", "runs already: following it"]
    for out, _ in ends:
        assert out.count("to build: 8 unit(s) of 8 shard(s)") == 1
        assert f"check it: lodepack verify {tmp_path}/out" in out
    assert tree(tmp_path / "out") == expected


def test_the_exit_code_and_the_mistake_are_the_runs_own(cluster: RunningCluster, folder: Path, tmp_path: Path) -> None:
    given = ("--output", tmp_path / "out", "--input", tmp_path / "gone.tar", "--json")
    code, out, error = submit(cluster, folder, *given)
    assert code == 2
    assert json.loads(out)["exit_code"] == 2
    assert f"error: input.shards: no such file: {tmp_path}/gone.tar" in "\n".join(error)
    assert not any("Traceback" in line for line in error)
    assert f"input.shards {tmp_path}/gone.tar: every node must find the same there" in error


def test_a_cluster_that_wants_another_token_is_one_line(cluster: RunningCluster, folder: Path, tmp_path: Path) -> None:
    for token, word in ((None, "asks for a token"), ("another-token-0123456789", "refuses this token")):
        code, _, error = submit(cluster, folder, "--output", tmp_path, "--open-cluster", token=token)
        assert (code, len(error)) == (2, 1)
        assert f"error: {cluster.dashboard} {word}" in error[0]


def test_a_cluster_that_is_not_there_or_is_something_else_is_one_line(folder: Path, tmp_path: Path) -> None:
    class Web(BaseHTTPRequestHandler):
        answers = (404, b"no such page"), (200, b"<html>"), (200, b"{}"), (500, b"")

        def do_GET(self) -> None:
            code, body = self.answers[self.server.number]  # type: ignore[attr-defined]
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    given = ("submit", folder / "job.yaml", "--working-dir", folder, "--output", tmp_path)
    with HTTPServer(("127.0.0.1", 0), Web) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for server.number in range(len(Web.answers)):
            result = call(*given, "--address", address)
            assert (result.code, result.err.splitlines()) == (
                1,
                [f"error: {address} is no dashboard of Ray with a Jobs API; the head's is expected, http://HEAD:8265"],
            )
        server.shutdown()
    result = call(*given, "--address", address)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert f"nobody answers at {address}; check --address" in result.err


def test_what_cannot_run_on_a_cluster_is_told_at_once_and_together(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    # A cluster that another test started in this process has left its mode here, and its token in the home folder.
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    job = write_job(tmp_path / "job.yaml", tokenizer="gone.model", input={"shards": ["../a.tar", "~/b.tar", "c.tar"]})
    (folder.parent / "a.tar").touch()
    result = call("submit", job, "--address", "http://127.0.0.1:1", "--env", "NOT_SET_ANYWHERE")
    lines = result.err.splitlines()
    assert result.code == 2
    for number, start_ in enumerate(
        (
            "--env NOT_SET_ANYWHERE: not set here",
            "output: build/quickstart would be lost with the node",
            "input.shards: ../a.tar: shards do not travel with a job",
            "input.shards: ~/b.tar: every node has a home folder of its own",
            "input.shards: c.tar: shards do not travel with a job",
            "tokenizer: no such file: gone.model",
        )
    ):
        assert lines[number].startswith(f"error: {start_}"), lines
    assert len(lines) == 6
    for address, word in (
        (None, "say --address"),
        ("ray://127.0.0.1:1", "dashboard"),
        ("http://head:1", "no token is"),
    ):
        result = call("submit", job, *(["--address", address] if address else []))
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert word in result.err


def given(folder: Path, **changes: Any) -> Given:
    fields = {"job": str(folder / "job.yaml"), "overrides": (), "input": (), "output": "s3://bucket/out", "limit": None}
    fields |= {"options": (), "working_dir": str(folder), "runtime_env": None, "variables": (), "install": False}
    return Given(**(fields | changes))


def test_what_travels_is_this_code_the_job_and_what_it_names_or_all_that_is_not_ignored(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("notes.txt", "secret.env", "deep/kept.txt", "deep/left.log", ".git/config", "out/data.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / ".gitignore").write_text("*.model\n*.env\n")
    (tmp_path / "deep" / ".gitignore").write_text("*.log\n")
    (tmp_path / "text.model").write_bytes((folder / "text.model").read_bytes())
    job = write_job(tmp_path / "job.yaml", input={"shards": "s3://bucket/*.tar"}, address="ray://other:10001")
    monkeypatch.chdir(tmp_path)
    own = ("pipeline/", "operators/", "jobs/")
    named = make_request(given(tmp_path, working_dir=None))
    assert {name for name in named.files if not name.startswith(own)} == {"text.model", "submitted/job.yaml"}
    assert {"jobs/__main__.py", "jobs/card/card.md.j2", "operators/relevance/encoder.safetensors"} <= named.files.keys()
    assert not any(name.endswith((".pyc", ".tar")) for name in named.files)
    whole = make_request(given(tmp_path, output=str(tmp_path / "out")))
    found = {name for name in whole.files if not name.startswith(own)}
    assert found == {".gitignore", "deep/.gitignore", "notes.txt", "deep/kept.txt", "job.yaml", "text.model", "submitted/job.yaml"}  # fmt: skip # noqa: E501
    written = tmp_path / "again.yaml"
    written.write_bytes(named.files["submitted/job.yaml"])  # type: ignore[arg-type]
    assert load_job(str(written), []) == load_job(str(job), [], output="s3://bucket/out").model_copy(
        update={"address": None}
    )


def test_an_upload_of_shards_that_is_too_large_is_refused_with_the_largest(tmp_path: Path) -> None:
    (tmp_path / "text.model").write_bytes((ROOT / "jobs" / "samples" / "tokenizer.model").read_bytes())
    with (tmp_path / "large.tar").open("wb") as file:
        file.truncate(10 << 30)
    write_job(tmp_path / "job.yaml", input={"shards": "s3://bucket/*.tar"})
    result = call("submit", tmp_path / "job.yaml", "--working-dir", tmp_path, "--output", "s3://bucket/out",
                  "--address", "http://127.0.0.1:1")  # fmt: skip
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "would travel with the job, and at most 100 do; the largest: large.tar (10,240.0 MiB)" in result.err


def test_the_same_work_has_one_name_whatever_its_credentials(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_SECRET_KEY", "one-value-of-it")
    first = make_request(given(folder, variables=["OUR_SECRET_KEY"]))
    assert first.runtime_env["env_vars"]["OUR_SECRET_KEY"] == "one-value-of-it"
    monkeypatch.setenv("OUR_SECRET_KEY", "another-value")
    assert make_request(given(folder, variables=["OUR_SECRET_KEY"])).identity == first.identity
    environment = tmp_path / "env.yaml"
    environment.write_text("pip: [a==1]\nenv_vars: {A: b}\n")
    others = [{"output": "s3://bucket/other"}, {"limit": 3}, {"options": ["--rebuild"]}, {"install": True}]
    others += [{"overrides": ["unit.target_shards=2"]}, {"runtime_env": str(environment)}]
    identities = [make_request(given(folder, variables=["OUR_SECRET_KEY"], **other)).identity for other in others]
    assert len({first.identity, *identities}) == 1 + len(others)
    spellings = (f"{tmp_path}/out", f"{tmp_path}/a/../out/", f"file://{tmp_path}/out")
    assert {make_request(given(folder, output=output)).output for output in spellings} == {f"{tmp_path}/out"}


def test_a_runtime_environment_is_kept_but_for_what_lodepack_sets(folder: Path, tmp_path: Path) -> None:
    environment = tmp_path / "env.yaml"
    environment.write_text(
        "pip: [extra==1]\nexcludes: ['*.tar']\nenv_vars: {A: b}\nconfig: {setup_timeout_seconds: 9}\n"
    )
    found = make_request(given(folder, runtime_env=str(environment), install=True)).runtime_env
    assert found["pip"][-1] == "extra==1"
    assert found["pip"][:-1] == own_dependencies()
    assert found["env_vars"] == {"A": "b", "RAY_JOB_STOP_WAIT_TIME_S": "30"}
    assert found["config"] == {"setup_timeout_seconds": 9}
    assert "excludes" not in found
    names = {line.partition("==")[0] for line in found["pip"]}
    assert {"torch", "pyarrow", "pydantic"} <= names
    assert "ray" not in names
    assert not any("+" in line for line in found["pip"])
    environment.write_text("working_dir: .\n")
    result = call("submit", folder / "job.yaml", "--runtime-env", environment, "--address", "http://127.0.0.1:1")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "working_dir is what lodepack sets itself" in result.err


def test_a_log_that_is_told_again_is_shown_once() -> None:
    shown: list[str] = []
    log = _Log(shown.append)
    for telling in (["one\n", "two\n"], ["one\ntwo\nth"], ["one\n"], ["one\n", "two\nthree\n"]):
        log.rewind()
        for piece in telling:
            log.take(piece)
    assert "".join(shown) == "one\ntwo\nthree\n"


def test_a_token_alone_is_sent(tmp_path: Path) -> None:
    for given_, mode in (({"RAY_AUTH_TOKEN": "t"}, "token"), ({}, None)):
        environment = dict(given_)
        give_token(environment, tmp_path)
        assert environment.get("RAY_AUTH_MODE") == mode


def wait_for_driver(process: subprocess.Popen[str], output: Path, word: str) -> str:
    """What the submitter said that holds `word`, once the driver is at work."""
    assert process.stderr is not None
    line = next(line for line in process.stderr if word in line)
    while not drivers(output):
        assert process.poll() is None
        time.sleep(0.05)
    return line


@pytest.mark.slow
def test_a_job_is_left_followed_again_stopped_killed_and_finished_by_the_next_submission(
    cluster: RunningCluster, folder: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    output, tokenizer = tmp_path / "out", tmp_path / "text.model"
    os.mkfifo(tokenizer)  # whoever opens it waits: a driver that works until it is ended
    given = ("--output", output, "--set", f"tokenizer={tokenizer}")

    first = start(cluster, folder, *given)
    wait_for_driver(first, output, "is submitted")
    first.send_signal(signal.SIGINT)
    _, error = first.communicate(timeout=60)
    assert first.returncode == 130
    (one,) = known(cluster, output)
    assert f"{one} goes on; submit again to follow it, or stop it: ray job stop" in error.splitlines()[-1]

    code, _, lines = submit(cluster, folder, *given, "--rebuild")
    assert code == 1
    assert f"error: {one} runs at {cluster.dashboard} into the same output with another job" in lines[-1]

    second = start(cluster, folder, *given, "--cancel-on-interrupt")
    assert one in wait_for_driver(second, output, "runs already: following it")
    second.send_signal(signal.SIGTERM)
    _, error = second.communicate(timeout=120)
    assert second.returncode == 143
    assert f"{one} has ended (STOPPED)" in error.splitlines()[-1]
    assert drivers(output) == []

    third = start(cluster, folder, *given)
    two = f"{one.removesuffix('1')}2"
    assert two in wait_for_driver(third, output, "is submitted")
    for pid in drivers(output):
        os.kill(pid, signal.SIGKILL)
    _, error = third.communicate(timeout=60)
    assert third.returncode == 1
    assert f"{two} was lost: its driver ended with" in error.splitlines()[-1]

    shutil.copy(folder / "text.model", tmp_path / "real.model")
    (tmp_path / "real.model").replace(tokenizer)
    assert submit(cluster, folder, *given)[0] == 0
    assert list(known(cluster, output).items()) == [
        (one, "STOPPED"), (two, "FAILED"), (f"{one.removesuffix('1')}3", "SUCCEEDED")
    ]  # fmt: skip
    assert tree(output) == expected


@pytest.mark.slow
def test_what_was_committed_before_a_stop_is_kept_by_the_next_submission(
    cluster: RunningCluster, folder: Path, tmp_path: Path
) -> None:
    output, shards = tmp_path / "out", write_small_shards(tmp_path / "shards", 24, 3)
    given = ("--input", shards, "--output", output, "--set", "unit.target_shards=1")
    first = start(cluster, folder, *given, "--cancel-on-interrupt")
    wait_for_units(output, 2, first)
    first.send_signal(signal.SIGINT)
    _, error = first.communicate(timeout=120)
    assert first.returncode == 130
    assert "has ended (STOPPED); submit again to finish: what it committed is kept" in error.splitlines()[-1]
    assert not any((output / "runs" / name).exists() and list((output / "runs" / name).iterdir())
                   for name in ("running", "tmp"))  # fmt: skip
    committed = {path: path.stat().st_mtime_ns for path in (output / "manifests").iterdir()}
    assert 2 <= len(committed) < 24
    code, out, _ = submit(cluster, folder, *given)
    assert code == 0
    assert f"{24 - len(committed)} built, {len(committed)} kept" in out
    assert {path: path.stat().st_mtime_ns for path in committed} == committed
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fields = [f"{name}={json.dumps(value)}" for name, value in FIELDS.items()]
        build(tmp_path / "local", shards, "tokenizer=text.model", *fields)
    assert tree(output) == tree(tmp_path / "local")


@pytest.mark.slow
def test_a_head_without_cpus_runs_the_driver_and_the_code_that_travels_wins_over_an_installed_one(
    folder: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    for package in ("pipeline", "operators", "jobs"):
        (tmp_path / "installed" / package).mkdir(parents=True)
        (tmp_path / "installed" / package / "__init__.py").write_text(
            f"raise ModuleNotFoundError(\"No module named '{package}'\")\n"
        )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = {"PATH": path, "PYTHONPATH": str(tmp_path / "installed")}  # before site-packages
    with ray_cluster(Shape(0), [Shape(2)], dashboard=True, token=TOKEN, environment=own) as running:
        code, out, error = submit(running, folder, "--output", tmp_path / "out")
        # A run that joins the cluster sends the token that is there, and no code.
        joins = [sys.executable, "-m", "jobs", "run", "job.yaml", "--address", running.address]
        alone = {name: value for name, value in running.environment.items() if name != "RAY_AUTH_MODE"}
        joined = subprocess.run(
            [*joins, "--output", str(tmp_path / "joined")],
            cwd=folder, env=alone | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
    assert joined.returncode == 2
    assert joined.stderr.splitlines()[-1].startswith("error: the cluster's nodes have no lodepack; install there")
    assert code == 0, "\n".join([out, *error])
    assert tree(tmp_path / "out") == expected


@pytest.mark.slow
def test_plain_ray_job_submit_with_the_same_entry_point_gives_the_same_bytes(
    cluster: RunningCluster, folder: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    job = write_job(folder / "plain.yaml", tokenizer=str(folder / "text.model"))
    entry = ["python", "-m", "jobs", "run", str(job), "--output", str(tmp_path / "out")]
    entry += ["--input", str(folder / "shards" / "small-{000000..000007}.tar")]
    command = [str(Path(sys.executable).parent / "ray"), "job", "submit", "--address", cluster.dashboard]
    done = subprocess.run(
        [*command, "--working-dir", str(ROOT), "--", *entry],
        env=cluster.environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert tree(tmp_path / "out") == expected


@pytest.mark.slow
def test_a_connection_that_is_cut_again_and_again_loses_and_repeats_no_line(
    cluster: RunningCluster, folder: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    host, _, port = cluster.dashboard.rpartition("/")[2].partition(":")
    with passing(host, int(port)) as (address, cut):
        process = start(cluster, folder, "--output", tmp_path / "out", "--address", address)
        cutter = threading.Thread(target=cut, args=(process, tmp_path / "out"))
        cutter.start()
        out, error = process.communicate(timeout=300)
        cutter.join()
    assert process.returncode == 0, error
    (submission,) = known(cluster, tmp_path / "out")
    log = requests.get(
        f"{cluster.dashboard}/api/jobs/{submission}/logs", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30
    )
    assert out == log.json()["logs"]
    assert tree(tmp_path / "out") == expected
