"""Bad input of every kind, through a real local build: its reason, its place, and everything else is packed.

One shard a format holds all cases, each between sound samples, so that a few builds meet them all.
"""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs.verify import verify
from pipeline.errors import ConfigError, Reason, StorageError
from tests.fuzz.bombs import entry, pax, plain, png, saved
from tests.support import ROOT, build

TIGHT = (
    "score=null",
    "budget=none",
    "sequence_length=2048",
    "limits.max_reject_ratio=1",
    "limits.max_member_bytes=300000",
    "limits.max_text_bytes=40000",
    "limits.max_sample_bytes=320000",
    "limits.max_sample_members=40",
    "limits.max_image_pixels=1000000",
)
JPEG, PNG = saved(plain(), "JPEG"), saved(plain(), "PNG")
SOUND = None
"""The reason of what is packed."""


class Planted:
    """Its pickle would create a file when loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (open, (str(self._path), "w"))


@dataclass(frozen=True, slots=True)
class Case:
    """Blocks of a tar, and what each sample in them comes to: (key, reason, member); `@`: the key of damage."""

    name: str
    blocks: bytes
    fates: tuple[tuple[str, Reason | None, str], ...]


def pair(key: str, picture: bytes = JPEG, text: bytes = b"A box.", extension: str = "jpg") -> bytes:
    return entry(f"{key}.{extension}", picture) + entry(f"{key}.txt", text)


def flipped(block: bytes, place: int) -> bytes:
    return block[:place] + bytes([block[place] ^ 0xFF]) + block[place + 1 :]


def link(kind: bytes) -> bytes:
    return entry("l.jpg", b"", type=kind, linkname="/etc/passwd")


def named(name: bytes) -> bytes:
    return entry(name.decode("utf-8", "surrogateescape"), b"x")


def many(key: str, count: int) -> bytes:
    return pair(key) + b"".join(entry(f"{key}.{number}.cls", b"") for number in range(count))


def case(name: str, blocks: bytes, *fates: tuple[str, Reason | None, str]) -> Case:
    return Case(name, blocks, fates)


def one(
    key: str, reason: Reason | None, picture: bytes = JPEG, text: bytes = b"A box.", extension: str = "jpg"
) -> Case:
    """A pair whose reason is its picture's, or its text's where that is given."""
    guilty = f"{key}.txt" if text != b"A box." else f"{key}.{extension}"
    return Case(key, pair(key, picture, text, extension), ((key, reason, guilty),))


def pairs(trap: Path) -> list[Case]:
    """Cases 14 to 23 of pictures with captions."""
    turned = Image.Exif()
    turned[0x0112] = 6
    two = [saved(plain(), form, save_all=True, append_images=[plain().rotate(180)]) for form in ("GIF", "WEBP")]
    long = "k" * 4090
    tar, name = Reason.TAR_HEADER, Reason.NAME_INVALID
    return [
        case("flipped", flipped(pair("flip"), 5), ("@", tar, ""), ("flip", Reason.FIELD_MISSING, "flip.txt")),
        case("zeroed", bytes(512) + pair("zero")[512:], ("@", tar, ""), ("zero", Reason.FIELD_MISSING, "zero.txt")),
        case("garbage", b"?" * 1536, ("@", tar, "")),
        case("old sparse", entry("s.jpg", b"", type=b"S"), ("@", Reason.TAR_UNSUPPORTED, "")),
        case("pax sparse", pax({"GNU.sparse.major": "1"}, b"x"), ("@", Reason.TAR_UNSUPPORTED, "")),
        case("hard link", link(b"1"), ("@", Reason.TAR_UNSUPPORTED, "")),
        case("symbolic link", link(b"2"), ("@", Reason.TAR_UNSUPPORTED, "")),
        case("no extension", named(b"README"), ("@", name, "README")),
        case("hidden", named(b".hidden"), ("@", name, ".hidden")),
        case("not UTF-8", named(b"caf\xe9.jpg"), ("@", name, "caf\\udce9.jpg")),
        case("name of 4 KB", named(long.encode() + b"kkk.jpg"), ("@", name, f"{long}kkk.jp")),
        one("2024.01.05_cat", SOUND),
        one("../../etc/passwd", SOUND),
        one("/etc/shadow", SOUND),
        one("upper", SOUND, extension="JPG"),
        case("twice", pair("twice") + entry("twice.txt", b"again"), ("twice", Reason.NAME_DUPLICATE, "twice.txt")),
        case(
            "unsafe",
            pair("unsafe") + entry("unsafe.pt", pickle.dumps(Planted(trap))),
            ("unsafe", Reason.UNSAFE_TYPE, "unsafe.pt"),
        ),
        case(
            "apart",
            pair("apart") + pair("other") + entry("apart.cls", b"1"),
            ("apart", SOUND, ""),
            ("other", SOUND, ""),
            ("apart", Reason.SAMPLE_SPLIT, "apart.cls"),
        ),
        case("no text", entry("mute.jpg", JPEG), ("mute", Reason.FIELD_MISSING, "mute.jpg")),
        case("no image", entry("blind.txt", b"t"), ("blind", Reason.FIELD_MISSING, "blind.txt")),
        case("two images", pair("two") + entry("two.png", PNG), ("two", Reason.FIELD_INVALID, "two.png")),
        case("many members", many("many", 50), ("many", Reason.SAMPLE_TOO_LARGE, "many.38.cls")),
        case(
            "many bytes",
            entry("fat.jpg", bytes(299_000)) + entry("fat.png", bytes(99_000)),
            ("fat", Reason.SAMPLE_TOO_LARGE, "fat.png"),
        ),
        one("large", Reason.MEMBER_TOO_LARGE, bytes(300_001)),
        one("cut", Reason.DECODE_ERROR, saved(Image.effect_noise((90, 90), 60), "JPEG")[:-900]),
        one("cmyk", SOUND, saved(plain().convert("CMYK"), "JPEG")),
        one("deep", SOUND, saved(Image.new("I;16", (40, 30), 900), "PNG"), extension="png"),
        one("palette", SOUND, saved(plain().quantize(8), "PNG"), extension="png"),
        one("animated", SOUND, two[0], extension="gif"),
        one("animated-webp", SOUND, two[1], extension="webp"),
        one("turned", SOUND, saved(plain(), "JPEG", exif=turned)),
        one("nothing", Reason.DECODE_ERROR, png(0, 0)),
        one("sliver", Reason.IMAGE_SLIVER, saved(Image.new("L", (1, 65_500)), "JPEG")),
        one("misnamed", SOUND, PNG),
        one("huge", Reason.IMAGE_TOO_LARGE, png(65_000, 65_000)),
        one("psd", Reason.FORMAT_NOT_ALLOWED, b"8BPS\0\1" + bytes(60)),
        one("eps", Reason.FORMAT_NOT_ALLOWED, b"%!PS-Adobe-3.0 EPSF-3.0\n"),
        one("fits", Reason.FORMAT_NOT_ALLOWED, b"SIMPLE  =                    T".ljust(2880)),
        one("empty-text", SOUND, text=b""),
        one("nul", SOUND, text=b"a\0b"),
        one("bom", SOUND, text=b"\xef\xbb\xbfa"),
        one("marks", SOUND, text=b"<|image_pad|><|vision_start|></s><image><|im_end|>"),
        one("latin", Reason.TEXT_INVALID, text=b"caf\xe9"),
        one("surrogate", Reason.TEXT_INVALID, text=b"\xed\xa0\x80"),
        one("long-text", Reason.TEXT_TOO_LARGE, text=b"a" * 40_001),
        Case("too-long", pair("too-long", text=b"a b " * 9000), (("too-long", Reason.TOO_LONG, "too-long.txt"),)),
    ]


def document(key: str, index: bytes | dict[str, Any]) -> bytes:
    data = index if isinstance(index, bytes) else json.dumps(index).encode()
    return entry(f"{key}.json", data) + entry(f"{key}.0.png", PNG)


def paged(key: str, reason: Reason | None, index: bytes | dict[str, Any]) -> Case:
    return Case(key, document(key, index), ((key, reason, f"{key}.json"),))


def pages(_: Path) -> list[Case]:
    """Cases 17 to 21 of documents."""
    fine = {"texts": ["A page.", None], "images": [None, "0.png"]}
    invalid, text = Reason.FIELD_INVALID, Reason.TEXT_INVALID
    plain_text = json.dumps(fine).encode()
    return [
        paged("fine", SOUND, fine),
        paged("missing", Reason.FIELD_MISSING, {"texts": ["a", None], "images": [None, "7.png"]}),
        paged("named-twice", invalid, {"texts": [None, None], "images": ["0.png", "0.png"]}),
        paged("nested", invalid, b"[" * 20_000 + b"]" * 20_000),
        paged("digits", invalid, b'{"texts": ' + b"9" * 9000 + b"}"),
        paged("numbers", SOUND, plain_text[:-1] + b', "x": [NaN, Infinity, 1e999]}'),
        paged("equal-names", SOUND, b'{"texts": 1, ' + plain_text[1:]),
        paged("bom-json", invalid, b"\xef\xbb\xbf" + plain_text),
        paged("utf-16", text, json.dumps(fine).encode("utf-16")),
        paged("lone", text, {"texts": ["\ud800", None], "images": [None, "0.png"]}),
        paged("nul-json", SOUND, {"texts": ["a\0b", None], "images": [None, "0.png"]}),
        paged("large-json", Reason.TEXT_TOO_LARGE, {"texts": ["a" * 40_001], "images": [None]}),
        paged("many-texts", Reason.SAMPLE_TOO_LARGE, {"texts": ["a"] * 41, "images": [None] * 41}),
        paged("empty", SOUND, {"texts": ["", None], "images": [None, "0.png"]}),
    ]


def talk(key: str, reason: Reason | None, *turns: tuple[str, str]) -> Case:
    said = {"messages": [{"role": role, "content": content} for role, content in turns]}
    return paged(key, reason, said)


def talks(_: Path) -> list[Case]:
    """Of conversations."""
    return [
        talk("asked", SOUND, ("user", "<image>What?"), ("assistant", "A box. <|im_end|>")),
        talk("unanswered", Reason.NO_LOSS, ("user", "<image>What?")),
        talk("marks", Reason.SAMPLE_TOO_LARGE, ("user", "<image>" * 41), ("assistant", "no")),
        talk("unknown", Reason.FIELD_INVALID, ("robot", "<image>"), ("assistant", "no")),
    ]


CASES = {"pairs": pairs, "interleaved": pages, "conversations": talks}


@dataclass(frozen=True, slots=True)
class Built:
    """One build of all cases of a format."""

    output: Path
    shard: bytes
    cases: list[tuple[Case, int]]
    """Each with the place of its first byte."""
    rejects: list[dict[str, Any]]
    packed: set[str]
    summary: dict[str, Any]
    trap: Path


@pytest.fixture(scope="module", params=sorted(CASES))
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    form: str = request.param
    folder = tmp_path_factory.mktemp(form)
    shard, placed = b"", []
    for number, found in enumerate(CASES[form](folder / "sprung")):
        placed.append((found, len(shard)))
        shard += found.blocks
        key = f"sound-{number:03d}"
        sound = {"texts": ["A page.", None], "images": [None, "0.png"]}
        said = {"messages": [{"role": "user", "content": "<image>"}, {"role": "assistant", "content": "A."}]}
        shard += pair(key) if form == "pairs" else document(key, sound if form == "interleaved" else said)
    shard += bytes(1024)
    (folder / "s-000000.tar").write_bytes(shard)
    (folder / "s-000001.tar").write_bytes(bytes(1024))  # an empty shard closes like any other
    summary = build(folder / "out", f"{folder}/s-{{000000..000001}}.tar", *TIGHT, f"input.format={form}")
    rejects = [row for path in (folder / "out/rejects").iterdir() for row in pq.read_table(path).to_pylist()]
    packs = [
        row for path in (folder / "out/data").iterdir() for row in pq.read_table(path, columns=["samples"]).to_pylist()
    ]
    packed = {sample["id"]["key"] for row in packs for sample in row["samples"]}
    return Built(
        folder / "out",
        shard,
        placed,
        [r for r in rejects if r["level"] == "sample"],
        packed,
        summary,
        folder / "sprung",
    )


def test_every_case_has_its_reason_and_its_place(built: Built) -> None:
    wrong = []
    for found, start in built.cases:
        inside = [row for row in built.rejects if start <= row["offset"] < start + len(found.blocks)]
        expected = sorted((str(reason), member) for _, reason, member in found.fates if reason is not None)
        if sorted((row["reason"], row["member"]) for row in inside) != expected:
            wrong.append(
                (
                    found.name,
                    [(row["id"]["key"][:80], row["reason"], row["member"][:80], row["detail"]) for row in inside],
                )
            )
        for row in inside:
            assert row["id"]["key"].startswith("@") or row["id"]["key"] in {key for key, _, _ in found.fates}
            if row["member"] and not row["id"]["key"].startswith("@"):
                header = built.shard[row["offset"] - 512 : row["offset"]]
                assert header.startswith(row["member"].encode()[:99])
    assert wrong == []


def test_everything_else_is_packed_and_counts_close(built: Built) -> None:
    sound = {key for found, _ in built.cases for key, reason, _ in found.fates if reason is None}
    neighbours = {f"sound-{number:03d}" for number in range(len(built.cases))}
    assert built.packed == sound | neighbours
    counts = built.summary["totals"]["samples"]
    assert counts["read"] == counts["packed"] + counts["rejected"]
    assert counts["rejected"] == len(built.rejects)
    assert {row["reason"] for row in built.rejects} <= set(Reason)


def test_verify_finds_the_same(built: Built) -> None:
    assert verify(str(built.output)).findings == []


ELSEWHERE = {
    Reason.TAR_TRUNCATED: "tests/test_damage.py",
    Reason.SAMPLE_REJECTED: "tests/test_damage.py",
    Reason.SCORE_NAN: "tests/operators/test_score.py",
    Reason.REDUCTION_GRID: "tests/operators/test_reduce.py",
    Reason.REDUCTION_SCORES: "tests/operators/test_reduce.py",
    Reason.FILTER_FORMAT: "tests/operators/filters/test_format.py",
    Reason.FILTER_SIZE: "tests/operators/filters/test_size.py",
    Reason.FILTER_ASPECT: "tests/operators/filters/test_aspect.py",
    Reason.FILTER_BLUR: "tests/operators/filters/test_blur.py",
    Reason.FILTER_REPEATED_IMAGE: "tests/operators/filters/test_repeated_image.py",
    Reason.FILTER_NEAR_DUPLICATE: "tests/operators/filters/test_near_duplicate.py",
    Reason.FILTER_WORDS: "tests/operators/filters/test_words.py",
    Reason.FILTER_CHARACTER_REPETITION: "tests/operators/filters/test_repetition.py",
    Reason.FILTER_WORD_REPETITION: "tests/operators/filters/test_repetition.py",
    Reason.FILTER_SPECIAL_CHARACTERS: "tests/operators/filters/test_special_characters.py",
    Reason.FILTER_STOPWORDS: "tests/operators/filters/test_listed_words.py",
    Reason.FILTER_FLAGGED_WORDS: "tests/operators/filters/test_listed_words.py",
    Reason.FILTER_COMMON_WORDS: "tests/operators/filters/test_listed_words.py",
    Reason.FILTER_IMAGE_TEXT: "tests/operators/filters/test_image_text.py",
    Reason.FILTER_SELECTION: "tests/operators/filters/test_selection.py",
    Reason.FILTER_IMAGES: "tests/operators/filters/test_images.py",
    Reason.FILTER_SINGLE_IMAGE: "tests/operators/filters/test_single_image.py",
    Reason.FILTER_PUNCTUATION: "tests/operators/filters/test_punctuation.py",
    Reason.FILTER_LANGUAGE: "tests/operators/filters/test_language.py",
    Reason.FILTER_SPAM: "tests/operators/filters/test_listed_words.py",
    Reason.FILTER_PERPLEXITY: "tests/operators/filters/test_perplexity.py",
    Reason.FILTER_TEXT_SEQUENCE: "tests/operators/filters/test_text_sequence.py",
    Reason.FILTER_IMAGE_SEQUENCE: "tests/operators/filters/test_image_sequence.py",
    Reason.FILTER_DUPLICATE_DOCUMENT: "tests/operators/test_duplicates.py",
    Reason.FILTER_DUPLICATE_IMAGE: "tests/operators/test_duplicates.py",
    Reason.PARQUET_INVALID: "tests/pipeline/containers/test_rows.py",
}
"""Reasons that need a shard that ends, two segments, a broken encoder, a reduction, filters, or rows."""
BY_DEATH = {Reason.DECODE_CRASH, Reason.DECODE_TIMEOUT}
"""Reasons that need a picture that kills or stalls its decoder: tests of the guarded decoder have them."""


def test_every_reason_is_met_by_a_test(tmp_path: Path) -> None:
    found = {reason for cases in CASES.values() for one in cases(tmp_path) for _, reason, _ in one.fates if reason}
    assert found | ELSEWHERE.keys() | BY_DEATH == set(Reason)
    for reason, path in ELSEWHERE.items():
        assert f'"{reason}"' in (ROOT / path).read_text()


def test_the_readme_has_every_reason_and_no_other() -> None:
    _, _, section = (ROOT / "README.md").read_text().partition("### Reasons")
    assert re.findall(r"^\| `([a-z0-9-]+)` \| ", section, re.MULTILINE) == [str(reason) for reason in Reason]


def write_junk(folder: Path, num_shards: int, per_shard: int) -> str:
    """Shards of sound samples and as many members without a partner."""
    for number in range(num_shards):
        blocks = b"".join(entry(f"junk-{number}-{i:04d}.txt", b"alone") for i in range(per_shard))
        (folder / f"s-{number:06d}.tar").write_bytes(pair(f"sound-{number}") + blocks + bytes(1024))
    return f"{folder}/s-{{000000..{num_shards - 1:06d}}}.tar"


TOO_MANY = (
    r"^(\d+) of (\d+) samples were rejected \(field-missing \1; for example "
    r"s-\d{6}\.tar/junk-\d-\d{4}, s-\d{6}\.tar/junk-\d-\d{4}, s-\d{6}\.tar/junk-\d-\d{4}\); "
    r"limits\.max_reject_ratio allows 50%; see rejects/, mend the input or raise it$"
)
"""The top reasons and three examples, in one line."""
PLAIN = ("input.format=pairs", "score=null", "budget=none", "unit.target_shards=1", "limits.max_reject_ratio=0.5")


def test_too_many_rejects_stop_a_job_before_its_last_unit(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=TOO_MANY):
        build(tmp_path / "out", write_junk(tmp_path, 8, 600), *PLAIN)
    assert 0 < len(list((tmp_path / "out/manifests").iterdir())) < 8
    assert not (tmp_path / "out/versions").exists()


def test_too_many_rejects_of_a_small_job_stop_it_at_its_end(tmp_path: Path) -> None:
    shards = write_junk(tmp_path, 2, 5)
    with pytest.raises(StorageError, match=TOO_MANY):
        build(tmp_path / "out", shards, *PLAIN)
    assert not (tmp_path / "out/versions").exists()
    build(tmp_path / "out", shards, *PLAIN[:-1], "limits.max_reject_ratio=0.9")
    assert (tmp_path / "out/versions/000001.json").exists()


def test_shards_that_lie_in_the_output_are_refused(tmp_path: Path) -> None:
    shards = write_junk(tmp_path, 1, 1)
    with pytest.raises(ConfigError, match=r"s-000000\.tar lies in the output"):
        build(tmp_path, shards, *PLAIN)


def test_nothing_in_a_shard_was_loaded_or_written_by_its_name(built: Built) -> None:
    assert not built.trap.exists()
    written = {str(path.relative_to(built.output)) for path in built.output.rglob("*") if path.is_file()}
    places = {"README.md", "data", "index", "manifests", "rejects", "runs", "versions"}
    assert {name.partition("/")[0] for name in written} == places
