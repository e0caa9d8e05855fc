"""From the `discrete` of a job to its ids, its stage, and what a recipe says of it."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jobs.sections import computes_on
from jobs.spec import Job, local_target
from operators.discrete.config import DISCRETISE_VERSION, DiscreteConfig
from operators.discrete.layouts import LAYOUTS, DiscreteIds
from operators.discrete.located import Found, find_codebook
from operators.tokenizers import Tokenizer
from pipeline.chain import Pool, Stage
from pipeline.errors import ConfigError
from pipeline.monitor import Beat
from pipeline.operator import Operator

NAME = "discretise"


def found_codebook(config: DiscreteConfig) -> Found:
    """The codebook of a job. ConfigError where there is none, or none that its layout takes."""
    found = find_codebook(local_target(config.codebook))
    known = LAYOUTS[config.layout].downsamples
    if found.downsample not in known:
        raise ConfigError(
            f"codebook {config.codebook} has {found.downsample} pixels a code; layout {config.layout} expects "
            f"{' or '.join(map(str, known))}: choose another layout or codebook"
        )
    return found


def discrete_ids(config: DiscreteConfig, found: Found, tokenizer: Tokenizer) -> DiscreteIds:
    """The ids behind those of the tokenizer and its special tokens."""
    return DiscreteIds(config.layout, tokenizer.size, found.num_codes)


def discretise_stages(job: Job, pool: Pool | None) -> list[Stage]:
    """The stage of a job with discrete pictures, in a pool of its own or with `decode`; none without them."""
    if job.discrete is None:
        return []
    device = computes_on(job.resources.discretise)
    return [Stage(NAME, partial(_build, local_target(job.discrete.codebook), device), pool)]


def discrete_recipe(job: Job, found: Found, ids: DiscreteIds) -> dict[str, Any]:
    """What changes their ids: the codebook by its content; the device and torch where codes depend on them."""
    recipe: dict[str, Any] = {
        "codebook": found.identity,
        "codes": found.num_codes,
        "downsample": found.downsample,
        "first_id": ids.first,
        "version": DISCRETISE_VERSION,
    }
    if found.is_exact:
        return recipe
    return recipe | {"device": computes_on(job.resources.discretise), "torch": version("torch").partition("+")[0]}


def _build(path: Path, device: str, _: Beat) -> Operator:
    from operators.discrete.coding import open_coder  # torch takes seconds to import: only these actors pay for it
    from operators.discretise import Discretise

    return Discretise(open_coder(path, device))
