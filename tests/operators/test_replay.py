"""A unit comes out of its index and its rejects as `pack` first had it."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import build, write_shard, write_small_shards

from operators.pack import Pack
from operators.replay import rejected_row, replay
from pipeline import ledger
from pipeline.schema import REJECTS
from pipeline.types import Older, Shard, Source, Unit
from tests.test_damage import members, picture

REJECTION = {
    "operator": "decode",
    "reason": "decode-error",
    "detail": "cut",
    "member": "a.1.png",
    "offset": 9,
    "size": 4,
    "rules": [],
}
SEGMENTS = [{"number": i, "member": f"a.{i}.png", "offset": 8 + i, "size": 4} for i in range(3)]


@pytest.mark.parametrize(
    ("segments", "rejection"),
    [
        (SEGMENTS, REJECTION | {"segment": 1}),
        (SEGMENTS, REJECTION | {"segment": None}),
        (SEGMENTS, REJECTION | {"segment": None, "member": "", "offset": 0, "size": 0}),
        ([], REJECTION | {"segment": None, "member": "", "offset": 512}),
    ],
)
def test_a_sample_made_of_reject_rows_makes_them_again(segments, rejection):
    row = {"shard": "a.tar", "key": "a", "ordinal": 3, "segments": segments, "dropped": [], "rejection": rejection}
    rejects = pa.Table.from_pylist(ledger.reject_rows(row, rejection), REJECTS).to_pylist()
    again = rejected_row(rejects)
    assert ledger.reject_rows(again, again["rejection"]) == ledger.reject_rows(row, rejection)


def test_rows_are_those_that_were_packed(tmp_path):
    pattern = write_small_shards(tmp_path / "in", 2, 4)
    write_shard(tmp_path / "in" / "small-000001.tar", members(3) | {"0001.0.png": picture(1)[:50]})
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        original = Pack.__call__
        patch.setattr(Pack, "__call__", lambda self, table: (seen.append(table), original(self, table))[1])
        build(tmp_path / "out", pattern, "unit.target_shards=8", "limits.max_reject_ratio=1")
    expected = [row for table in seen for row in table.to_pylist()]
    ends = [row["shard_end"] for row in expected if row["shard_end"] is not None]
    index, rejects = (str(next((tmp_path / "out" / kind).iterdir())) for kind in ("index", "rejects"))
    shards = tuple(Shard(f"small-00000{i}.tar", "") for i in range(2))
    unit = Unit(0, shards, Source("interleaved"), older=Older(index, rejects, (), tuple(ends), {}))
    found = [row for table in replay(unit, 0) for row in table.to_pylist()]
    assert list(replay(unit, 1)) == []
    assert len(found) == len(expected) == 4 + 3 + 2

    def known(row):
        """What an index tells of a row: neither the turns of its segments nor what kind a rejected one's were."""
        names = ("member", "offset", "size") if row["rejection"] else ("kind", "member", "offset", "size", "role")
        trimmed = [{name: segment[name] for name in names} for segment in row["segments"]]
        # Of a document, empty means that all are trained.
        return row | {"segments": trimmed, "trained": [], "pictures": row["pictures"] if not row["rejection"] else []}

    def order(row):
        return row["shard_number"], row["ordinal"]

    assert sorted(map(known, found), key=order) == sorted(map(known, expected), key=order)
    assert pq.read_table(rejects).num_rows > 1


def test_what_was_dropped_of_a_rejected_sample_is_told_from_its_other_segments():
    dropped = [SEGMENTS[2] | {"segment": 2, "reason": "filter-size", "detail": "small", "rules": ["filter-size"]}]
    dropped = [{name: value for name, value in one.items() if name != "number"} for one in dropped]
    for operator, reason in (("filter", "filter-images"), ("pack", "no-loss")):
        rejection = REJECTION | {"segment": None, "operator": operator, "reason": reason, "rules": []}
        row = {"shard": "a.tar", "key": "a", "ordinal": 3, "segments": SEGMENTS[:2], "dropped": dropped}
        rows = [*ledger.reject_rows(row, rejection), *ledger.dropped_rows(row)]
        rejects = pa.Table.from_pylist(ledger.sort_rejects(rows, {"a.tar": 0}), REJECTS).to_pylist()
        again = rejected_row(rejects)
        assert again["dropped"] == dropped
        assert again["segments"] == SEGMENTS[:2]
        assert again["rejection"] == rejection


def test_a_sample_rejected_for_what_its_texts_were_dropped_for_makes_its_rows_again():
    """Of a document of no word, each text has 0, and so has what is left."""
    cause = {"reason": "filter-words", "detail": "0 words; 4 to 50 expected", "rules": ["filter-words"]}
    place = {"member": "a.json", "offset": 8, "size": 4}
    dropped = [place | {"segment": number} | cause for number in (1, 2)]
    rejection = place | {"operator": "filter", "segment": None} | cause
    row = {"shard": "a.tar", "key": "a", "ordinal": 3, "segments": SEGMENTS[:1], "dropped": dropped}
    rows = ledger.sort_rejects([*ledger.reject_rows(row, rejection), *ledger.dropped_rows(row)], {"a.tar": 0})
    again = rejected_row(pa.Table.from_pylist(rows, REJECTS).to_pylist())
    made = [*ledger.reject_rows(again, again["rejection"]), *ledger.dropped_rows(again)]
    assert ledger.sort_rejects(made, {"a.tar": 0}) == rows


def test_a_conversation_rejected_for_one_picture_makes_its_rows_again():
    cause = {"reason": "filter-size", "detail": "small", "rules": ["filter-size"]}
    rejection = {"operator": "filter", "segment": 1, "member": "a.1.png", "offset": 9, "size": 4} | cause
    row = {"shard": "a.tar", "key": "a", "ordinal": 3, "segments": SEGMENTS, "dropped": []}
    rows = ledger.reject_rows(row, rejection)
    again = rejected_row(pa.Table.from_pylist(rows, REJECTS).to_pylist())
    made = [*ledger.reject_rows(again, again["rejection"]), *ledger.dropped_rows(again)]
    assert ledger.sort_rejects(made, {"a.tar": 0}) == rows
