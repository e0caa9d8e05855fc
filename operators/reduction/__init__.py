"""Fewer visual tokens, by name: what each method leaves out, merges, pools or drops on the way, as plans."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from operators.reduction.rank import Rank
from operators.reduction.wico import WiCo, WiCoPlus

AnyMethod = Annotated[Rank | WiCo | WiCoPlus, Field(discriminator="method")]
"""A method of a job, by its name."""
