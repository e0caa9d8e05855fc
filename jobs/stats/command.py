"""`lodepack stats`: checks the call, counts, and prints unless only the figures are wanted."""

from __future__ import annotations

from typing import Any

from jobs.inspect.output import open_output
from jobs.stats.facts import total
from jobs.stats.gather import gather
from jobs.stats.screen import print_statistics
from jobs.stats.tables import describe


def statistics(url: str, *, version: int | None, show: bool) -> dict[str, Any]:
    """What is in a version of the output at `url`, the newest by default: `sources` by name, and `all` together.

    Each of them has the keys of `describe`. ConfigError if there is no such output or version.
    """
    output = open_output(url, version)
    found = gather(output)
    report = {
        "output": output.url,
        "version": output.number,
        "profile": output.recipe["profile"]["name"],
        "sources": {name: describe(facts) for name, facts in found.items()},
        "all": describe(total(found.values())),
    }
    if show:
        print_statistics(report)
    return report
