"""From the `filters` of a job to the stage that applies them, and to what a recipe says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

from jobs.spec import absolute, local_target
from operators.filters import FilterConfig
from operators.filters.document import Rule
from operators.relevance.located import dtype_of, identity_of, located
from pipeline import storage
from pipeline.chain import Pool, Stage
from pipeline.ledger import FILTER
from pipeline.monitor import Beat
from pipeline.operator import Operator


def filter_stages(config: FilterConfig | None, pool: Pool | None, device: str, *, keeps_smalls: bool) -> list[Stage]:
    """The stage of a job's rules, in a pool of their own or with the operator before; none without rules.

    device: of their encoder, `cpu` or `cuda`. keeps_smalls: whether anybody behind it wants pictures' small copies.
    """
    if config is None or not config.rules():
        return []
    rules = [_placed(rule) for rule in config.rules()]
    encoder = _encoder(config) if config.needs() == "encoder" else None
    build = partial(_build, rules, encoder, needs=config.needs(), device=device, keeps_smalls=keeps_smalls)
    return [Stage(FILTER, build, pool)]


def filters_recipe(config: FilterConfig, device: str) -> dict[str, Any]:
    """What changes their verdicts: rules with their thresholds, files by their content, libraries and device."""
    rules = {
        name: {field: _content(value, rule) for field, value in rule.model_dump(mode="json").items()}
        for name, rule in config.named_rules().items()
    }
    found: dict[str, Any] = {"rules": rules, "dedup": None if config.dedup is None else config.dedup.model_dump()}
    if config.needs() == "encoder":
        found["encoder"] = identity_of(located(_encoder(config)))
        found["torch"] = version("torch").partition("+")[0]
        found |= {"device": device, "dtype": dtype_of(_encoder(config), device)}
    if any(rule.needs == "text" for rule in config.rules()):
        found["py3langid"] = version("py3langid")
    return found


def _content(value: Any, rule: Rule) -> Any:
    return hashlib.sha256(storage.read_bytes(absolute(value))).hexdigest() if value in rule.files() else value


def _placed(rule: Rule) -> Rule:
    """The rule with absolute paths: actors of a cluster have another working directory."""
    moved = {name: absolute(value) for name, value in rule if isinstance(value, str) and value in rule.files()}
    return rule.model_copy(update=moved)


def _encoder(config: FilterConfig) -> str | None:
    return None if config.encoder is None else str(local_target(config.encoder))


def _build(
    rules: Sequence[Rule], encoder: str | None, _: Beat, *, needs: str, device: str, keeps_smalls: bool
) -> Operator:
    from operators.devices import found_device
    from operators.filter import Filter  # torch takes seconds to import: only the actors that filter pay for it
    from operators.relevance.participatory import open_encoder

    found = open_encoder(encoder, found_device(device, FILTER)) if needs == "encoder" else None
    return Filter(rules, found, keeps_smalls=keeps_smalls)
