"""What rules of text share: one judgement, of each text by itself or of all texts of a document together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

from operators.filters.document import Document, Fault, Rule


class TextRule(Rule):
    """A rule of text: of level `node` it drops texts, of level `document` it rejects documents."""

    @abstractmethod
    def complaint(self, text: str) -> str | None:
        """What is wrong with one text, or with all of a document as one; None: nothing, or no words to judge."""

    def faults(self, document: Document) -> Iterator[Fault]:
        if self.level == "document":
            if detail := self.complaint(document.text):
                yield Fault(detail)
            return
        for node, text in document.judged():
            if detail := self.complaint(text):
                yield Fault(detail, node.number)
