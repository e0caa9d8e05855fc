"""What is measured: each mode as a job file, how much input it gets, and its goals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from jobs.spec import Job
from tests.support import ROOT

TOKENIZER = ROOT / "jobs" / "samples" / "tokenizer.model"
PROFILE = "qwen2_5_vl"
SEQUENCE_LENGTH = 8192
LIMITS = {"images": 64, "patches": 32768}
UNSCORED = {"score": "none", "budget": "none"}
SCORE = {"propositional": 0.5, "perspectival": 0.5, "participatory": 0.0}
"""Entropy and edges."""
BUDGET = {"rule": "lod", "min_tokens": 64, "max_tokens": 400, "max_image_tokens": 2304}


@dataclass(frozen=True, slots=True)
class Mode:
    """One kind of build."""

    name: str
    fields: dict[str, Any]
    pictures: int
    """In each shard of a full run."""
    against_usual: float | None
    """How many times the images a second of the usual loop are asked for; None: of this mode nothing is."""
    set_only_if_known: dict[str, Any] = field(default_factory=dict)
    """Fields of the job that not every version has, which then does this anyway, or cannot do it at all (`is_new`)."""
    is_new: bool = False
    """Whether a version without those fields cannot do it."""


USUAL_PICTURES = 96
"""In each shard of the usual loop, whose work is the same in every mode."""
QUICK_PICTURES = 20
"""Of a quick run, at most."""
MODES = (
    Mode("source, structure", {"pixels": "source", **UNSCORED}, 1200, 20.0, {"check": "structure"}, is_new=True),
    Mode("source, decode", {"pixels": "source", **UNSCORED}, 640, 8.0, {"check": "decode"}),
    Mode("encoded", {"pixels": "encoded", **UNSCORED}, 320, 3.0),
    Mode("relevance", {"pixels": "encoded", "score": SCORE, "budget": {**BUDGET, "spread": "even"}}, 160, 2.0),
    Mode("legible", {"pixels": "encoded", "score": SCORE, "budget": BUDGET}, 16, None),
    Mode("patches", {"pixels": "patches", **UNSCORED}, 160, 3.5),
)


def is_built(mode: Mode) -> bool:
    """Whether this version can do it."""
    return not mode.is_new or _knows(mode)


def _knows(mode: Mode) -> bool:
    return set(mode.set_only_if_known) <= set(Job.model_fields)


def write_job(mode: Mode, path: Path, shards: Sequence[Path], output: Path) -> None:
    """The job file of a mode."""
    job = {
        "name": mode.name,
        "input": {"shards": list(map(str, shards)), "format": "pairs"},
        "output": str(output),
        "profile": PROFILE,
        "tokenizer": str(TOKENIZER),
        "sequence_length": SEQUENCE_LENGTH,
        "pack": {"limits": LIMITS, "long_documents": "split"},
        "unit": {"target_shards": 1},
        **mode.fields,
        **(mode.set_only_if_known if _knows(mode) else {}),
    }
    path.write_text(yaml.safe_dump(job, sort_keys=False), "utf-8")
