"""The sample shards that come with lodepack, written where a user wants them."""

from __future__ import annotations

from importlib import resources
from typing import Any

from jobs.spec import local_target, writing
from pipeline.errors import ConfigError

JOB = "quickstart.yaml"


def write_samples(target: str) -> dict[str, Any]:
    """Writes the shards, their licence, a tokenizer and a job that runs on them into a new or empty folder.

    ConfigError if the folder holds something; StorageError if it cannot be written.
    """
    folder = local_target(target)
    package = resources.files("jobs")
    written = []
    with writing(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder} is not empty; name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        for entry in sorted(package.joinpath("samples").iterdir(), key=lambda file: file.name):
            (folder / entry.name).write_bytes(entry.read_bytes())
            written.append(entry.name)
        job = package.joinpath(JOB).read_text("utf-8").replace("jobs/samples/", f"{folder}/")
        (folder / JOB).write_text(job.replace("output: build/quickstart", f"output: {folder}/build"), "utf-8")
    return {"folder": str(folder), "files": [*written, JOB]}
