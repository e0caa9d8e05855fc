"""YAML from people and from strangers: plain data, never a tag that makes an object, and bounded whatever it says."""

from __future__ import annotations

from typing import Any

import yaml

MAX_VALUES = 100_000
"""In one text: names, numbers and texts, each as often as an alias repeats it."""


def parse_yaml(text: str) -> Any:
    """The value of a YAML text. yaml.YAMLError if it is none; ValueError if it is nested too deep, if aliases make
    more than MAX_VALUES of it, and for a date that is none.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        _check_size(node)
        return None if node is None else loader.construct_document(node)
    except RecursionError as error:
        raise ValueError("lists or objects nested too deep") from error
    finally:
        loader.dispose()


def _check_size(node: yaml.Node | None) -> None:
    """ValueError if the node is over MAX_VALUES with its aliases written out; nine of nine, ten times, would hang."""
    left, nodes = MAX_VALUES, [node]
    while nodes:
        value = nodes.pop()
        left -= 1
        if left < 0:
            raise ValueError(f"aliases make more than {MAX_VALUES} values of it")
        if isinstance(value, yaml.MappingNode):
            nodes += [part for pair in value.value for part in pair]
        elif isinstance(value, yaml.SequenceNode):
            nodes += value.value
