"""Applies rules to one document: node rules drop single nodes, document rules judge what they have left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from operators.filters.document import Document, Fault, Rule
from pipeline.errors import Reason


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a node is dropped or a document rejected: by the first rule that it breaks, beside all that it breaks."""

    reason: Reason
    detail: str
    node: int | None
    rules: tuple[str, ...]
    """Reasons, in the order of the rules; `reason` is the first of them."""


def sift(document: Document, rules: Sequence[Rule]) -> tuple[Document, dict[int, Verdict]]:
    """What node rules leave of a document, and the verdict of each node that they drop, by its number.

    Each rule sees what those before it have left: of two equal pictures the second stays where the first is too small.
    `rules` of a verdict are those that the node breaks in the whole document: by them one tells how rules overlap.
    """
    left = document
    first: dict[int, tuple[Rule, Fault]] = {}
    for rule in rules:
        found = {fault.node: (rule, fault) for fault in rule.faults(left) if fault.node is not None}
        first |= found
        left = replace(left, nodes=tuple(node for node in left.nodes if node.number not in found))
    if not first:
        return left, {}
    broken = {number: [rule.reason] for number, (rule, _) in first.items()}
    for rule, fault in _faults(document, rules):
        if fault.node is not None and rule.reason not in broken.get(fault.node, [rule.reason]):
            broken[fault.node].append(rule.reason)
    return left, {number: _verdict(rule, fault, broken[number]) for number, (rule, fault) in first.items()}


def judge(document: Document, rules: Sequence[Rule]) -> Verdict | None:
    """The verdict of document rules on what is left of a document; None: it may be packed."""
    faults = list(_faults(document, rules))
    return _verdict(*faults[0], [rule.reason for rule, _ in faults]) if faults else None


def _faults(document: Document, rules: Sequence[Rule]) -> Iterator[tuple[Rule, Fault]]:
    return ((rule, fault) for rule in rules for fault in rule.faults(document))


def _verdict(rule: Rule, fault: Fault, broken: Sequence[Reason]) -> Verdict:
    return Verdict(rule.reason, fault.detail, fault.node, tuple(dict.fromkeys(map(str, broken))))
