"""Whatever a shard holds becomes a row, in order, with its place; the last row sums them up."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import pickle
import tarfile
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.containers.tars import MAX_WAITING
from pipeline.errors import Reason, StorageError
from pipeline.formats import FORMATS
from pipeline.read import count_samples, read_shard
from pipeline.schema import READ
from pipeline.types import MAX_NAME_BYTES, ReadLimits

DEFAULTS = {"member_bytes": 1 << 20, "text_bytes": 1 << 20, "sample_bytes": 1 << 30, "sample_members": 10_000}
SHARD = Path(__file__).resolve().parents[2] / "jobs/samples/gimp-sample-000000.tar"


def make_tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def pair(key):
    return [(f"{key}.jpg", f"image {key}".encode()), (f"{key}.txt", f"text {key}".encode())]


def tables(data, form="pairs", **options):
    options = {"size": len(data), "take": None} | options
    size = options.pop("size")
    given = {name: options.pop(name) for name in DEFAULTS if name in options}
    options["limits"] = ReadLimits(**DEFAULTS | given)
    return list(
        read_shard(
            io.BytesIO(data), size, shard_name="s/0.tar", unit=3, shard_number=5, format=FORMATS[form], **options
        )
    )


def read(data, form="pairs", **options):
    """(rows, end row) of a shard, after the checks that hold for every shard."""
    table = pa.concat_tables(tables(data, form, **options))
    assert table.schema == READ
    table.validate(full=True)
    *rows, end = table.to_pylist()
    assert [row["ordinal"] for row in (*rows, end)] == list(range(len(rows) + 1))
    assert all((row["unit"], row["shard"], row["shard_number"]) == (3, "s/0.tar", 5) for row in (*rows, end))
    assert all(row["shard_end"] is None for row in rows)
    assert (end["key"], end["segments"], end["payloads"], end["rejection"]) == ("", [], [], None)
    assert (end["shard_end"]["rows"], end["shard_end"]["bytes"]) == (len(rows), len(data))
    assert end["shard_end"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert count_samples(io.BytesIO(data), None, shard_name="s.tar", format=FORMATS[form]) == len(rows)
    for row in rows:
        num_images = sum(segment["kind"] == 1 for segment in row["segments"])
        assert len(row["payloads"]) == (0 if row["rejection"] or row["withheld"] else num_images)
    return rows, end


def outcomes(rows):
    """Key of each sample, with the reason if it was rejected."""
    return [row["key"] if row["rejection"] is None else (row["key"], row["rejection"]["reason"]) for row in rows]


def test_pairs_become_rows_with_text_payload_and_place():
    data = make_tar([*pair("a"), *pair("b")])
    rows, end = read(data)
    assert outcomes(rows) == ["a", "b"]
    image, text = rows[1]["segments"]
    assert (image["kind"], image["text"], image["member"]) == (1, None, "b.jpg")
    assert (text["kind"], text["text"], text["member"]) == (0, "text b", "b.txt")
    assert rows[1]["payloads"] == [b"image b"]
    assert data[image["offset"] : image["offset"] + image["size"]] == b"image b"
    assert data[text["offset"] : text["offset"] + text["size"]] == b"text b"
    assert end["shard_end"]["ignored"] == 0


def test_webdatasets_own_writer_is_read(tmp_path):
    path = tmp_path / "0.tar"
    with webdataset.TarWriter(str(path)) as writer:
        for key in ("x/0", "x/1"):
            writer.write({"__key__": key, "jpg": b"image", "txt": "text"})
    assert outcomes(read(path.read_bytes())[0]) == ["x/0", "x/1"]


def test_keys_keep_dots_folders_and_traversal_as_text():
    keys = ["2024.01.05_cat", "2024.01.05_dog", "../../etc/passwd", "/etc/shadow", "a b/é\n"]
    rows, _ = read(make_tar([member for key in keys for member in pair(key)]))
    assert outcomes(rows) == keys


COMPOUND = [("0.jpg", b"image"), ("0.meta.json", b"{"), ("0.txt", b"text")]


@pytest.mark.parametrize("files", list(itertools.permutations(COMPOUND)))
def test_compound_fields_stay_with_their_sample_in_any_order(files):
    rows, end = read(make_tar([*pair("a"), *files, *pair("b")]))
    assert outcomes(rows) == ["a", "0", "b"]
    assert (rows[1]["payloads"], rows[1]["segments"][1]["text"]) == ([b"image"], "text")
    assert end["shard_end"]["ignored"] == 1


def test_dotted_keys_are_samples_of_their_own_unless_one_begins_the_next():
    keys = ["2024.01.05_cat", "2024.01.05_dog", "a", "a.b/c", "a.b/c_d"]
    rows, _ = read(make_tar([member for key in keys for member in pair(key)]))
    assert outcomes(rows) == keys
    mixed = [("1", "field-invalid"), "b", "1.1", "c", "x.1", "x.2"]
    keys = ["1", "1.2", "b", "1.1", "c", "x.1", "x.2"]
    rows, _ = read(make_tar([member for key in keys for member in pair(key)]))
    assert outcomes(rows) == mixed
    rejection = rows[0]["rejection"]
    assert (rejection["member"], rejection["size"]) == ("1.2.jpg", len(b"image 1.2"))
    assert "1.2.jpg" in rejection["detail"]


@pytest.mark.parametrize(
    ("form", "member", "outcome"),
    [
        ("pairs", "k.meta.json", "k"),
        ("pairs", "k.0.cls", "k"),
        ("pairs", "k.seg.PNG", ("k", "field-invalid")),
        ("pairs", "k.1.txt", ("k", "field-invalid")),
        ("pairs", "k.0.x.pkl", ("k", "unsafe-type")),
        ("interleaved", "k.meta.txt", "k"),
        ("interleaved", "k.1.png", "k"),
        ("interleaved", "k.meta.json", ("k", "field-invalid")),
        ("interleaved", "k.seg.png", ("k", "field-invalid")),
        ("interleaved", "k.0.1.png", ("k", "field-invalid")),
        ("interleaved", "k.x.npy", ("k", "unsafe-type")),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_compound_field_is_ignored_and_counted_or_rejects_its_sample_by_name(form, member, outcome, place):
    index = {"texts": ["one", None], "images": [None, "0.png"]}
    files = pair("k") if form == "pairs" else [("k.json", json.dumps(index).encode()), ("k.0.png", b"png")]
    files.insert(place, (member, b"x" * 2000))
    rows, end = read(make_tar(files), form)
    assert outcomes(rows) == [outcome]
    assert end["shard_end"]["ignored"] == (rows[0]["rejection"] is None)
    if rows[0]["rejection"]:
        assert (rows[0]["rejection"]["member"], rows[0]["rejection"]["size"]) == (member, 2000)
        assert member in rows[0]["rejection"]["detail"]


def test_key_that_gets_shorter_and_was_there_before_is_split():
    rows, _ = read(make_tar([*COMPOUND, *pair("a"), COMPOUND[1], COMPOUND[2], *pair("b")]))
    assert outcomes(rows) == ["0", "a", ("0", "sample-split"), "b"]


def test_damage_between_a_compound_field_and_its_sample_does_not_split_it():
    rows, end = read(make_tar([COMPOUND[1], ("README", b"x"), COMPOUND[0], COMPOUND[2]]))
    assert outcomes(rows) == ["0", ("@1536", "name-invalid")]
    assert end["shard_end"]["ignored"] == 1


def test_samples_joined_by_mistake_are_not_held_in_memory():
    files = [*pair("0"), *((f"0.{i}.jpg", b"x" * 100_000) for i in range(100))]
    data = make_tar(files)
    tracemalloc.start()
    rows, _ = read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcomes(rows) == [("0", "field-invalid")]
    assert peak < 5_000_000


def test_upper_case_extensions_are_the_same_fields():
    rows, _ = read(make_tar([("a.JPEG", b"image"), ("a.TXT", b"text")]))
    assert outcomes(rows) == ["a"]
    assert rows[0]["payloads"] == [b"image"]


def test_damage_between_samples_is_a_row_of_its_own():
    data = bytearray(make_tar([*pair("a"), *pair("b"), *pair("c")]))
    data[2 * 1024] ^= 1
    rows, _ = read(bytes(data))
    assert outcomes(rows) == ["a", ("@2048", "tar-header"), ("b", "field-missing"), "c"]
    assert rows[1]["rejection"]["operator"] == "read"
    assert (rows[1]["rejection"]["offset"], rows[1]["rejection"]["size"]) == (2048, 1024)


def test_damage_inside_a_sample_comes_after_it_and_does_not_split_it():
    files = [*pair("a"), *pair("b")]
    data = make_tar(files)
    broken = data[:1024] + b"?" * 512 + data[1024:]
    rows, _ = read(broken)
    assert outcomes(rows) == ["a", ("@1024", "tar-header"), "b"]


def test_truncated_shard_keeps_the_samples_before_the_cut():
    data = make_tar([*pair("a"), *pair("b")])
    rows, _ = read(data[: 3 * 1024 + 515])
    assert outcomes(rows) == ["a", ("b", "field-missing"), ("@3072", "tar-truncated")]


def test_empty_shard_with_an_end_mark_is_fine_and_an_empty_file_is_truncated():
    assert read(bytes(10240))[0] == []
    assert outcomes(read(b"")[0]) == [("@0", "tar-truncated")]


def test_members_of_one_key_apart_are_rejected_as_split():
    a, b = pair("a"), pair("b")
    rows, _ = read(make_tar([a[0], b[0], a[1], b[1]]))
    assert outcomes(rows) == [
        ("a", "field-missing"),
        ("b", "field-missing"),
        ("a", "sample-split"),
        ("b", "sample-split"),
    ]


def test_names_without_key_are_rows_and_do_not_split_samples():
    a = pair("a")
    rows, _ = read(make_tar([("README", b"x"), a[0], (".DS_Store", b"y"), ("caf\udce9.jpg", b"z"), a[1]]))
    assert outcomes(rows) == [
        ("@512", "name-invalid"),
        "a",
        ("@2560", "name-invalid"),
        ("@3584", "name-invalid"),
    ]
    assert rows[0]["rejection"]["member"] == "README"
    assert rows[3]["rejection"]["member"] == "caf\\udce9.jpg"
    assert "caf\\udce9.jpg" in rows[3]["rejection"]["detail"]


def test_member_that_is_there_twice_is_a_duplicate():
    a = pair("a")
    rows, _ = read(make_tar([*a, a[1], *pair("b")]))
    assert outcomes(rows) == [("a", "name-duplicate"), "b"]
    assert rows[0]["rejection"]["offset"] == 2 * 1024 + 512


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("field", ["pkl", "PICKLE", "pt", "npy"])
def test_pickle_is_never_loaded_and_rejects_its_sample(tmp_path, field, form):
    planted = tmp_path / "planted"
    rows, _ = read(make_tar([*pair("a"), (f"a.{field}", pickle.dumps(Bomb(planted)))]), form)
    assert outcomes(rows) == [("a", "unsafe-type")]
    assert not planted.exists()


def test_member_over_the_limit_rejects_its_sample_only_if_wanted():
    big = b"x" * 2000
    files = [("a.jpg", big), ("a.txt", b"t"), *pair("b"), ("b.json", big)]
    rows, end = read(make_tar(files), member_bytes=1000)
    assert outcomes(rows) == [("a", "member-too-large"), "b"]
    assert (rows[0]["rejection"]["member"], rows[0]["rejection"]["size"]) == ("a.jpg", 2000)
    assert end["shard_end"]["ignored"] == 1


def test_text_over_its_limit_rejects_its_sample_and_a_picture_of_that_size_does_not():
    big = b"x" * 2000
    files = [("a.jpg", big), ("a.txt", b"t"), ("b.jpg", b"i"), ("b.txt", big), ("b.cls", big), *pair("c")]
    rows, _ = read(make_tar(files), text_bytes=1000)
    assert outcomes(rows) == ["a", ("b", "text-too-large"), "c"]
    assert (rows[1]["rejection"]["member"], rows[1]["rejection"]["size"]) == ("b.txt", 2000)
    index = json.dumps({"texts": ["x" * 2000], "images": [None]}).encode()
    assert outcomes(read(make_tar([("a.json", index)]), "interleaved", text_bytes=1000)[0]) == [("a", "text-too-large")]


def test_sample_of_too_many_members_is_one_reject_at_the_member_that_was_too_much():
    files = [*pair("a"), *pair("b"), *((f"b.{i}.cls", b"1") for i in range(98)), *pair("c")]
    rows, end = read(make_tar(files), sample_members=50)
    assert outcomes(rows) == ["a", ("b", "sample-too-large"), "c"]
    assert rows[1]["rejection"]["member"] == "b.48.cls"
    assert "100 members" in rows[1]["rejection"]["detail"]
    assert end["shard_end"]["ignored"] == 0


def test_sample_of_too_many_bytes_counts_what_the_format_reads_alone():
    big = b"x" * 600
    files = [("a.jpg", big), ("a.txt", big), ("b.jpg", big), ("b.cls", big * 9), ("b.txt", b"t"), *pair("c")]
    rows, _ = read(make_tar(files), sample_bytes=1000)
    assert outcomes(rows) == [("a", "sample-too-large"), "b", "c"]
    assert (rows[0]["rejection"]["member"], rows[0]["rejection"]["size"]) == ("a.txt", 600)
    assert "1200 bytes" in rows[0]["rejection"]["detail"]


def test_sample_over_a_limit_that_ended_before_is_split():
    files = [*pair("a"), *pair("b"), *pair("a"), *((f"a.{i}.cls", b"1") for i in range(9))]
    assert outcomes(read(make_tar(files), sample_members=5)[0]) == ["a", "b", ("a", "sample-split")]


def test_samples_over_the_limits_are_not_held_in_memory():
    index = json.dumps({"texts": ["one"], "images": [None]}).encode()
    large = [("a.json", index), *((f"a.{i}.png", b"x" * 100_000) for i in range(100))]
    many = [("b.json", index), *((f"b.{i}.cls", b"") for i in range(20_000))]
    data = make_tar([*large, *many])
    tracemalloc.start()
    rows = [row for table in tables(data, "interleaved", sample_bytes=1_000_000) for row in table.to_pylist()]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcomes(rows[:2]) == [("a", "sample-too-large"), ("b", "sample-too-large")]
    assert peak < 8_000_000


@pytest.mark.parametrize(
    ("form", "index"),
    [
        ("interleaved", {"texts": [""] * 60, "images": [None] * 60}),
        ("conversations", {"messages": [{"role": "user", "content": "<image>" * 30}]}),
    ],
)
def test_json_of_too_many_texts_and_images_makes_none_of_them(form, index):
    files = [("a.json", json.dumps(index).encode())]
    rows, _ = read(make_tar(files), form, sample_members=50)
    assert outcomes(rows) == [("a", "sample-too-large")]
    assert rows[0]["segments"] == []


def test_names_of_four_kilobytes_are_read_and_longer_ones_have_no_key():
    longest = "k" * (MAX_NAME_BYTES - 4)
    rows, _ = read(make_tar([*pair(longest), *pair(f"{longest}k"), *pair("é" * 2047)]))
    assert outcomes(rows[:1]) == [longest]
    assert [row["rejection"]["reason"] for row in rows[1:5]] == ["name-invalid"] * 4
    assert len(rows[1]["rejection"]["member"]) == MAX_NAME_BYTES


def test_ignored_members_are_counted():
    _, end = read(make_tar([*pair("a"), ("a.json", b"{}"), ("a.cls", b"1"), *pair("b")]))
    assert end["shard_end"]["ignored"] == 2


def test_rejected_samples_keep_known_segments_without_text_and_payload():
    rows, _ = read(make_tar([("a.jpg", b"x"), ("a.txt", b"\xff")]))
    assert outcomes(rows) == [("a", "text-invalid")]
    assert [(s["kind"], s["member"], s["text"]) for s in rows[0]["segments"]] == [
        (1, "a.jpg", None),
        (0, "a.txt", None),
    ]


def test_lone_surrogates_in_json_reach_no_column():
    index = b'{"texts": ["\\ud800", null], "images": [null, "\\udfff.png"]}'
    rows, _ = read(make_tar([("a.json", index)]), "interleaved")
    assert outcomes(rows) == [("a", "text-invalid")]
    assert rows[0]["segments"][1]["member"] == "a.\\udfff.png"


def test_samples_beyond_take_are_withheld_with_their_segments_alone():
    data = make_tar([*pair("a"), *pair("b"), ("c.txt", b"t"), *pair("d")])
    whole, _ = read(data)
    rows, end = read(data, take=1)
    assert [row["withheld"] for row in rows] == [False, True, True, True]
    assert rows[0] == whole[0]
    assert all(row["payloads"] == [] and row["rejection"] is None for row in rows[1:])
    assert [(s["member"], s["text"]) for s in rows[1]["segments"]] == [("b.jpg", None), ("b.txt", None)]
    assert rows[2]["segments"] == []
    assert all(row["withheld"] for row in read(data, take=0)[0])
    assert not end["withheld"]


def test_rows_do_not_depend_on_batches_or_a_known_size():
    data = make_tar([member for i in range(40) for member in pair(f"{i:03d}")])[:-3000]
    expected = read(data)
    for options in ({"batch_rows": 1}, {"batch_bytes": 20}, {"batch_rows": 7}, {"size": None}):
        assert read(data, **options) == expected


def test_batches_are_bounded_by_rows_and_by_bytes():
    data = make_tar([(f"{i}.{ext}", b"x" * 1000) for i in range(20) for ext in ("jpg", "txt")])
    assert [table.num_rows for table in tables(data, batch_rows=8)] == [8, 8, 5]
    assert [table.num_rows for table in tables(data, batch_bytes=10_000)] == [5, 5, 5, 5, 1]


def test_many_damages_do_not_pile_up_behind_a_sample():
    junk = [("README", b"")] * (MAX_WAITING + 10)
    a = pair("a")
    rows, _ = read(make_tar([a[0], *junk, a[1]]))
    assert outcomes(rows[:1]) == [("a", "field-missing")]
    assert outcomes(rows[-1:]) == [("a", "sample-split")]
    assert len(rows) == len(junk) + 2


@pytest.mark.parametrize("size", [1000, 100_000])
def test_stream_of_another_length_than_its_store_says_is_a_storage_error(size):
    with pytest.raises(StorageError, match=r"s/0\.tar gave 10240 bytes of"):
        tables(make_tar(pair("a")), size=size)


def test_interleaved_documents_become_rows():
    index = {"texts": ["one", None], "images": [None, "0.png"]}
    files = [("d/1.json", json.dumps(index).encode()), ("d/1.0.png", b"png"), ("d/1.1.png", b"unused")]
    rows, end = read(make_tar(files), "interleaved")
    assert outcomes(rows) == ["d/1"]
    assert rows[0]["payloads"] == [b"png"]
    assert end["shard_end"]["ignored"] == 1


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", "c.d", "../e", ".f", "caf\udce9"]),
            st.sampled_from([".jpg", ".png", ".txt", ".json", ".0.png", ".pkl", ".meta.json", ".seg.png", ""]),
            st.sampled_from([b"", b"text", b"\xff", b'{"texts": [null], "images": ["0.png"]}', b"x" * 3000]),
        ),
        max_size=10,
    ),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=3),
    st.sampled_from(sorted(FORMATS)),
)
def test_no_shard_raises_and_every_row_has_a_reason_or_segments(files, flips, form):
    data = bytearray(make_tar([(stem + extension, content) for stem, extension, content in files]))
    for place, value in flips:
        data[place % len(data)] = value
    rows, _ = read(bytes(data), form, member_bytes=2500)
    reasons = {reason.value for reason in Reason}
    for row in rows:
        assert row["rejection"]["reason"] in reasons if row["rejection"] else row["segments"]


def test_real_shard_gives_all_its_documents_and_pictures():
    rows, end = read(SHARD.read_bytes(), "interleaved", member_bytes=64 << 20)
    assert len(rows) == end["shard_end"]["rows"] == 30
    assert all(row["rejection"] is None for row in rows)
    assert sum(len(row["payloads"]) for row in rows) == 93
    assert all(payload[:4] in {b"\x89PNG", b"\xff\xd8\xff\xe0"} for row in rows for payload in row["payloads"])
    assert end["shard_end"]["ignored"] == 0
