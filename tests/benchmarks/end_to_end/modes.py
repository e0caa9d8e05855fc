"""What is measured: each mode as a job file, how much input it gets, and its goals."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from jobs.spec import Job, load_job
from tests.support import ROOT

TOKENIZER = ROOT / "jobs" / "samples" / "tokenizer.model"
PROFILE = "qwen2_5_vl"
SEQUENCE_LENGTH = 8192
LIMITS = {"images": 64, "patches": 32768}
UNSCORED = {"score": "none", "budget": "none"}
RELEVANCE = {
    "score": {"propositional": 0.5, "perspectival": 0.5, "participatory": 0.0},
    "budget": {"rule": "lod", "min_tokens": 64, "max_tokens": 400, "max_image_tokens": 2304},
}


@dataclass(frozen=True, slots=True)
class Size:
    """So many shards of so many pictures. Shards are a multiple of the cores, for whoever gives each a whole one."""

    shards: int
    pictures: int


@dataclass(frozen=True, slots=True)
class Mode:
    """One kind of build."""

    name: str
    fields: dict[str, Any]
    size: Size
    """Of a full run: one contender takes 10 to 20 s."""
    against_usual: float
    """How many times the images a second of the usual loop are asked for."""
    set_only_if_known: dict[str, Any] = field(default_factory=dict)
    """Fields of the job that not every version has, which then does this anyway, or cannot do it at all (`is_new`)."""
    is_new: bool = False
    """Whether a version without those fields cannot do it."""


QUICK = Size(6, 60)
"""Of a quick run, at most."""
MODES = (
    Mode(
        "source, structure", {"pixels": "source", **UNSCORED}, Size(24, 500), 20.0, {"check": "structure"}, is_new=True
    ),
    Mode("source, decode", {"pixels": "source", **UNSCORED}, Size(24, 250), 8.0, {"check": "decode"}),
    Mode("encoded", {"pixels": "encoded", **UNSCORED}, Size(12, 80), 3.0),
    Mode("relevance", {"pixels": "encoded", **RELEVANCE}, Size(12, 12), 2.0),
    Mode("patches", {"pixels": "patches", **UNSCORED}, Size(12, 80), 3.5),
)
USUAL = Size(12, 60)
"""Of the usual loop, whose work is the same in every mode."""


def write_job(mode: Mode, folder: Path, shards: str, output: Path) -> Path | None:
    """The job file of a mode; None where this version cannot do it."""
    known = set(mode.set_only_if_known) <= set(Job.model_fields)
    if mode.is_new and not known:
        return None
    job = {
        "name": mode.name,
        "input": {"shards": shards, "format": "pairs"},
        "output": str(output),
        "profile": PROFILE,
        "tokenizer": str(TOKENIZER),
        "sequence_length": SEQUENCE_LENGTH,
        "pack": {"limits": LIMITS, "long_documents": "split"},
        "unit": {"target_shards": 1},
        **mode.fields,
        **(mode.set_only_if_known if known else {}),
    }
    path = folder / f"{mode.name.replace(', ', '-')}.yaml"
    path.write_text(yaml.safe_dump(job, sort_keys=False), "utf-8")
    load_job(str(path), [])
    return path
