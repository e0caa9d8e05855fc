"""The tar reader tells every damage, keeps everything else, and accounts for every byte."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import random
import tarfile
import tracemalloc
from itertools import pairwise, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import Reason
from pipeline.tar import Damage, Member, scan_tar
from pipeline.tar_stream import HashingReader

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
SIX = [(f"{i:04d}.{ext}", bytes([65 + i]) * (300 * (i + 1))) for i in range(3) for ext in ("jpg", "txt")]


def make_tar(files, kind="ustar"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=FORMATS[kind]) as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def make_header(name="0001.jpg", size=0, kind=b"0", **fields):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    for key, value in fields.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def with_sum(header):
    header = bytearray(header)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def pad(data):
    return data + bytes(-len(data) % 512)


class Trickle(io.RawIOBase):
    """Gives what sockets give: fewer bytes than asked."""

    def __init__(self, data):
        self.source = io.BytesIO(data)

    def read(self, size=-1):
        return self.source.read(min(size, 700))


def scan(data, *, max_member_bytes=1 << 20, num_streams=3):
    """Members and damages of `data`, after the checks that hold for every stream."""
    streams = ((io.BytesIO(data), len(data)), (io.BytesIO(data), None), (Trickle(data), None))[:num_streams]
    results = []
    for stream, size in streams:
        reader = HashingReader(stream)
        items = list(scan_tar(reader, size=size, max_member_bytes=max_member_bytes, wanted=lambda *_: True))
        results.append(items)
    assert all(result == items for result in results)
    members = [item for item in items if isinstance(item, Member)]
    damages = [item for item in items if isinstance(item, Damage)]
    assert reader.ledger.total == reader.offset == len(data)
    assert reader.sha256() == hashlib.sha256(data).hexdigest()
    assert reader.ledger.damaged == sum(damage.size for damage in damages)
    padded = sum(-(-member.size // 512) * 512 for member in members)
    assert padded - 512 < reader.ledger.members <= padded  # the stream may end inside the last padding
    spans = sorted((item.offset, item.offset + item.size) for item in items)
    assert all(0 <= start <= end <= len(data) for start, end in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    for member in members:
        assert member.data == (None if member.too_large else data[member.offset : member.offset + member.size])
    return members, damages


def names(members):
    return [member.name for member in members]


def layout(data):
    """(first byte, header, data, end) of each entry, as tarfile sees a sound archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [
            (i.offset, i.offset_data - 512, i.offset_data, i.offset_data + -(-i.size // 512) * 512)
            for i in tar.getmembers()
        ]


def contents(members):
    return [(member.name, member.data) for member in members]


def one(damages):
    assert len(damages) == 1
    return damages[0].reason, damages[0].offset, damages[0].size


def test_sound_tar_gives_its_members_and_no_damage():
    members, damages = scan(make_tar(SIX))
    assert contents(members) == SIX
    assert damages == []


def test_cut_at_a_header_border_is_told_with_its_offset():
    data = make_tar(SIX)
    border = layout(data)[3][0]
    members, damages = scan(data[:border])
    assert contents(members) == SIX[:3]
    assert one(damages) == (Reason.TAR_TRUNCATED, border, 0)


def test_cut_inside_a_header_is_told_with_its_offset():
    data = make_tar(SIX)
    border = layout(data)[3][0]
    members, damages = scan(data[: border + 100])
    assert contents(members) == SIX[:3]
    assert one(damages) == (Reason.TAR_TRUNCATED, border, 100)


def test_cut_inside_data_gives_no_part_of_the_member():
    data = make_tar(SIX)
    border = layout(data)[3][0]
    members, damages = scan(data[: border + 512 + 77])
    assert contents(members) == SIX[:3]
    assert one(damages) == (Reason.TAR_TRUNCATED, border, 512 + 77)


def test_flipped_header_byte_loses_its_member_alone():
    data = bytearray(make_tar(SIX))
    start, header, _, end = layout(data)[2]
    data[header + 5] ^= 1
    members, damages = scan(bytes(data))
    assert contents(members) == SIX[:2] + SIX[3:]
    assert one(damages) == (Reason.TAR_HEADER, start, end - start)


def test_zeroed_header_loses_its_member_alone():
    data = bytearray(make_tar(SIX))
    start, header, _, end = layout(data)[2]
    data[header : header + 512] = bytes(512)
    members, damages = scan(bytes(data))
    assert contents(members) == SIX[:2] + SIX[3:]
    assert one(damages) == (Reason.TAR_HEADER, start, end - start)


def test_zeroed_header_of_an_empty_member_is_told():
    data = bytearray(make_tar([("a.txt", b"a"), ("b.txt", b""), ("c.txt", b"c")]))
    data[1024:1536] = bytes(512)
    members, damages = scan(bytes(data))
    assert names(members) == ["a.txt", "c.txt"]
    assert one(damages) == (Reason.TAR_HEADER, 1024, 512)


def test_concatenated_tars_are_read_to_the_end():
    members, damages = scan(make_tar(SIX) + make_tar(SIX[::-1]))
    assert contents(members) == SIX + SIX[::-1]
    assert damages == []


def test_flipped_data_byte_cannot_be_told_and_is_handed_on():
    data = bytearray(make_tar(SIX))
    data[layout(data)[2][2]] ^= 1
    members, damages = scan(bytes(data))
    assert damages == []
    assert contents(members) != SIX
    assert names(members) == [name for name, _ in SIX]


def test_garbage_between_members_and_after_the_end_is_told():
    data = make_tar(SIX)
    border = layout(data)[3][0]
    noise = random.Random(0).randbytes(1536)
    members, damages = scan(data[:border] + noise + data[border:] + noise)
    assert contents(members) == SIX
    assert [(d.reason, d.offset, d.size) for d in damages] == [
        (Reason.TAR_HEADER, border, 1536),
        (Reason.TAR_HEADER, len(data) + 1536, 1536),
        (Reason.TAR_TRUNCATED, len(data) + 3072, 0),
    ]


def test_damaged_last_member_leaves_the_end_mark_intact():
    data = bytearray(make_tar(SIX))
    start, header, _, end = layout(data)[5]
    data[header] ^= 1
    members, damages = scan(bytes(data))
    assert contents(members) == SIX[:5]
    assert one(damages) == (Reason.TAR_HEADER, start, end - start)


def check_flips(files, kind, stride, masks):
    data = make_tar(files, kind)
    entries = layout(data)
    sound = contents(scan(data)[0])
    headers = sorted({(i, offset) for i, entry in enumerate(entries) for offset in entry[:2]})
    places = list(product(headers, range(512), masks))[::stride]
    for (entry, header), byte, mask in places:
        broken = bytearray(data)
        broken[header + byte] ^= mask
        members, damages = scan(bytes(broken), num_streams=1)
        if damages:
            start, _, _, end = entries[entry]
            assert contents(members) == sound[:entry] + sound[entry + 1 :], (header, byte, mask)
            assert one(damages) == (Reason.TAR_HEADER, start, end - start)
        else:
            # Blanks and zeros around the sum's own digits say nothing, and the member is whole.
            assert 148 <= byte < 156, (header, byte, mask)
            assert contents(members) == sound


def check_cuts(files, kind, cuts_at):
    data = make_tar(files, kind)
    entries = layout(data)
    sound = contents(scan(data)[0])
    for cut in cuts_at(data):
        members, damages = scan(data[:cut], num_streams=1)
        whole = [entry for entry, member in zip(entries, sound, strict=True) if entry[2] + len(member[1]) <= cut]
        assert contents(members) == sound[: len(whole)]
        if cut >= entries[-1][3] + 1024:
            assert damages == []
            continue
        good = min(whole[-1][3] if whole else 0, cut)
        assert one(damages) == (Reason.TAR_TRUNCATED, good, cut - good)


def many(count, long_names):
    rng = random.Random(count)
    stem = "folder with a name/" * 9 if long_names else ""
    return [(f"{stem}{i:06d}.{'jpg' if i % 2 else 'txt'}", rng.randbytes(rng.randrange(1400))) for i in range(count)]


@pytest.mark.parametrize("kind", FORMATS)
def test_no_flipped_header_byte_is_silent_in_a_sample_of_them(kind):
    check_flips(many(4, long_names=kind != "ustar"), kind, stride=17, masks=(1, 0x80))


@pytest.mark.parametrize("kind", FORMATS)
def test_no_cut_is_silent(kind):
    check_cuts(many(6, long_names=kind != "ustar"), kind, lambda data: range(0, len(data), 512))
    check_cuts(many(6, long_names=kind != "ustar"), kind, lambda data: range(1, len(data), 397))


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_no_flipped_header_byte_is_silent(kind):
    check_flips(many(20, long_names=kind != "ustar"), kind, stride=1, masks=(1, 0x20, 0xFF))


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_no_cut_at_any_byte_is_silent(kind):
    check_cuts(many(20, long_names=kind != "ustar"), kind, lambda data: range(len(data)))


def test_zeroed_long_name_header_loses_its_member_rather_than_its_name():
    for kind in ("gnu", "pax"):
        files = many(4, long_names=True)
        data = bytearray(make_tar(files, kind))
        start, _, _, end = layout(data)[1]
        data[start : start + 512] = bytes(512)
        members, damages = scan(bytes(data))
        assert contents(members) == files[:1] + files[2:]
        assert one(damages) == (Reason.TAR_HEADER, start, end - start)


member_names = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=300)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(member_names.filter(lambda name: not name.endswith("/")), st.binary(max_size=1500)), max_size=8),
    st.sampled_from(["gnu", "pax"]),
)
def test_any_members_round_trip(files, kind):
    data = make_tar(files, kind)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = [(info.name, info.offset_data, info.size) for info in tar.getmembers()]
    members, damages = scan(data)
    assert contents(members) == files
    assert [(member.name, member.offset, member.size) for member in members] == expected
    assert damages == []


pieces = st.one_of(
    st.just(bytes(512)),
    st.binary(max_size=600),
    st.binary(min_size=512, max_size=512),
    st.builds(make_header, size=st.integers(0, 9000), kind=st.sampled_from([bytes([b]) for b in b"01235SLKxgXM7\0"])),
    st.just(pad(b"30 path=a/long/name/here.jpg\n")),
    st.just(make_tar(SIX[:2], "pax")),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(pieces, max_size=12).map(b"".join))
def test_no_bytes_at_all_raise_or_go_unaccounted(data):
    scan(data, max_member_bytes=4000)


def test_empty_stream_is_truncated():
    members, damages = scan(b"")
    assert members == []
    assert one(damages) == (Reason.TAR_TRUNCATED, 0, 0)


def test_any_number_of_zeros_may_follow_the_end():
    sound = make_tar([])[:1024]
    for extra in (0, 1, 512, 9 * 512 + 3, 20 * 512):
        assert scan(sound + bytes(extra)) == ([], [])


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(make_tar(SIX)),
        bz2.compress(make_tar(SIX)),
        lzma.compress(make_tar(SIX)),
        b"\x28\xb5\x2f\xfd" + bytes(3000),
    ],
    ids=["gzip", "bzip2", "xz", "zstd"],
)
def test_compressed_shard_is_one_damage_and_never_unpacked(data):
    members, damages = scan(data)
    assert members == []
    assert one(damages) == (Reason.TAR_UNSUPPORTED, 0, len(data))
    assert "unpack it first" in damages[0].detail


def test_name_that_looks_like_bzip2_is_read():
    assert names(scan(make_tar([("BZh91.jpg", b"x")]))[0]) == ["BZh91.jpg"]


def test_links_devices_and_fifos_are_told_and_passed():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for kind in (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo("0000.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        info = tarfile.TarInfo("0001.txt")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"ok"))
    members, damages = scan(out.getvalue())
    assert contents(members) == [("0001.txt", b"ok")]
    assert [(d.reason, d.offset, d.size) for d in damages] == [(Reason.TAR_UNSUPPORTED, i * 512, 512) for i in range(5)]


def test_directories_and_global_pax_headers_are_structure():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "made here"}) as tar:
        info = tarfile.TarInfo("folder")
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
        tar.addfile(tarfile.TarInfo("folder/0.txt"))
    members, damages = scan(out.getvalue())
    assert names(members) == ["folder/0.txt"]
    assert damages == []


def test_old_gnu_sparse_file_is_told_and_its_map_and_data_are_passed():
    header = bytearray(make_header(size=700, kind=b"S"))
    header[482] = 1
    more = bytes([9]) * 504 + b"\1" + bytes(7)
    last = bytes([9]) * 504 + bytes(8)
    sparse = with_sum(header) + more + last + pad(b"s" * 700)
    members, damages = scan(sparse + make_tar(SIX))
    assert contents(members) == SIX
    assert one(damages) == (Reason.TAR_UNSUPPORTED, 0, len(sparse))


def test_pax_sparse_file_is_told_and_its_data_is_passed():
    info = tarfile.TarInfo("0000.jpg")
    info.size, info.pax_headers = 600, {"GNU.sparse.major": "1", "GNU.sparse.realsize": "50000000"}
    sparse = info.tobuf(tarfile.PAX_FORMAT) + pad(b"s" * 600)
    members, damages = scan(sparse + make_tar(SIX))
    assert contents(members) == SIX
    assert one(damages) == (Reason.TAR_UNSUPPORTED, 0, len(sparse))


@pytest.mark.parametrize("kind", [b"0", b"S", b"x", b"L"])
def test_claim_of_eight_gigabytes_costs_no_memory(kind):
    data = make_tar(SIX)[: layout(make_tar(SIX))[2][0]] + make_header(size=8 << 30, kind=kind) + b"x" * 100_000
    tracemalloc.start()
    members, damages = scan(data, max_member_bytes=1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
    assert contents(members) == SIX[:2]
    assert damages[0].reason in {Reason.TAR_UNSUPPORTED, Reason.TAR_TRUNCATED}
    assert sum(damage.size for damage in damages) == 100_512


def test_pax_size_beyond_the_stream_is_told():
    info = tarfile.TarInfo("0000.jpg")
    info.pax_headers = {"size": "99999999999999999999"}
    members, damages = scan(info.tobuf(tarfile.PAX_FORMAT) + make_tar(SIX))
    assert members == []
    assert [damage.reason for damage in damages] == [Reason.TAR_UNSUPPORTED]


def test_malformed_pax_header_loses_its_member_alone():
    for records in (
        b"8 a=bcd\n0 p=\n",
        b"99 path=a.jpg\n",
        b"path=a.jpg\n",
        b"14 size=minus\n",
        b"9 path=\n",
        b"0 p=",
        b"\xff" * 40,
    ):
        bad = make_header("././@PaxHeader", len(records), b"x") + pad(records) + make_header() + make_tar(SIX)
        members, damages = scan(bad)
        assert contents(members) == SIX
        assert one(damages) == (Reason.TAR_HEADER, 0, 1536)


def test_long_name_without_a_member_is_told_and_names_no_later_one():
    extension = make_header("././@LongLink", 9, b"L") + pad(b"other.jpg")
    members, damages = scan(extension + bytes(1024) + make_tar(SIX))
    assert contents(members) == SIX
    assert one(damages) == (Reason.TAR_HEADER, 0, 1024)


def test_member_over_the_limit_is_named_without_its_data():
    members, damages = scan(make_tar(SIX), max_member_bytes=500)
    assert [member.too_large for member in members] == [len(data) > 500 for _, data in SIX]
    assert names(members) == [name for name, _ in SIX]
    assert damages == []


def test_data_of_unwanted_members_is_not_kept():
    reader = HashingReader(io.BytesIO(make_tar(SIX)))
    items = scan_tar(reader, size=None, max_member_bytes=1 << 20, wanted=lambda name, _: name.endswith("txt"))
    assert [item.data for item in items] == [data if name.endswith("txt") else None for name, data in SIX]


def test_headers_of_old_writers_are_read():
    signed = bytearray(make_header("caf\xe9.jpg", 3))
    signed[148:156] = b" " * 8
    signed[148:156] = b"%06o\0 " % sum(byte - 256 if byte > 127 else byte for byte in signed)
    v7 = bytearray(make_header("old.txt", 2, b"\0"))
    v7[257:] = bytes(255)
    v7[148:156] = b" " * 8
    v7[148:156] = b"%6o \0" % sum(v7)
    huge = bytearray(make_header("big.txt", 2))
    huge[124:136] = b"\x80" + (2).to_bytes(11, "big")
    data = bytes(signed) + pad(b"abc") + bytes(v7) + pad(b"de") + with_sum(huge) + pad(b"fg") + bytes(1024)
    members, damages = scan(data)
    assert contents(members) == [("caf\xe9.jpg", b"abc"), ("old.txt", b"de"), ("big.txt", b"fg")]
    assert damages == []


def test_block_without_magic_is_no_header_while_looking_for_one():
    lookalike = bytearray(make_header("false.jpg"))
    lookalike[257:] = bytes(255)
    data = bytearray(make_tar([("a.txt", with_sum(lookalike) * 2), ("b.txt", b"b")]))
    data[0] ^= 1
    members, damages = scan(bytes(data))
    assert names(members) == ["b.txt"]
    assert one(damages) == (Reason.TAR_HEADER, 0, 1536)


def test_no_read_asks_for_more_than_the_shard_has():
    class Asked(io.BytesIO):
        most = 0

        def read(self, size=-1):
            self.most = max(self.most, size)
            return super().read(size)

    data = make_header(size=3 << 30) + bytes(5000)
    stream = Asked(data)
    items = list(scan_tar(HashingReader(stream), size=len(data), max_member_bytes=4 << 30, wanted=lambda *_: True))
    assert one(items) == (Reason.TAR_TRUNCATED, 0, len(data))
    assert stream.most <= 1 << 20


def test_size_that_a_link_claims_is_not_believed():
    members, damages = scan(make_header(size=900, kind=b"2") + make_tar(SIX))
    assert contents(members) == SIX
    assert one(damages) == (Reason.TAR_UNSUPPORTED, 0, 512)


def test_name_of_two_megabytes_loses_its_member_alone():
    members, damages = scan(make_header(size=2 << 20, kind=b"L") + b"n" * (2 << 20) + make_header() + make_tar(SIX))
    assert contents(members) == SIX
    assert one(damages) == (Reason.TAR_UNSUPPORTED, 0, (2 << 20) + 1024)


def test_negative_size_is_no_header():
    header = bytearray(make_header())
    header[124:136] = b"\xff" * 12
    members, damages = scan(with_sum(header) + make_tar(SIX))
    assert contents(members) == SIX
    assert one(damages) == (Reason.TAR_HEADER, 0, 512)


def test_times_in_a_gnu_header_are_no_part_of_the_name():
    header = bytearray(make_header())
    header[345:357] = b"14321460105\0"
    assert names(scan(with_sum(header) + bytes(1024))[0]) == ["0001.jpg"]


def test_names_that_are_not_utf8_come_with_surrogates():
    members, _ = scan(make_tar([("caf\udce9.jpg", b"x")], "gnu"))
    assert names(members) == ["caf\udce9.jpg"]
