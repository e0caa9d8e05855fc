"""The walls of the house: imports run one way, one module knows Ray, and the top level stays as it is."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

PACKAGES = ("pipeline", "operators", "jobs")
ALLOWED = {
    "pipeline": {"pipeline"},
    "operators": {"pipeline", "operators"},
    "jobs": {"pipeline", "operators", "jobs"},
}
TOP_LEVEL = {
    "pyproject.toml",
    "pipeline",
    "operators",
    "jobs",
    "tests",
    "infra",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
}


def imported(path: Path) -> set[str]:
    """Top-level packages that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by relative name"
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}


def test_imports_run_from_jobs_to_operators_to_pipeline() -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            ours = imported(path) & set(PACKAGES)
            assert ours <= ALLOWED[package], f"{path.relative_to(ROOT)} imports {ours}"


def test_one_package_imports_ray() -> None:
    users = {path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "ray" in imported(path)}  # fmt: skip # noqa: E501
    assert {path.parent for path in users} == {Path("pipeline/ray_runner")}


def test_no_module_can_load_a_pickle() -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            assert not imported(path) & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}, path


def test_reading_a_job_and_running_it_without_scores_imports_neither_torch_nor_ray() -> None:
    code = "import sys, jobs.cli, jobs.spec, jobs.chain, jobs.build; print(sorted({'torch', 'ray'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_top_level_is_fixed() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = {line.split("/")[0] for line in tracked.stdout.splitlines()}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL
