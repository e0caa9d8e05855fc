"""A unit closes when all of it has arrived, whatever the order, and everything in it is packed or accounted for."""

from collections import Counter
from dataclasses import asdict

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.fitting import PackConfig, PackLimits
from operators.layout import Part, framing_tokens, segment_tokens
from operators.pack import Pack
from operators.profiles import load_profile
from operators.vocabulary import Vocabulary
from pipeline.copies import num_copies
from pipeline.errors import Reason
from pipeline.ledger import close_counts, reject_rows, without_copies
from pipeline.schema import MEASURED, RELEVANCES
from pipeline.tasks import DATA, INDEX, PACKS_PER_FILE, SUMMARY, TASK, from_stream, note_of
from pipeline.units import unit_id
from tests.support import totals_of

PROFILE = load_profile("qwen2_5_vl")
VOCABULARY = Vocabulary(placeholder=90, document_start=None, document_end=94, padding=95, size=99, num_added=0)
STARTED = Vocabulary(placeholder=90, document_start=93, document_end=94, padding=95, size=99, num_added=0)
UNITS = {4: {"a.tar": "/in/a.tar", "b.tar": "/in/b.tar"}}
RECIPE = "recipe"
LENGTH = 64
REJECTION = {
    "operator": "decode",
    "reason": "decode-error",
    "detail": "cut",
    "member": "m1",
    "offset": 1024,
    "size": 100,
    "segment": 1,
    "rules": [],
}


def plan_of(width, height):
    plan = asdict(PROFILE.slicing.plan(width, height, PROFILE.tokens.by_role()))
    return plan, [{"id": 90, **{k: run[k] for k in ("modality", "view", "count")}} for run in plan["layout"]]


def row_of(shard, ordinal, parts, unit=4, **changes):
    """A MEASURED row; a part is a number of text tokens or a (width, height)."""
    images = [plan_of(*part) for part in parts if isinstance(part, tuple)]
    return {
        "unit": unit,
        "shard": list(UNITS[4])[shard],
        "shard_number": shard,
        "ordinal": ordinal,
        "key": f"{shard}-{ordinal}",
        "segments": [
            {
                "number": i,
                "kind": int(isinstance(part, tuple)),
                "text": None,
                "member": f"m{i}",
                "offset": 512 * (i + 1),
                "size": 100,
                "encoding": None,
                "role": None,
                "turn": 0,
            }
            for i, part in enumerate(parts)
        ],
        "dropped": [],
        "num_derived": 0,
        "withheld": False,
        "rejection": None,
        "shard_end": None,
        "pictures": [{"width": 9, "height": 9, "format": "png", "digest": bytes(16)} for _ in images],
        "plans": [plan for plan, _ in images],
        "tokens": [[] if isinstance(part, tuple) else list(range(part)) for part in parts],
        "trained": [[] for _ in parts],
        "runs": [runs for _, runs in images],
        "relevances": [],
        "reductions": [],
    } | changes


def end_of(shard, rows, unit=4):
    end = {"rows": rows, "sha256": f"{shard}" * 64, "bytes": 1000 + rows, "ignored": shard}
    return row_of(shard, rows, [], unit, shard_end=end)


def bare(row, **changes):
    """A row that an operator before rejected or that was withheld: its segments are known, no more."""
    return row | {"pictures": [], "plans": [], "tokens": [], "trained": [], "runs": [], "reductions": []} | changes


def unit_rows(*shards, unit=4):
    """Rows of documents (lists of parts) of each shard, and the shard's end."""
    return [
        row
        for number, documents in enumerate(shards)
        for row in [
            *(row_of(number, i, parts, unit) for i, parts in enumerate(documents)),
            end_of(number, len(documents), unit),
        ]
    ]


def table_of(rows):
    return pa.Table.from_pylist(rows, MEASURED)


def packer(config=None, length=LENGTH, vocabulary=VOCABULARY, units=None, weights=None):
    return Pack(
        config or PackConfig(), length, vocabulary, units or UNITS, dict.fromkeys(units or UNITS, RECIPE), None, weights
    )


def run(rows, **options):
    """The tasks of one unit, as rows of TASK."""
    tables = list(packer(**options)(table_of(rows)))
    assert all(table.schema == TASK for table in tables)
    return [row for table in tables for row in table.to_pylist()]


def summary_of(tasks):
    assert [task["kind"] for task in tasks[-2:]] == [INDEX, SUMMARY]
    return note_of(tasks[-1])


def placed(tasks):
    """For each pack the (key, part) pairs in it."""
    found = []
    for task in tasks:
        if task["kind"] == DATA:
            documents = from_stream(task["payload"]).to_pylist()
            for pack in note_of(task)["packs"]:
                found.append([(documents[number]["key"], Part(*part)) for number, *part in pack])
    return found


DOCUMENTS = ([[5, (84, 56), 7], [30], [], [(56, 56)], [80, 20]], [[12], [(84, 84), 3]])


def closed(tasks):
    """The summary, once the counts that the sink fills in are closed."""
    summary = summary_of(tasks)
    return summary, close_counts(summary["counts"], summary["rejects"])


def test_every_document_is_packed_once_or_rejected_and_counts_close():
    tasks = run(unit_rows(*DOCUMENTS))
    summary, counts = closed(tasks)
    keys = [key for pack in placed(tasks) for key, _ in pack]
    assert sorted(keys) == ["0-0", "0-1", "0-3", "1-0", "1-1"]
    rejects = [(r["id"]["key"], r["reason"]) for r in summary["rejects"] if r["level"] == "sample"]
    assert rejects == [("0-2", Reason.NO_LOSS), ("0-4", Reason.TOO_LONG)]
    assert counts["samples"] == totals_of(read=7, packed=5, rejected=2)
    assert counts["segments"] == totals_of(read=10, packed=8, rejected=2)


def test_unit_is_named_by_content_and_recipe():
    tasks = run(unit_rows(*DOCUMENTS))
    identity = unit_id([("a.tar", "0" * 64), ("b.tar", "1" * 64)], RECIPE)
    assert {task["unit_id"] for task in tasks} == {identity}
    assert {task["unit"] for task in tasks} == {4}
    inputs = summary_of(tasks)["inputs"]
    assert inputs[0] == {"shard": "a.tar", "sha256": "0" * 64, "bytes": 1005, "samples": 5, "ignored": 0}
    assert [entry["shard"] for entry in inputs] == ["a.tar", "b.tar"]


def test_data_task_carries_the_documents_and_shards_that_write_needs():
    (data, index, summary) = run(unit_rows(*DOCUMENTS))
    assert note_of(data)["shards"] == UNITS[4]
    assert from_stream(data["payload"]).schema == MEASURED
    assert [row["key"] for row in from_stream(index["payload"]).to_pylist()] == ["0-0", "0-1", "0-3", "1-0", "1-1"]
    assert note_of(index)["lengths"][0] == [5 + 8 + 7 + 1, 1, 24, 1, 1]
    assert from_stream(summary["payload"]).num_rows == 0
    assert note_of(summary)["reports"] == 3


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_arrival_order_tables_and_duplicates_change_nothing(data):
    rows = unit_rows(*DOCUMENTS)
    expected = run(rows)
    arriving = data.draw(st.permutations(rows + data.draw(st.lists(st.sampled_from(rows), max_size=4))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arriving)), max_size=4)))
    pack, tasks = packer(), []
    for start, end in zip([0, *cuts], [*cuts, len(arriving)], strict=True):
        for table in pack(table_of(arriving[start:end])):
            tasks += table.to_pylist()
    assert tasks == expected


def test_nothing_is_emitted_until_the_last_row_is_there():
    rows = unit_rows(*DOCUMENTS)
    for missing in range(len(rows)):
        pack = packer()
        assert list(pack(table_of(rows[:missing] + rows[missing + 1 :]))) == []
        assert list(pack(table_of(rows[missing : missing + 1])))


def test_actor_that_forgot_its_rows_emits_nothing():
    rows = unit_rows(*DOCUMENTS)
    for killed in range(1, len(rows)):
        before, after = packer(), packer()
        assert list(before(table_of(rows[:killed]))) == []
        assert list(after(table_of(rows[killed:]))) == []


def test_row_that_its_shard_does_not_have_closes_nothing():
    rows = [row_of(0, 0, [3]), row_of(0, 7, [3]), end_of(0, 2), end_of(1, 0)]
    assert run(rows) == []


def test_closed_unit_is_not_emitted_again():
    rows = unit_rows(*DOCUMENTS)
    pack = packer()
    assert list(pack(table_of(rows)))
    assert list(pack(table_of(rows))) == []


def test_batches_may_cross_units():
    units = UNITS | {5: UNITS[4]}
    rows = unit_rows(*DOCUMENTS) + unit_rows([[9]], [], unit=5)
    mixed = rows[::2] + rows[1::2]
    pack = packer(units=units)
    tasks = [task for table in pack(table_of(mixed)) for task in table.to_pylist()]
    assert sorted({task["unit"] for task in tasks}) == [4, 5]
    assert [task for task in tasks if task["unit"] == 4] == run(unit_rows(*DOCUMENTS))


def test_empty_shards_and_empty_units_close():
    tasks = run(unit_rows([], [[5]]))
    assert [key for pack in placed(tasks) for key, _ in pack] == ["1-0"]
    tasks = run(unit_rows([], []))
    assert [task["kind"] for task in tasks] == [INDEX, SUMMARY]
    summary, counts = closed(tasks)
    assert (summary["reports"], summary["packs"]) == (2, {"planned": 0, "bound": 0, "split": 0})
    assert counts["samples"]["read"] == counts["samples"]["packed"] == 0


def test_unit_of_rejected_rows_alone_closes_with_its_rejects():
    rows = [
        bare(row_of(0, 0, [1, (9, 9)]), rejection=REJECTION),
        bare(row_of(0, 1, []), rejection=REJECTION | {"segment": None}),
    ]
    tasks = run([*rows, end_of(0, 2), end_of(1, 0)])
    summary, counts = closed(tasks)
    assert [task["kind"] for task in tasks] == [INDEX, SUMMARY]
    assert counts["samples"] == totals_of(read=2, rejected=2)
    assert counts["segments"] == totals_of(read=2, rejected=2)
    assert [(r["level"], r["reason"], r["member"], r["offset"]) for r in summary["rejects"]] == [
        ("sample", "decode-error", "m1", 1024),
        ("segment", "sample-rejected", "m0", 512),
        ("segment", "decode-error", "m1", 1024),
        ("sample", "decode-error", "m1", 1024),
    ]


def test_withheld_rows_are_counted_and_packed_nowhere():
    rows = [row_of(0, 0, [5]), bare(row_of(0, 1, [9, (9, 9)]), withheld=True), end_of(0, 2), end_of(1, 0)]
    tasks = run(rows)
    _, counts = closed(tasks)
    assert [key for pack in placed(tasks) for key, _ in pack] == ["0-0"]
    assert counts["samples"] == totals_of(read=2, packed=1, withheld=1)
    assert counts["segments"] == totals_of(read=3, packed=1, withheld=2)


def test_long_document_is_split_at_segment_borders_as_full_as_can_be():
    tasks = run(unit_rows([[30, (84, 56), 20, 10, 40]], []))
    parts = sorted((part for pack in placed(tasks) for _, part in pack), key=lambda part: part.number)
    assert parts == [Part(0, 3, 0, 2), Part(3, 5, 1, 2)]
    assert summary_of(tasks)["packs"]["split"] == 1
    (length,) = note_of(tasks[-2])["lengths"]
    assert length == [30 + 8 + 20 + 10 + 40 + 1, 1, 24, 1, 2]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(0, 70) | st.sampled_from([(84, 56), (140, 140)]), min_size=1, max_size=9),
    st.sampled_from([VOCABULARY, STARTED]),
    st.sampled_from(
        [
            PackLimits(),
            PackLimits(images=1),
            PackLimits(patches=100),
            PackLimits(images=2, patches=120),
            PackLimits(tiles=1),
            PackLimits(squares=40**2),
        ]
    ),
    st.sampled_from([1, 8]),
)
def test_parts_of_any_document_fit_and_hold_each_segment_once(parts, vocabulary, limits, align):
    tasks = run(unit_rows([parts], []), vocabulary=vocabulary, config=PackConfig(limits=limits, align=align))
    summary, counts = closed(tasks)
    if counts["samples"]["rejected"]:
        reason = summary["rejects"][0]["reason"]
        assert reason in {Reason.TOO_LONG, Reason.NO_LOSS}
        return
    row = row_of(0, 0, parts)
    packs = placed(tasks)
    found = sorted((part for pack in packs for _, part in pack), key=lambda part: part.number)
    assert [part.number for part in found] == list(range(len(found)))
    assert {part.count for part in found} == {len(found)}
    assert [i for part in found for i in range(part.first, part.last)] == list(range(len(parts)))
    total = [0, 0, 0, 0]
    for pack in packs:
        sizes = [sizes_of(row, part, parts, vocabulary) for _, part in pack]
        aligned = [-(-size[0] // align) * align for size in sizes]
        assert sum(aligned) <= LENGTH
        assert limits.squares is None or sum(tokens**2 for tokens in aligned) <= limits.squares
        for d, limit in enumerate((LENGTH, limits.images, limits.patches, limits.tiles)):
            assert limit is None or sum(size[d] for size in sizes) <= limit
            total[d] += sum(size[d] for size in sizes)
    assert note_of(tasks[-2])["lengths"] == [[*total, len(found)]]


def sizes_of(row, part, parts, vocabulary):
    images = [p for p in parts[part.first : part.last] if isinstance(p, tuple)]
    patches = sum(plan["views"][0]["grid_h"] * plan["views"][0]["grid_w"] for plan, _ in (plan_of(*i) for i in images))
    tokens = sum(segment_tokens(row)[part.first : part.last]) + framing_tokens(part, vocabulary)
    return tokens, len(images), patches, len(images)


def test_segment_longer_than_a_sequence_rejects_its_document_with_counts_to_the_token():
    tasks = run(unit_rows([[10, LENGTH, 5], [10, LENGTH + 1, 5], [LENGTH - 1], [LENGTH]], []))
    summary, counts = closed(tasks)
    rejects = [r for r in summary["rejects"] if r["level"] == "sample"]
    assert [(r["id"]["key"], r["detail"]) for r in rejects] == [
        ("0-1", "segment 1 alone has 65 tokens; a sequence holds 64 tokens"),
        ("0-3", "segment 0 alone has 65 tokens; a sequence holds 64 tokens"),
    ]
    assert (rejects[0]["operator"], rejects[0]["member"], rejects[0]["offset"]) == ("pack", "m1", 1024)
    guilty = [r["segment"] for r in summary["rejects"] if r["level"] == "segment" and r["reason"] == Reason.TOO_LONG]
    assert guilty == [1, 0]
    assert counts["samples"]["packed"] == 2
    assert counts["segments"]["rejected"] == 4


@pytest.mark.parametrize(
    ("limits", "what"), [({"patches": 99}, "100 patches"), ({"patches": 99, "images": 1}, "1 images")]
)
def test_image_over_a_limit_rejects_its_document(limits, what):
    tasks = run(unit_rows([[(140, 140), 3]], []), config=PackConfig(limits=PackLimits(**limits)))
    (reject, _, _) = summary_of(tasks)["rejects"]
    assert (reject["reason"], reject["member"]) == (Reason.TOO_LONG, "m0")
    assert what in reject["detail"]


def test_reject_policy_splits_nothing():
    tasks = run(unit_rows([[40, 40], [60]], []), config=PackConfig(long_documents="reject"))
    summary, _ = closed(tasks)
    assert [r["reason"] for r in summary["rejects"]] == [Reason.TOO_LONG, *[Reason.SAMPLE_REJECTED] * 2]
    assert summary["rejects"][0]["detail"].startswith("81 tokens; a sequence holds 64 tokens")
    assert placed(tasks) == [[("0-1", Part(0, 1))]]


@pytest.mark.parametrize("parts", [[], [0], [0, 0]])
def test_document_without_a_token_to_train_is_rejected(parts):
    tasks = run(unit_rows([parts, [5]], []))
    (reject, *_) = summary_of(tasks)["rejects"]
    assert (reject["reason"], reject["id"]["ordinal"]) == (Reason.NO_LOSS, 0)


@pytest.mark.parametrize(
    ("limits", "num_packs"), [({}, 1), ({"images": 4}, 2), ({"patches": 48}, 4), ({"images": 2, "patches": 1000}, 4)]
)
def test_limits_of_images_and_patches_bind(limits, num_packs):
    tasks = run(unit_rows([[(84, 56)]] * 8, []), config=PackConfig(limits=PackLimits(**limits)), length=100)
    packs = placed(tasks)
    assert len(packs) == num_packs
    assert summary_of(tasks)["packs"] == {"planned": num_packs, "bound": num_packs, "split": 0}


def test_one_data_task_per_file_of_packs():
    tasks = run(unit_rows([[LENGTH - 1]] * (2 * PACKS_PER_FILE + 1), []))
    data = [task for task in tasks if task["kind"] == DATA]
    assert [(task["number"], note_of(task)["first"], len(note_of(task)["packs"])) for task in data] == [
        (0, 0, PACKS_PER_FILE),
        (1, PACKS_PER_FILE, PACKS_PER_FILE),
        (2, 2 * PACKS_PER_FILE, 1),
    ]
    assert summary_of(tasks)["reports"] == 5


def test_rows_without_scores_are_taken_too():
    rows = unit_rows(*DOCUMENTS)
    unscored = table_of(rows).drop_columns([RELEVANCES.name])
    tasks = [task for table in packer()(unscored) for task in table.to_pylist()]
    assert tasks == run(rows)


def as_chat(row, trained):
    """The row as a conversation whose tokens are all trained, or none."""
    segments = [segment | {"role": "assistant" if trained else "user"} for segment in row["segments"]]
    return row | {"segments": segments, "trained": [[trained] * len(ids) for ids in row["tokens"]]}


def test_conversation_without_a_trained_token_is_rejected_and_one_with_has_no_end_token():
    rows = [as_chat(row_of(0, 0, [5]), trained=False), as_chat(row_of(0, 1, [5]), trained=True), end_of(0, 2)]
    tasks = run([*rows, end_of(1, 0)], vocabulary=STARTED)
    (reject,) = [reject for reject in summary_of(tasks)["rejects"] if reject["level"] == "sample"]
    assert (reject["reason"], reject["id"]["ordinal"]) == (Reason.NO_LOSS, 0)
    (index,) = [task for task in tasks if task["kind"] == INDEX]
    assert note_of(index)["lengths"] == [[5, 0, 0, 0, 1]]


def weighted(weight, *shards):
    """Tasks of the documents under a weight, and the copies that its rule gives of each, by key."""
    rows = unit_rows(*shards)
    wanted = {r["key"]: num_copies(r["shard"], r["ordinal"], weight) for r in rows if r["shard_end"] is None}
    rows = [bare(row, withheld=True) if wanted.get(row["key"]) == 0 else row for row in rows]
    return run(rows, weights={4: weight}), wanted


@pytest.mark.parametrize("weight", [0.4, 1.0, 1.5, 3.0])
def test_each_copy_is_packed_once_and_counts_close(weight):
    tasks, wanted = weighted(weight, *DOCUMENTS)
    summary, counts = closed(tasks)
    rejected = {reject["id"]["key"] for reject in summary["rejects"]}
    found = Counter((key, part.copy) for pack in placed(tasks) for key, part in pack)
    expected = {(key, copy) for key, count in wanted.items() for copy in range(count) if key not in rejected}
    assert found == Counter(expected)
    samples = counts["samples"]
    assert samples["packed"] == len(expected)
    assert samples["repeated"] == len(expected) - len({key for key, _ in expected})
    assert samples["withheld"] == sum(count == 0 for count in wanted.values())
    for level in counts.values():
        assert level["read"] + level["repeated"] == level["packed"] + level["rejected"] + level["withheld"]
    assert rejected == {key for key in ("0-2", "0-4") if wanted[key]}


def test_each_part_of_each_copy_of_a_long_document_is_packed_once():
    tasks, _ = weighted(2.0, [[30, (84, 56), 20, 10, 40]], [])
    found = sorted((part.copy, part.number, part.count) for pack in placed(tasks) for _, part in pack)
    assert found == [(0, 0, 2), (0, 1, 2), (1, 0, 2), (1, 1, 2)]
    assert summary_of(tasks)["packs"]["split"] == 1


def test_the_index_has_a_document_once_however_often_it_is_packed():
    tasks, _ = weighted(3.0, [[9], [12]], [])
    (index,) = [task for task in tasks if task["kind"] == INDEX]
    assert [row["key"] for row in from_stream(index["payload"]).to_pylist()] == ["0-0", "0-1"]
    assert len(note_of(index)["lengths"]) == 2


def test_a_late_reject_takes_its_copies_back():
    tasks, _ = weighted(3.0, [[9, (84, 56)], [12]], [])
    counts = summary_of(tasks)["counts"]
    late = reject_rows(row_of(0, 0, [9, (84, 56)]), REJECTION | {"operator": "write"})
    counts = close_counts(without_copies(counts, late, 3.0), late)
    assert counts["samples"] == totals_of(read=2, repeated=2, packed=3, rejected=1)
    assert counts["segments"] == totals_of(read=3, repeated=2, packed=3, rejected=2)
