"""Rules are applied one after the other, and a verdict names every rule that is broken."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from operators.filters.document import Document, Fault, Node, Rule
from operators.filters.sift import judge, sift
from pipeline.errors import Reason


class Narrow(Rule):
    """Images at most as wide as `max`."""

    reason: ClassVar[Reason] = Reason.FILTER_SIZE
    level: ClassVar[Literal["node", "document"]] = "node"
    max: int = 100

    def faults(self, document: Document) -> Iterator[Fault]:
        for node in document.images:
            if node.width > self.max:
                yield Fault(f"{node.width} wide", node.number)


class Once(Rule):
    """Of images of one width the first."""

    reason: ClassVar[Reason] = Reason.FILTER_REPEATED_IMAGE
    level: ClassVar[Literal["node", "document"]] = "node"

    def faults(self, document: Document) -> Iterator[Fault]:
        seen = set()
        for node in document.images:
            if node.width in seen:
                yield Fault("again", node.number)
            seen.add(node.width)


class Some(Rule):
    """At least `min` images."""

    reason: ClassVar[Reason] = Reason.FILTER_IMAGES
    level: ClassVar[Literal["node", "document"]] = "document"
    min: int = 1

    def faults(self, document: Document) -> Iterator[Fault]:
        if len(document.images) < self.min:
            yield Fault(f"{len(document.images)} images")


class Short(Rule):
    """At most `max` texts; names the first one too many."""

    reason: ClassVar[Reason] = Reason.FILTER_WORDS
    level: ClassVar[Literal["node", "document"]] = "document"
    max: int = 1

    def faults(self, document: Document) -> Iterator[Fault]:
        for node in document.texts[self.max : self.max + 1]:
            yield Fault(f"{len(document.texts)} texts", node.number)


def document(*widths_or_texts):
    nodes = [
        Node(i, part, None) if isinstance(part, str) else Node(i, None, None, width=part)
        for i, part in enumerate(widths_or_texts)
    ]
    return Document("k", tuple(nodes))


def test_each_rule_sees_what_those_before_it_left():
    left, dropped = sift(document(200, "a", 200, 50, 50), [Narrow(), Once()])
    assert [node.number for node in left.nodes] == [1, 3]
    assert {number: verdict.reason for number, verdict in dropped.items()} == {
        0: "filter-size",
        2: "filter-size",
        4: "filter-repeated-image",
    }


def test_a_verdict_names_every_rule_that_its_node_breaks_in_the_whole_document():
    _, dropped = sift(document(200, 200), [Narrow(), Once()])
    assert dropped[0].rules == ("filter-size",)
    assert dropped[1].rules == ("filter-size", "filter-repeated-image")
    assert dropped[1].detail == "200 wide"


def test_a_document_that_keeps_the_rules_is_left_as_it_is():
    whole = document("a", 50)
    assert sift(whole, [Narrow(), Once()]) == (whole, {})
    assert judge(whole, [Some(), Short()]) is None
    assert judge(whole, []) is None


def test_document_rules_judge_by_the_first_and_name_all():
    verdict = judge(document("a", "b"), [Some(), Short()])
    assert (verdict.reason, verdict.detail, verdict.node) == ("filter-images", "0 images", None)
    assert verdict.rules == ("filter-images", "filter-words")
    assert judge(document("a", "b", 9), [Some(), Short()]).node == 1
