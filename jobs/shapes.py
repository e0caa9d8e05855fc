"""The shape of a cluster in one line, as options and job files name it."""

from __future__ import annotations

import re

from pipeline.chain import Node
from pipeline.errors import ConfigError

EXAMPLE = "4x(cpus=16,gpus=1)"

Shape = tuple[Node, ...]


def parse_shape(text: str, name: str) -> Shape:
    """The nodes that `4x(cpus=16,gpus=1)` names; further kinds follow behind a plus. ConfigError for other texts.

    name: what the user calls it.
    """
    nodes: list[Node] = []
    for kind in text.replace(" ", "").split("+"):
        found = re.fullmatch(r"(?:(\d+)x)?(\()?cpus=(\d+(?:\.\d+)?)(?:,gpus=(\d+(?:\.\d+)?))?(?(2)\))", kind)
        if found is None or not int(found[1] or 1) or not float(found[3]):
            raise ConfigError(f'{name} {text}: nodes are expected, for example {name} "{EXAMPLE}"; say it like that')
        nodes += [Node(float(found[3]), float(found[4] or 0))] * int(found[1] or 1)
    return tuple(nodes)


def describe(shape: Shape) -> str:
    """The shape as `parse_shape` reads it."""
    kinds = list(dict.fromkeys(shape))
    return " + ".join(f"{shape.count(node)}x(cpus={node.cpus:g},gpus={node.gpus:g})" for node in kinds)
