"""Two readers of every format, written apart, find the same in every sample, however it was harmed."""

from __future__ import annotations

import io
import json
import random
import tarfile
from dataclasses import replace

import pyarrow as pa
import pytest

from jobs.sections import LimitsSection
from jobs.verify.layouts import LAYOUTS
from jobs.verify.samples import as_utf8, read_samples
from jobs.verify.walk import Source
from pipeline.formats import FORMATS
from pipeline.read import read_shard, samples_of
from pipeline.tar import Member
from tests.formats_made import MAKERS, made

ODD = [None, "", 0, -1, 1.5, True, 10**30, float("nan"), [], {}, [None], "\ud800", "0", "0.png", [[0.1, 0.2]]]
TIGHT = [{}, {}, {}, {"max_sample_members": 4}, {"max_text_bytes": 200}, {"max_member_bytes": 2500}]


def test_every_format_has_a_layout_of_its_own():
    assert list(LAYOUTS) == list(FORMATS) == list(MAKERS)


def harmed(value, draw):
    """A JSON's value with something odd at one place."""
    if draw.random() < 0.25 or not isinstance(value, dict | list) or not value:
        return draw.choice(ODD)
    copy = value.copy()
    place = draw.choice(list(copy)) if isinstance(copy, dict) else draw.randrange(len(copy))
    if draw.random() < 0.15:
        copy.pop(place)
    elif isinstance(copy, list) and draw.random() < 0.15:
        copy.append(copy[place])
    else:
        copy[place] = harmed(copy[place], draw)
    return copy


def shard(seed):
    """Members of a few samples of some format, most of them harmed."""
    draw = random.Random(seed)
    members = list(made(draw.choice(list(MAKERS))).items())
    for _ in range(draw.choice([0, 1, 1, 2, 3])):
        place = draw.randrange(len(members))
        name, data = members[place]
        harm = draw.choice(["json", "json", "json", "drop", "move", "rename", "bytes", "empty"])
        if harm == "json" and name.endswith(".json"):
            try:
                data = json.dumps(harmed(json.loads(data), draw), ensure_ascii=draw.random() < 0.5).encode(
                    "utf-8", "surrogatepass"
                )
            except (ValueError, RecursionError):
                continue
            members[place] = (name, data.replace(b"/", b"\\/") if draw.random() < 0.1 else data)
        elif harm == "drop" and len(members) > 1:
            members.pop(place)
        elif harm == "move":
            members.insert(draw.randrange(len(members)), members.pop(place))
        elif harm == "rename":
            stem, _, last = name.partition(".")
            other = draw.choice(["0.jpg", "00.jpg", "1.PNG", "jpg", "txt", "json", "meta.json", "a.b.jpg", "pkl", last])
            members[place] = (f"{stem}.{other}", data)
        elif harm == "bytes":
            spot = draw.randrange(len(data) + 1)
            members[place] = (name, data[:spot] + draw.randbytes(2) + data[spot + 2 :])
        elif harm == "empty":
            members[place] = (name, b"")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def both(data, name, limits):
    options = {"shard_name": "s", "unit": 0, "shard_number": 0, "limits": limits.reading, "take": None}
    *rows, end = pa.concat_tables(read_shard(io.BytesIO(data), len(data), format=FORMATS[name], **options)).to_pylist()
    found = list(read_samples(Source(io.BytesIO(data)), "0.tar", name, limits))
    return rows, end["shard_end"], found


def check(seed):
    data = shard(seed)
    limits = LimitsSection(**random.Random(seed).choice(TIGHT))
    sound = 0
    for name in FORMATS:
        rows, end, found = both(data, name, limits)
        assert [(one.key, len(one.segments), bool(one.fault)) for one in found] == [
            (row["key"], len(row["segments"]), row["rejection"] is not None) for row in rows
        ], (seed, name)
        assert sum(one.ignored for one in found) == end["ignored"], (seed, name)
        for row, one in zip(rows, found, strict=True):
            places = [(int(s.kind), as_utf8(s.member), s.offset, s.size, s.role, s.turn) for s in one.segments]
            assert places == [
                (s["kind"], s["member"], s["offset"], s["size"], s["role"], s["turn"]) for s in row["segments"]
            ], (seed, name)
            if row["rejection"] is not None:
                place = tuple(row["rejection"][field] for field in ("member", "offset", "size"))
                assert place in one.places, (seed, name)
                continue
            sound += 1
            assert [s.text for s in one.segments] == [s["text"] for s in row["segments"]], (seed, name)
            assert [s.data for s in one.segments if s.data is not None] == row["payloads"], (seed, name)
    return sound


def test_two_readers_agree_on_every_format_however_it_was_harmed():
    assert sum(check(seed) for seed in range(250)) > 250


@pytest.mark.slow
def test_two_readers_agree_on_thousands_of_harmed_shards():
    for seed in range(1000, 4000):
        check(seed)


@pytest.mark.parametrize("name", MAKERS)
def test_segments_hold_the_same_in_both_readers(name):
    """Encoding among it, which no table has beside the place."""
    members, offset = [], 512
    for member, data in made(name).items():
        members.append(Member(member, offset, len(data), data))
        offset += 512 + -(-len(data) // 512) * 512
    limits = LimitsSection()
    read = list(samples_of(members, FORMATS[name], limits.reading))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for member, data in made(name).items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    found = list(read_samples(Source(io.BytesIO(out.getvalue())), "0.tar", name, limits))
    # How well a picture fits is for filters, which verify does not repeat.
    expected = [tuple(replace(segment, similarity=None) for segment in one.segments) for one in read]
    assert [one.segments for one in found] == expected
    assert not any(one.fault for one in found)
