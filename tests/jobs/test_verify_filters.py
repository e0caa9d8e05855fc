"""Every lie about what filters took out, and about what their rules compare, is found."""

from __future__ import annotations

import re
import shutil

import pytest
from rewriting import Output

from jobs.verify import verify
from tests.support import build, write_shard
from tests.test_damage import picture
from tests.test_filters import PLAIN, RULES, TEXT, document


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    small, large = picture(1, size=(20, 20)), [picture(i) for i in range(3)]
    members = document("a", [TEXT.format("first")], [large[0]])
    members |= document("b", [TEXT.format("second")], [small, large[1]])
    members |= document("c", [TEXT.format("third")], [small])
    members |= document("d", [TEXT.format("first")], [large[0]])
    shard = write_shard(folder / "in.tar", members)
    build(folder / "out", str(shard), *PLAIN, RULES, "limits.max_reject_ratio=1")
    return folder / "out"


@pytest.fixture
def output(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "out")
    return Output(tmp_path / "out")


def rejected(key, segment=None, **said):
    """A lie about one row of the rejects."""

    def change(rows):
        row = next(row for row in rows if (row["id"]["key"], row["segment"]) == (key, segment))
        row |= said

    return "rejects", change


def dropped(**said):
    """A lie of the index about the small picture of b."""

    def change(rows):
        (one,) = next(row for row in rows if row["id"]["key"] == "b")["dropped"]
        one |= said

    return "index", change


def shown(**said):
    """A lie of the index about the picture of a."""

    def change(rows):
        row = next(row for row in rows if row["id"]["key"] == "a")
        row["segments"][1] |= said

    return "index", change


def forgotten():
    """A dropped segment that is nowhere."""

    def change(rows):
        rows[:] = [row for row in rows if (row["id"]["key"], row["segment"]) != ("b", 1)]

    return "rejects", change


OTHER = r"\(b\): drops segment 1 for another reason in the index than among the rejects"
LIES = {
    "forgotten": (forgotten(), r"\(b\): drops the segments \[1\] in the index and \[\] among the rejects"),
    "place": (rejected("b", 1, offset=0), r"\(b\): drops the segments \[1\] in the index and \[1\] among"),
    "reason": (rejected("b", 1, reason="filter-aspect"), r"segment 1 of .* \(b\) breaks the rules"),
    "reason of no filter": (rejected("b", 1, reason="decode-error"), r"segment 1 of .* \(b\) breaks the rules"),
    "detail": (rejected("b", 1, detail="too small"), OTHER),
    "no rules": (rejected("b", 1, rules=[]), r"\(b\) breaks the rules \[\], and has the reason filter-size; the job"),
    "rule of no job": (rejected("b", 1, rules=["filter-size", "filter-spam"]), r"\(b\) breaks the rules .*filter-spam"),
    "sample's rule of no job": (
        rejected("c", reason="filter-spam", rules=["filter-spam"]),
        r"\(c\) breaks the rules \['filter-spam'\]",
    ),
    "operator": (rejected("c", operator="decode", rules=[]), r"\(c\) has the reason filter-images of decode"),
    "rules of a duplicate": (
        rejected("d", rules=["filter-size"]),
        r"\(d\) breaks .*; none expected of what pack calls",
    ),
    "reason in the index": (dropped(reason="filter-blur"), OTHER),
    "detail in the index": (dropped(detail=""), OTHER),
    "rules in the index": (dropped(rules=[]), OTHER),
    "digest": (shown(digest=bytes(16)), r"\(a\): segment 1 has another digest in the index than its picture"),
    "encoding": (shown(encoding="base64"), r"\(a\): segment 1 has the encoding base64 in the index; None expected"),
}


def test_a_filtered_output_passes_as_it_was_built(sound):
    assert verify(str(sound)).findings == []


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_what_filters_took_out_is_found(lie, output):
    (kind, change), expected = LIES[lie]
    output.table(kind, change)
    lines = [f"{finding.where}: {finding.what}" for finding in verify(str(output.root)).findings]
    assert any(re.search(expected, line) for line in lines), lines
