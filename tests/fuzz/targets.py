"""What is fuzzed: sound inputs of each kind, and a check that tells accepted from rejected and raises for all else."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from jobs.sections import LimitsSection
from jobs.spec import load_job
from jobs.verify.files import open_version
from jobs.verify.records import Manifest
from jobs.verify.samples import read_samples
from jobs.verify.walk import Source
from operators.pictures import load_upright, open_picture, to_rgb, upright_size
from pipeline.errors import ConfigError, InputError, LodepackError, Reason, StorageError
from pipeline.formats import FORMATS
from pipeline.read import read_shard
from pipeline.records import read_manifest, read_version
from pipeline.schema import READ, SCHEMA_VERSION
from pipeline.tar import Damage, Member, scan_tar
from pipeline.tar_stream import HashingReader
from pipeline.units import canonical_json, recipe_hash
from tests.fuzz.mutate import TOKENS, mutant

MAX_PIXELS = 1_000_000
LIMITS = LimitsSection(max_member_bytes=4000, max_text_bytes=3000, max_sample_bytes=6000, max_sample_members=12)
REASONS = frozenset(Reason)


@dataclass(frozen=True, slots=True)
class Target:
    """check: whether the bytes are accepted; any exception is a crash."""

    seeds: Callable[[], Sequence[bytes]]
    tokens: Sequence[bytes]
    check: Callable[[bytes], bool]
    mend: Callable[[bytes, int], bytes] = lambda data, _: data
    """Makes checksums right again in some of the inputs, so that what lies behind them is met; by number."""

    def input(self, seed: int, number: int) -> bytes:
        """The input of that seed and number: what a report of a failure names."""
        return self.mend(mutant(self.seeds(), self.tokens, seed, number), number)


def check_error(error: LodepackError) -> None:
    """One line, with a reason of the list where it rejects a sample."""
    assert "\n" not in str(error)
    assert not isinstance(error, InputError) or error.reason in REASONS


MMC4 = {
    "text_list": ["One.", "Two."],
    "image_info": [{"image_base64": "aW1hZ2U="}, {"image_name": "1.png", "matched_text_index": 0}],
    "similarity_matrix": [[0.1, 0.2], [0.3, 0.1]],
}
COMM = {
    "title": "T",
    "summary_info": [{"type": "image", "image_path": "x/a.jpg"}],
    "step_info": [[{"type": "text", "content": "One."}], [{"type": "image", "image_path": None}]],
}
SIMILAR = {"texts": ["One.", "Two."], "images": ["1.png", "0.png"], "matched_text_indices": [0, None]} | {
    "similarity_matrix": MMC4["similarity_matrix"]
}


# --- tar ----------------------------------------------------------------------------------------------------------


@cache
def shards() -> tuple[bytes, ...]:
    pages = {"texts": ["A page.", None], "images": [None, "0.png"]}
    talk = {"messages": [{"role": "user", "content": "<image>What?"}, {"role": "assistant", "content": "A box."}]}
    found = []
    for form, stem in (
        (tarfile.USTAR_FORMAT, ""),
        (tarfile.GNU_FORMAT, "folder/" * 16),
        (tarfile.PAX_FORMAT, "é" * 80),
    ):
        members = {
            f"{stem}0.jpg": b"i" * 300,
            f"{stem}0.txt": b"caption",
            f"{stem}1.png": b"",
            f"{stem}1.txt": b"x" * 600,
        }
        members |= {f"{stem}2.json": json.dumps(pages).encode(), f"{stem}2.0.png": b"j" * 20}
        members |= {f"{stem}4.json": json.dumps(MMC4).encode(), f"{stem}4.1.png": b"l" * 40}
        members |= {f"{stem}5.json": json.dumps(COMM).encode(), f"{stem}5.a.jpg": b"m", f"{stem}5.1.png": b"n"}
        members |= {f"{stem}6.{number}.png": b"o" for number in range(3)} | {f"{stem}6.json": b'{"caption": "c"}'}
        members |= {f"{stem}3.json": json.dumps(talk).encode(), f"{stem}3.0.jpg": b"k" * 700}
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as archive:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        found.append(out.getvalue()[: out.getvalue().rindex(b"k") + 2000 & ~511])
    return tuple(found)


def check_tar(data: bytes) -> bool:
    """Every byte is booked once; rows are valid, each with segments or a reason; `verify` finds the same samples."""
    reader = HashingReader(io.BytesIO(data))
    items = list(scan_tar(reader, size=len(data), max_member_bytes=4000, wanted=lambda *_: True))
    assert reader.ledger.total == reader.offset == len(data)
    damages = [item for item in items if isinstance(item, Damage)]
    assert reader.ledger.damaged == sum(damage.size for damage in damages)
    end = 0
    for item in items:
        assert end <= item.offset <= item.offset + item.size <= len(data)
        end = item.offset + item.size
    form = sorted(FORMATS)[len(data) // 512 % len(FORMATS)]
    place = {"shard_name": "s", "unit": 0, "shard_number": 0, "take": None}
    table = pa.concat_tables(
        read_shard(io.BytesIO(data), len(data), format=FORMATS[form], limits=LIMITS.reading, **place)
    )
    assert table.schema == READ
    table.validate(full=True)
    *rows, last = table.to_pylist()
    assert (last["shard_end"]["rows"], last["shard_end"]["bytes"]) == (len(rows), len(data))
    assert last["shard_end"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert all(row["rejection"]["reason"] in REASONS if row["rejection"] else row["segments"] for row in rows)
    again = [
        (one.key, len(one.segments), bool(one.fault))
        for one in read_samples(Source(io.BytesIO(data)), "0.tar", form, LIMITS)
    ]
    assert again == [(row["key"], len(row["segments"]), row["rejection"] is not None) for row in rows]
    return not damages


def mend_tar(data: bytes, number: int) -> bytes:
    """In every second input each block that says `ustar` gets the sum that it should have."""
    if number % 2:
        return data
    mended = bytearray(data)
    for start in range(0, len(data) - 511, 512):
        if data[start + 257 : start + 262] == b"ustar":
            mended[start + 148 : start + 156] = b" " * 8
            mended[start + 148 : start + 156] = b"%06o\0 " % sum(mended[start : start + 512])
    return bytes(mended)


# --- JSON ---------------------------------------------------------------------------------------------------------


@cache
def documents() -> tuple[bytes, ...]:
    pages = {
        "texts": ["One é \ud83d\ude00 <|image_pad|>", None, "two"],
        "images": [None, "0.png", None],
        "more": {"a": [1.5, -2]},
    }
    turns = [
        {"from": "system", "value": "Be short."},
        {"from": "human", "value": "<image>What?"},
        {"from": "gpt", "value": "It."},
    ]
    said = [{"role": "user", "content": "Hi <image> <image>"}, {"role": "assistant", "content": ""}]
    values = (pages, {"texts": [""], "images": [None]}, {"conversations": turns}, {"messages": said})
    values += (MMC4, COMM, SIMILAR, {"text": "Words é."}, {"caption": "Words é."})
    return tuple(
        json.dumps(value, ensure_ascii=plain).encode("utf-8", "surrogatepass")
        for value in values
        for plain in (True, False)
    )


def check_json(data: bytes) -> bool:
    """A document whose texts any column takes, or a reason, for every format that has a JSON."""
    is_accepted = False
    for name in FORMATS:
        members = [
            Member("k.json", 512, len(data), data),
            Member("k.0.png", 2048, 1, b"x"),
            Member("k.1.png", 4096, 1, b"y"),
        ]
        try:
            sample, ignored = FORMATS[name].to_sample("k", members, 50)
        except InputError as error:
            check_error(error)
            continue
        assert 0 <= ignored <= 3
        assert 0 < len(sample.segments) <= 50
        if sample.rejection is None:
            pa.array([segment.text for segment in sample.segments], pa.large_string()).validate(full=True)
            is_accepted = True
    return is_accepted


# --- pictures -----------------------------------------------------------------------------------------------------


@cache
def pictures() -> tuple[bytes, ...]:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 40, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    found = [
        _saved(noise, "JPEG", exif=exif),
        _saved(noise, "JPEG", progressive=True),
        _saved(noise.convert("CMYK"), "JPEG"),
        _saved(noise, "PNG", exif=exif),
        _saved(noise.quantize(16), "PNG", transparency=0),
        _saved(noise.convert("LA"), "PNG"),
        _saved(Image.fromarray(np.arange(960, dtype=np.uint16).reshape(24, 40) * 60), "PNG"),
        _saved(noise, "WEBP"),
        _saved(noise.convert("RGBA"), "WEBP", lossless=True, exif=exif),
        _saved(noise, "WEBP", save_all=True, append_images=[noise.rotate(180)]),
        _saved(noise, "GIF", save_all=True, append_images=[noise.rotate(180)]),
        _saved(noise.quantize(4), "GIF", transparency=1),
        _saved(noise, "BMP"),
        _saved(noise.quantize(16), "BMP"),
        *(_saved(noise, "TIFF", compression=how) for how in ("raw", "tiff_lzw", "tiff_deflate", "jpeg", "packbits")),
        _saved(noise.convert("1"), "TIFF", compression="group4"),
    ]
    return tuple(found)


def _saved(picture: Image.Image, form: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def check_picture(data: bytes) -> bool:
    """Upright RGB of the size that the header promised, or a reason; the same where a JPEG is decoded small."""
    try:
        picture = open_picture(data, MAX_PIXELS)
        size = upright_size(picture, data)
        rgb = to_rgb(load_upright(picture))
        small = open_picture(data, MAX_PIXELS)
        small.draft("RGB", (1, 1))
        to_rgb(load_upright(small))
    except InputError as error:
        check_error(error)
        return False
    assert rgb.mode == "RGB"
    return rgb.size == size  # `write` rejects what is not


def mend_png(data: bytes, number: int) -> bytes:
    """In every second PNG each chunk gets the checksum that it should have."""
    if number % 2 or not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    mended, place = bytearray(data), 8
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if end > len(data):
            break
        mended[end - 4 : end] = zlib.crc32(data[place + 4 : end - 4]).to_bytes(4, "big")
        place = end
    return bytes(mended)


# --- job files and records ----------------------------------------------------------------------------------------


@cache
def job_files() -> tuple[bytes, ...]:
    quickstart = Path(__file__).parents[2] / "jobs" / "quickstart.yaml"
    mixture = b"""name: mix
input:
  sources:
    docs: {shards: "a/{000000..000007}.tar", weight: 1.5}
    photos: {shards: ["b/*.tar", "s3://c/d.tar"], format: pairs, max_samples: 200}
output: build/mix
profile: qwen2_5_vl
tokenizer: t.model
sequence_length: 4096
score: {propositional: 0.5, balance: opponent}
budget: {rule: global, image_share: 0.4}
pack: {long_documents: reject, closing: true, limits: {images: 32, patches: 16384}, align: 8}
resources: {decode: {cpus: 1, actors: [1, 4]}, score: null}
limits: {max_reject_ratio: 0.1, max_text_bytes: 1000}
limit: 5
"""
    return quickstart.read_bytes(), mixture


def check_job_file(data: bytes) -> bool:
    """A job, or a ConfigError of lines."""
    path = _folder() / "job.yaml"
    path.write_bytes(data)
    try:
        load_job(str(path), [])
    except ConfigError as error:
        str(error).encode("utf-8", "backslashreplace")  # as a console has it
        return False
    return True


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


@cache
def records() -> tuple[bytes, ...]:
    recipe = {
        "job": {"limits": {"max_member_bytes": 9}},
        "schema_version": SCHEMA_VERSION,
        "source": {"format": "pairs", "weight": 1.0},
    }
    common = {
        "schema_version": SCHEMA_VERSION,
        "recipe": recipe,
        "recipe_id": recipe_hash(recipe),
        "reasons": {"too-long": 1},
    }
    shard = {"shard": "a.tar", "sha256": "0" * 64, "bytes": 9, "samples": 3, "ignored": 0}
    file = {"path": "data/u-0000-00000000.parquet", "kind": "data", "sha256": "0" * 64, "bytes": 9, "rows": 3}
    counts = {"samples": {"read": 3, "packed": 2, "rejected": 1}, "tokens": {"packs": 1}}
    source = {"format": "pairs", "weight": 1.0, "max_samples": None, "units": ["u"], "totals": counts}
    manifest = common | {"unit": "u", "inputs": [shard], "files": [file], "counts": counts}
    version = common | {"units": ["u"], "sources": {"input": source}, "totals": counts, "withheld_shards": []}
    return canonical_json(manifest), canonical_json(version)


def check_record(data: bytes) -> bool:
    """A build, an inspect and a trainer get a record or a StorageError, `verify` that or a ConfigError."""
    versions = _folder() / "versions"
    versions.mkdir(exist_ok=True)
    path = versions / "000001.json"
    path.write_bytes(data)
    is_accepted = False
    for read in (read_manifest, read_version):
        try:
            read(str(path))
            is_accepted = True
        except StorageError as error:
            check_error(error)
    try:
        open_version(str(_folder()))
    except ConfigError as error:
        check_error(error)
    with suppress(ValueError, RecursionError):  # what check_records makes findings of
        Manifest.model_validate(json.loads(data))
    return is_accepted


TARGETS = {
    "tar": Target(shards, TOKENS["tar"], check_tar, mend_tar),
    "json": Target(documents, TOKENS["json"], check_json),
    "picture": Target(pictures, TOKENS["picture"], check_picture, mend_png),
    "job": Target(job_files, TOKENS["yaml"], check_job_file),
    "record": Target(records, TOKENS["json"], check_record),
}
