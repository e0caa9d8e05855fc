"""The image can be built of what its build gets, runs without root, and has the versions that all else expects."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from jobs.recipe import NUMERIC_LIBRARIES
from jobs.secrets import is_secret_name
from tests.infra.manifests import LAYOUTS, clusters, pods
from tests.support import ROOT

FOLDER = ROOT / "infra" / "docker"
DOCKERFILE = (FOLDER / "Dockerfile").read_text("utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PINS = {
    name.lower(): pin
    for name, equals, pin in (
        line.partition("==") for line in (FOLDER / "constraints.txt").read_text("utf-8").splitlines()
    )
    if equals
}
Stage = list[tuple[str, str]]


def stages() -> dict[str, Stage]:
    """The instructions of each stage, with what it is made from as the first."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, Stage] = {"": []}
    name = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = [("FROM", base)]
        else:
            found[name].append((word, rest))
    return found


def whole(name: str) -> Stage:
    """The instructions of a stage and of those that it is made from, in order."""
    (_, base), *rest = stages()[name]
    return [*(whole(base) if base in stages() else [("FROM", base)]), *rest]


def of(stage: Stage, word: str) -> list[str]:
    return [rest for name, rest in stage if name == word]


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_each_target_runs_as_a_user_and_holds_no_secret(target: str) -> None:
    stage = whole(target)
    assert stage[-1] == ("USER", "1000")  # by number: Kubernetes cannot tell of a name that it is not root's
    assert not of(stage, "ADD")
    assert of(stage, "ENTRYPOINT") == ["[]"]  # KubeRay, and whoever submits, says what runs
    names = [name for line in of(stage, "ENV") + of(stages()[""], "ARG") for name in re.findall(r"(\w+)=", line)]
    assert not [name for name in names if is_secret_name(name)]


def test_what_is_copied_is_there_and_not_held_back() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert ignored[0] == "*"
    copied = {path for stage in stages().values() for line in of(stage, "COPY") for path in line.split()[:-1]}
    assert copied == {line[1:] for line in ignored if line.startswith("!")}
    assert all((ROOT / path).exists() for path in copied)
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert copied == {*wheel["packages"], PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml"} | {
        "infra/docker/constraints.txt"
    }


def test_python_and_its_image_are_named_to_the_patch() -> None:
    (python,) = of(stages()[""], "ARG")
    found = re.fullmatch(r"PYTHON=(\d+\.\d+\.\d+)-slim-\w+", python)
    assert found is not None
    assert found[1] in SpecifierSet(PROJECT["requires-python"])
    bases = {base for stage in stages().values() for base in of(stage, "FROM")}
    assert bases - stages().keys() == {"python:${PYTHON}"}


def test_every_dependency_is_pinned_within_what_the_project_allows() -> None:
    for requirement in map(Requirement, PROJECT["dependencies"]):
        assert requirement.specifier.contains(PINS[requirement.name]), requirement
    assert set(NUMERIC_LIBRARIES) <= PINS.keys()  # they are in the recipe


@pytest.mark.parametrize(("target", "local"), [("cpu", "+cpu"), ("gpu", "")])
def test_both_targets_install_the_pinned_ray_and_torch(target: str, local: str) -> None:
    installs = [line for line in of(whole(target), "RUN") if "install" in line]
    assert len(installs) == 2
    assert all("--constraint /opt/constraints.txt" in line for line in installs)
    assert f" torch=={PINS['torch']}{local} " in installs[0]
    (asked,) = [Requirement(one) for one in PROJECT["dependencies"] if one.startswith("ray")]
    (given,) = [Requirement(one) for one in re.findall(r"'(ray\S+)'", installs[0])]
    assert (given.extras, str(given.specifier)) == (asked.extras, f"=={PINS['ray']}")


@pytest.mark.parametrize("name", LAYOUTS)
def test_manifests_name_the_images_and_the_ray_that_is_built(name: str) -> None:
    assert {cluster["rayVersion"] for cluster in clusters(name)} == {PINS["ray"]}
    for pod in pods(name):
        for one in pod.spec["containers"]:
            has_gpu = "nvidia.com/gpu" in one["resources"]["limits"]
            image = f"registry.example.com/lodepack:{PROJECT['version']}-{'gpu' if has_gpu else 'cpu'}"
            assert one["image"] == image
            assert f"-t {image} ." in DOCKERFILE
