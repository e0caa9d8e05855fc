"""The manifests are well-formed, agree with each other and with the command line, and none lies about unused."""

from __future__ import annotations

import copy
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from jobs.cli import app
from jobs.spec import load_job
from tests.infra.kubernetes_rules import faults
from tests.infra.manifests import JOB, KUBERNETES, LAYOUTS, layout, of_kind, pods
from tests.support import ROOT

COMMANDS = typer.main.get_command(app)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_object_has_only_fields_that_its_kind_has(name: str) -> None:
    assert [fault for thing in layout(name) for fault in faults(thing)] == []
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in layout(name)]
    assert len(set(names)) == len(names)


def container(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize(
    ("break_it", "fault"),
    [
        (lambda job: job.update(backofLimit=job.pop("backoffLimit")), "RayJob.spec.backofLimit is unknown"),
        (lambda job: job.pop("entrypoint"), "RayJob.spec.entrypoint is missing"),
        (lambda job: job.update(submissionMode="K8SJobMode"), "RayJob.spec.submissionMode: 'K8SJobMode' is none of"),
        (lambda job: job.update(activeDeadlineSeconds=0), "RayJob.spec.activeDeadlineSeconds: 0 is no positive"),
        (
            lambda job: container(job)["resources"]["limits"].update(memory="8 GB"),
            "RayJob.spec.rayClusterSpec.headGroupSpec.template.spec.containers[0].resources.limits.memory: '8 GB' has",
        ),
        (
            lambda job: container(job).update(image="registry.example.com/lodepack:latest"),
            "RayJob.spec.rayClusterSpec.headGroupSpec.template.spec.containers[0].image:",
        ),
        (
            lambda job: job["rayClusterSpec"]["workerGroupSpecs"][0].update(maxReplica=3),
            "RayJob.spec.rayClusterSpec.workerGroupSpecs[0].maxReplica is unknown",
        ),
    ],
)
def test_a_fault_in_a_manifest_is_found(break_it: Callable[[dict[str, Any]], Any], fault: str) -> None:
    (thing,) = copy.deepcopy(of_kind("rayjob", "RayJob"))
    break_it(thing["spec"])
    (found,) = faults(thing)
    assert found.startswith(fault)


@pytest.mark.parametrize("schedule", ["30 2 * *", "60 2 * * *", "30 2 0 * *", "5-1 * * * *", "@daily", "*/0 * * * *"])
def test_a_schedule_that_cron_would_not_take_is_found(schedule: str) -> None:
    (thing,) = copy.deepcopy(of_kind("cronjob", "CronJob"))
    thing["spec"]["schedule"] = schedule
    assert len(faults(thing)) == 1


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which renders offline, is not installed")
@pytest.mark.parametrize("name", LAYOUTS)
def test_kubectl_renders_what_these_tests_look_at(name: str) -> None:
    out = subprocess.run(["kubectl", "kustomize", KUBERNETES / name], capture_output=True, check=True).stdout

    def key(thing: dict[str, Any]) -> tuple[str, str]:
        return thing["kind"], thing["metadata"]["name"]

    assert sorted(yaml.safe_load_all(out), key=key) == sorted(layout(name), key=key)


def test_a_run_on_a_schedule_is_never_two_where_kubernetes_can_say_so() -> None:
    (cron,) = of_kind("cronjob", "CronJob")
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"
    template = cron["spec"]["jobTemplate"]["spec"]
    assert template["template"]["spec"]["restartPolicy"] == "Never"  # which podFailurePolicy needs
    rules = {rule["action"]: rule for rule in template["podFailurePolicy"]["rules"]}
    assert rules["FailJob"]["onExitCodes"]["values"] == [2]
    assert rules["FailJob"]["onExitCodes"]["containerName"] in {
        c["name"] for c in template["template"]["spec"]["containers"]
    }


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_job_is_where_the_command_looks_for_it(name: str) -> None:
    (held,) = of_kind(name, "ConfigMap")
    for pod in pods(name):
        for one in pod.spec["containers"]:
            for mount in one["volumeMounts"]:
                (volume,) = [v for v in pod.spec["volumes"] if v["name"] == mount["name"]]
                assert volume.get("configMap", {"name": "lodepack-job"})["name"] == held["metadata"]["name"]
    assert {f"/etc/lodepack/{file}" for file in held["data"]} == {"/etc/lodepack/job.yaml"}
    assert held["data"]["job.yaml"] == JOB.read_text("utf-8")
    assert load_job(str(JOB), []).output.startswith("s3://")  # the nodes do not outlive the run


def entrypoints() -> list[list[str]]:
    found = [thing["spec"]["entrypoint"] for thing in of_kind("rayjob", "RayJob")]
    (cron,) = of_kind("cronjob", "CronJob")
    (only,) = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return [*map(shlex.split, found), only["command"]]


@pytest.mark.parametrize("words", entrypoints(), ids=lambda words: words[1])
def test_commands_are_commands_of_ours(words: list[str]) -> None:
    program, name, *arguments = words
    assert program == "lodepack"
    assert arguments[0] == "/etc/lodepack/job.yaml"
    COMMANDS.commands[name].make_context(name, list(arguments))


def reached(folder: Path) -> set[Path]:
    """The files that `kubectl apply -k` of a folder reads."""
    how = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    files = {folder / "kustomization.yaml"}
    for name in [*how["resources"], *(file for maker in how.get("configMapGenerator", []) for file in maker["files"])]:
        path = (folder / name).resolve()
        files |= reached(path) if path.is_dir() else {path}
    return files


def test_every_file_in_infra_is_used_by_a_test_or_a_command_that_the_readme_or_a_benchmark_shows() -> None:
    texts = [ROOT / "README.md", *sorted((ROOT / "tests").rglob("*.py"))]
    said = "\n".join(path.read_text("utf-8") for path in texts)
    applied = {file for name in LAYOUTS for file in reached(KUBERNETES / name)}
    files = [path for path in (ROOT / "infra").rglob("*") if path.is_file()]
    names = {path: path.relative_to(ROOT).as_posix() for path in files}
    # Whole path, or the name as a piece of a path that a test puts together.
    unused = [
        name
        for path, name in names.items()
        if path not in applied and not re.search(rf'(?<![\w/.-]){re.escape(name)}|"{re.escape(path.name)}"', said)
    ]
    assert unused == []
