"""Whatever a document holds: rules name nodes that are there, once, and look at nothing that is not theirs."""

import dataclasses

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.filters import FilterConfig
from operators.filters.document import Document, Node
from operators.filters.presets import PRESETS
from tests.operators.filters.making import PROSE, unit

RULES = (
    *{name: rule for rules in PRESETS.values() for name, rule in rules.items()}.values(),
    *FilterConfig(blur=True, near_duplicate=True).rules(),
)
SHADES = [np.random.default_rng(seed).integers(0, 256, (12, 14), np.uint8) for seed in range(3)]
texts = st.one_of(st.text(max_size=60), st.sampled_from([PROSE, "the " * 30, "这是一个句子。", "", "\ud800"]))


@st.composite
def documents(draw):
    numbers = sorted(draw(st.sets(st.integers(0, 40), max_size=12)))
    nodes = []
    for number in numbers:
        row = unit(*draw(st.tuples(st.integers(-3, 3), st.integers(1, 3), st.integers(-3, 3))))
        if draw(st.booleans()):
            nodes.append(Node(number, draw(texts), embedding=row * draw(st.sampled_from([0, 1]))))
            continue
        width, height = draw(st.integers(1, 3000)), draw(st.integers(1, 3000))
        form, digest = draw(st.sampled_from(["jpeg", "gif"])), draw(st.sampled_from([b"a", b"b"]))
        shades = draw(st.sampled_from(SHADES))
        nodes.append(Node(number, None, None, width, height, form, digest, 9, shades, None, row))
    return Document(draw(st.text(max_size=5)), tuple(nodes))


def verdicts(document):
    return [list(rule.faults(document)) for rule in RULES]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(documents())
def test_a_rule_names_nodes_that_are_there_once_and_says_why(document):
    there = {node.number for node in document.nodes}
    for rule, faults in zip(RULES, verdicts(document), strict=True):
        if rule.level == "document":
            assert len(faults) <= 1
            assert all(fault.node is None or fault.node in there for fault in faults)
        else:
            named = [fault.node for fault in faults]
            assert set(named) <= there
            assert len(set(named)) == len(named)
        assert all(fault.detail and len(fault.detail.splitlines()) == 1 for fault in faults)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(documents(), st.text(max_size=5))
def test_fields_that_no_rule_reads_change_nothing(document, role):
    moved = [
        dataclasses.replace(node, role=role, num_bytes=node.num_bytes + 1, colour=np.zeros((2, 2, 3), np.uint8))
        for node in document.nodes
    ]
    assert verdicts(dataclasses.replace(document, nodes=tuple(moved))) == verdicts(document)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(documents())
def test_what_a_node_rule_has_left_it_leaves(document):
    for rule in RULES:
        if rule.level == "node":
            gone = {fault.node for fault in rule.faults(document)}
            left = tuple(node for node in document.nodes if node.number not in gone)
            if rule.reason not in {"filter-stopwords", "filter-flagged-words"}:  # the document's language may move
                assert list(rule.faults(dataclasses.replace(document, nodes=left))) == []
