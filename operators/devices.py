"""The device that an operator computes on."""

from __future__ import annotations

import torch

from pipeline.errors import ConfigError


def found_device(name: str, operator: str) -> str:
    """`cpu`, or `cuda` where torch finds a GPU; ConfigError, with the operator's field, where it finds none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"resources.{operator}.gpus asks for a GPU and torch finds none here; set it to 0, or say "
            f"resources.{operator}.device: cpu to compute on the CPU beside it"
        )
    return name
