"""A measured row comes back from an index as it was, and a closing unit packs every row that it is given."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import QUICKSTART, ROOT, SAMPLES, build

from jobs.chain import resolve_job
from jobs.spec import load_job
from operators.closing import close
from operators.fitting import Fitter, PackConfig
from operators.gathering import Gathering
from operators.layout import Part, lay_out
from operators.measured import measured_from_index
from pipeline.closing import Carried, Closing
from pipeline.schema import INDEX
from pipeline.tasks import DATA, SUMMARY, from_stream, note_of
from pipeline.types import Source


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The bundled shards' index, and the rows that `pack` had for it."""
    output = tmp_path_factory.mktemp("closing") / "out"
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        original = Gathering.admit
        patch.setattr(Gathering, "admit", lambda self, table: (seen.append(table), original(self, table)))
        build(output, str(SAMPLES[0]), "pixels=none")
    (path,) = (output / "index").glob("*.parquet")
    measured = [row for table in seen for row in table.to_pylist() if row["shard_end"] is None]
    return pq.read_table(path), sorted(measured, key=lambda row: row["ordinal"])


@pytest.fixture(scope="module")
def resolved(tmp_path_factory):
    fields = [f"tokenizer={ROOT}/jobs/samples/tokenizer.model"]
    return resolve_job(load_job(str(QUICKSTART), fields, input__shards=str(SAMPLES[0]), output="out"))


def test_documents_from_an_index_are_laid_out_as_those_that_were_indexed(built, resolved):
    index, measured = built
    again = measured_from_index(index, 0, {SAMPLES[0].name: 0}).to_pylist()
    assert len(again) == len(measured) > 20
    for old, new in zip(measured, again, strict=True):
        whole = Part(0, len(old["segments"]))
        one, other = (lay_out(row, whole, resolved.vocabulary, resolved.profile.positions) for row in (old, new))
        for name in ("ids", "labels", "positions", "modality"):
            assert (getattr(one, name) == getattr(other, name)).all(), name
        assert one.view_starts == other.view_starts
        assert new["plans"] == old["plans"]
        assert new["relevances"] == old["relevances"]
        assert new["pictures"] == old["pictures"]


def test_a_closing_unit_packs_every_row_once_and_counts_it_below_zero(built, resolved):
    index, _ = built
    rows = index.slice(0, 17)
    closing = Closing(-1, "c" * 16, Source("interleaved"), ("a" * 16, "b" * 16), ("a.parquet", "b.parquet"))
    found = Carried(rows, {SAMPLES[0].name: "/in/a.tar"})
    tables = list(close(closing, found, Fitter(PackConfig(closing=True), 8192, resolved.vocabulary)))
    tasks = [task for table in tables for task in table.to_pylist()]
    placed = []
    for task in tasks:
        if task["kind"] == DATA:
            documents = from_stream(task["payload"]).to_pylist()
            placed += [documents[number]["ordinal"] for pack in note_of(task)["packs"] for number, *_ in pack]
    assert sorted(placed) == [row["ordinal"] for row in rows["id"].to_pylist()]
    summary = note_of(next(task for task in tasks if task["kind"] == SUMMARY))
    assert summary["counts"]["sample"] == {"repeated": 0, "carried": -17}
    assert summary["closes"] == ["a" * 16, "b" * 16]
    assert summary["reports"] == len(tasks)


def test_no_rows_of_an_index_are_no_measured_rows():
    assert measured_from_index(pa.Table.from_pylist([], schema=INDEX), 0, {}).num_rows == 0
