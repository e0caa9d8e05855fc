"""Fewer visual tokens, by name: what each method leaves out, merges, pools or drops on the way, as plans."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from operators.reduction.dyrate import DyRate
from operators.reduction.frame_pool import FramePool
from operators.reduction.hires_restore import HiresRestore
from operators.reduction.mustdrop import MustDrop
from operators.reduction.mustdrop_merge import MustDropMerge
from operators.reduction.prumerge import PruMerge
from operators.reduction.rank import Rank
from operators.reduction.self_mining import SelfMining
from operators.reduction.sparsevlm import SparseVLM
from operators.reduction.tokenflex import TokenFlex, TokenFlexByScores
from operators.reduction.tome import ToMe
from operators.reduction.visionzip import VisionZip
from operators.reduction.wico import WiCo, WiCoPlus

AnyMethod = Annotated[
    DyRate
    | FramePool
    | HiresRestore
    | MustDrop
    | MustDropMerge
    | PruMerge
    | Rank
    | SelfMining
    | SparseVLM
    | TokenFlex
    | TokenFlexByScores
    | ToMe
    | VisionZip
    | WiCo
    | WiCoPlus,
    Field(discriminator="method"),
]
"""A method of a job, by its name."""
