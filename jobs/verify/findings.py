"""What a check says: where something is untrue and what, one line each; and how much was looked at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

SHOWN = 20
"""Findings printed; --json has all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the output says and that is not so."""

    where: str
    what: str


@dataclass(slots=True)
class Report:
    """The outcome of one check."""

    output: str
    version: int
    findings: list[Finding] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    """What is true and worth knowing all the same: orphans, shards that nobody packed."""

    def add(self, where: str, what: str) -> None:
        self.findings.append(Finding(where, what))

    def expect(self, where: str, what: str, found: object, expected: object) -> bool:
        """Whether `found` equals `expected`; a finding if not."""
        if found == expected:
            return True
        self.add(where, f"{what} is {_short(found)}; {_short(expected)} expected")
        return False

    def to_dict(self) -> dict[str, Any]:
        """The whole report as JSON has it."""
        return {
            "output": self.output,
            "version": self.version,
            "ok": not self.findings,
            "checked": dict(self.checked),
            "notes": self.notes,
            "findings": [{"where": finding.where, "what": finding.what} for finding in self.findings],
        }

    def to_lines(self) -> list[str]:
        """The report for a terminal, with the first SHOWN findings."""
        amounts = ", ".join(f"{count:,} {what}" for what, count in self.checked.items())
        lines = [f"{self.output}, version {self.version}; checked: {amounts}", *self.notes]
        if not self.findings:
            return [*lines, "nothing untrue was found"]
        lines += [f"{finding.where}: {finding.what}" for finding in self.findings[:SHOWN]]
        if len(self.findings) > SHOWN:
            lines.append(f"... and {len(self.findings) - SHOWN:,} more; --json lists all")
        return [*lines, f"untrue: {len(self.findings):,}"]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
