"""Damages of a 20-member tar, and how many are detected: `python -m tests.benchmarks.reliability.damage`.

Detected, strictly: a flip in a header loses exactly the member behind that header, one damage of reason tar-header
covers exactly its bytes, and every other member has its own; where no damage is named, all members are as in the sound
tar, which can only be for the eight bytes of the checksum field (blanks and zeros around its digits say nothing). A cut
gives every member whose data is whole, and one damage from the end of the last to the end of the file.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from tests.pipeline.test_tar import FORMATS, check_cuts, check_flips, layout, make_tar, many

MASKS = (0xFF,)
"""All bits of a byte; single ones are in the slow tests."""
QUICK_STRIDE = 29


def measure(*, quick: bool) -> dict[str, Any]:
    """Cases and those detected: flips of each header byte, cuts at each 512 bytes and at every seventh."""
    by_kind: dict[str, Any] = {}
    missed: list[str] = []
    stride = QUICK_STRIDE if quick else 1
    for kind in FORMATS:
        files = many(20, long_names=kind != "ustar")
        data = make_tar(files, kind)
        blocks = sum(len({start, header}) for start, header, _, _ in layout(data))
        flips = -(-blocks * 512 * len(MASKS) // stride)
        cuts = [*range(0, len(data), 512), *range(0, len(data), 7 * stride)]
        found = {"flips": flips, "cuts": len(cuts), "detected": 0}
        checks = ((flips, check_flips, (stride, MASKS)), (len(cuts), check_cuts, (lambda _, cuts=cuts: cuts,)))
        for count, check, options in checks:
            try:
                check(files, kind, *options)
                found["detected"] += count
            except AssertionError as error:
                missed.append(f"{kind}: {error!s:.200}")
        by_kind[kind] = found
    cases = sum(one["flips"] + one["cuts"] for one in by_kind.values())
    detected = sum(one["detected"] for one in by_kind.values())
    return {"cases": cases, "detected": detected, "missed": missed, "by_kind": by_kind}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(measure(quick=parser.parse_args().quick), indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
