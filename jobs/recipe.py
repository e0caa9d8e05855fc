"""The recipe of a job: all but the input that changes a byte of its data set."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from typing import Any

from PIL import features

from jobs.filtering import filters_recipe
from jobs.reducing import reduce_recipe
from jobs.sections import computes_on
from jobs.spec import NOT_RECIPE, Job, local_target, resizes_with
from operators.decode import Decode
from operators.derive import Derive
from operators.deriving.views import instructions
from operators.filters import FILTER_VERSION
from operators.pack import Pack
from operators.profiles import Profile
from operators.reduce import Reduce
from operators.relevance.located import dtype_of
from operators.slice import Slice
from operators.tokenize import Tokenize
from operators.tokenizers import Tokenizer
from operators.weights import SCORE_VERSION, ScoreConfig
from operators.write import Write
from pipeline.ledger import FILTER
from pipeline.read import READ_VERSION
from pipeline.schema import SCHEMA_VERSION

NUMERIC_LIBRARIES = ("pillow", "pyarrow", "numpy", "scipy")


def make_recipe(job: Job, profile: Profile, model: bytes, tokenizer: Tokenizer) -> dict[str, Any]:
    """What changes a byte of any unit of the job, but encoder and codebook, which whoever finds them adds.

    model: the tokenizer's file.
    """
    fields = job.model_dump(mode="json", exclude=NOT_RECIPE)
    if job.score is not None:
        fields["score"].pop("encoder")  # held by content
    if job.discrete is not None:
        fields["discrete"].pop("codebook")  # likewise
    for name in ("max_reject_ratio", "stall_seconds", "wait_seconds"):  # whether and when a version appears
        fields["limits"].pop(name)
    if job.filters is not None:
        fields["filters"] = filters_recipe(job.filters, computes_on(job.resources.filter))
    numeric: dict[str, Any] = {name: version(name) for name in (*NUMERIC_LIBRARIES, tokenizer.library)}
    numeric |= {f"pillow.{name}": features.version(name) for name in ("jpg", "webp", "zlib")}
    if job.score is not None or resizes_with(job, profile) == "torch":
        numeric |= {"torch": version("torch").partition("+")[0]}
    if job.score is not None:
        numeric |= _encoder_class(job.score, computes_on(job.resources.score))
    operators = {kind.name: kind.version for kind in (Decode, Derive, Slice, Tokenize, Pack, Write)}
    if job.filters is not None:
        operators |= {FILTER: FILTER_VERSION}
    if job.reduce:
        operators |= {Reduce.name: Reduce.version}
        fields["reduce"] = reduce_recipe(job.reduce)
    return {
        "schema_version": SCHEMA_VERSION,
        "job": fields,
        "instructions": instructions(job.derive),
        "profile": profile.model_dump(mode="json", exclude={"about"}),
        "tokenizer": {"sha256": hashlib.sha256(model).hexdigest(), "special_tokens": dict(tokenizer.special_ids)},
        "operators": operators | {"read": READ_VERSION, "score": SCORE_VERSION},
        "numeric_class": numeric,
    }


def encoder_path(config: ScoreConfig) -> str | None:
    """The encoder of a job as an absolute path; None: the small one that ships."""
    return None if config.encoder is None else str(local_target(config.encoder))


def _encoder_class(config: ScoreConfig, device: str) -> dict[str, str]:
    """What the encoder computes on and in; the other maps are integers, which no device changes."""
    if not config.participatory:
        return {"dtype": "integer"}
    return {"device": device, "dtype": dtype_of(encoder_path(config), device)}
