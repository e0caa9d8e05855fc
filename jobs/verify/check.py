"""What every part of a check needs: the output, its recipe, the tokenizer, and where the inputs are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jobs.verify.records import Recipe, SourceEntry
from jobs.verify.replan import Planner
from jobs.verify.text import Text


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one output. urls: of each shard by name; takes: samples that a limited run takes of each shard.

    sources: of each unit by id.
    """

    output: str
    recipe: Recipe
    text: Text
    planner: Planner
    urls: Mapping[str, str]
    takes: Mapping[str, int]
    sources: Mapping[str, SourceEntry]
