"""`lodepack stats` counts each source as it is packed, and says what each filter removed and how they overlap."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs.cli import main
from jobs.inspect.output import open_output
from jobs.stats.command import statistics
from pipeline.derived import derived_ordinal
from pipeline.errors import ConfigError, StorageError
from pipeline.parquet import write_parquet
from pipeline.records import read_version
from pipeline.schema import INDEX, REJECTS, SCHEMA_VERSION
from pipeline.types import Modality, SegmentKind
from pipeline.units import canonical_json, recipe_hash
from tests.support import (
    ROOT,
    build,
    png_that_only_decoding_refuses,
    totals_of,
    write_pairs,
    write_shard,
    write_small_shards,
)

Row = dict[str, Any]
Call = Callable[..., tuple[int, str, str]]
SETTINGS = ("score=null", "budget=none", "limits.max_reject_ratio=1")
VISUAL = (Modality.IMAGE, Modality.VIDEO, Modality.DISCRETE)


def mixture(folder: Path) -> str:
    """Twice the manual, with a picture whose damage only `write` sees, and pairs once."""
    write_small_shards(folder / "docs", 3, 4)
    members = {"x.json": b'{"texts": ["one", null], "images": [null, "0.png"]}'}
    write_shard(folder / "docs" / "small-000003.tar", members | {"x.0.png": png_that_only_decoding_refuses()})
    docs = {"shards": str(folder / "docs" / "*.tar"), "weight": 2}
    photos = {"shards": write_pairs(folder / "photos", 2, 5), "format": "pairs"}
    return f"input={json.dumps({'sources': {'docs': docs, 'photos': photos}})}"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Carried, copied, split and aligned documents, of a family that begins each with a token of its own."""
    folder = tmp_path_factory.mktemp("mixed")
    options = ("profile=llava_1_5_hf", "sequence_length=704", "pack.closing=true", "pack.align=64")
    build(folder / "out", None, mixture(folder), *SETTINGS, *options, "unit.target_shards=2")
    return folder / "out"


def packed(output: Path) -> dict[str, dict[tuple[str, int, int], Row]]:
    """What the packs themselves say of each copy of a document, by source: its tokens by modality, and its images."""
    found: dict[str, dict[tuple[str, int, int], Row]] = defaultdict(dict)
    for pack in (row for path in sorted((output / "data").iterdir()) for row in pq.read_table(path).to_pylist()):
        for number, sample in enumerate(pack["samples"]):
            shard, ordinal = sample["id"]["shard"], sample["id"]["ordinal"]
            document = found[shard.partition("/")[0]].setdefault(
                (shard, ordinal, sample["copy"]), {"tokens": Counter(), "images": set()}
            )
            document["tokens"].update(pack["modality"][sample["start"] : sample["start"] + sample["length"]])
            document["images"] |= {view["image"] for view in pack["views"] if view["sample"] == number}
    return found


def test_tokens_and_images_of_each_source_are_those_of_its_packs_and_of_its_totals(mixed: Path) -> None:
    report = statistics(str(mixed), version=None, show=False)
    version = read_version(str(mixed / "versions" / "000001.json"))
    documents = packed(mixed)
    assert any(row["num_parts"] > 1 for path in (mixed / "data").iterdir() for row in samples(path))
    assert any(read["carried"] for path in (mixed / "index").iterdir() for read in pq.read_table(path).to_pylist())
    for name, source in version["sources"].items():
        found, totals = report["sources"][name], source["totals"]
        tokens: Counter[int] = Counter()
        for document in documents[name].values():
            tokens.update(document["tokens"])
        assert found["tokens"]["text"] == tokens[Modality.TEXT] == totals["tokens"]["text"]
        assert found["tokens"]["visual"] == sum(tokens[kind] for kind in VISUAL) == totals["tokens"]["visual"]
        assert found["tokens"]["markers"] == tokens[Modality.MARKER] > 0
        assert found["tokens"]["total"] == totals["tokens"]["tokens"]
        images = Counter(len(document["images"]) for document in documents[name].values())
        assert found["images"]["total"] == sum(number * amount for number, amount in images.items())
        assert found["images"]["per_document"]["max"] == max(images)
        assert sum(bar["documents"] for bar in found["images"]["histogram"]) == totals["samples"]["packed"]
        assert [bar["documents"] for bar in found["images"]["histogram"]][:3] == [images[0], images[1], images[2]]
    for name in ("text", "visual"):
        assert report["all"]["tokens"][name] == version["totals"]["tokens"][name]


def samples(path: Path) -> list[Row]:
    return [sample for pack in pq.read_table(path, columns=["samples"]).to_pylist() for sample in pack["samples"]]


def test_documents_are_those_of_the_version_and_one_found_damaged_late_is_in_no_other_figure(mixed: Path) -> None:
    report = statistics(str(mixed), version=None, show=False)
    docs, photos = report["sources"]["docs"], report["sources"]["photos"]
    counts = {"derived": 0, "withheld": 0, "without_image": 0}
    assert docs["documents"] == counts | {"read": 13, "repeated": 12, "packed": 24, "rejected": 1}
    assert docs["reasons"] == {"documents": {"decode-error": 1}, "segments": {"decode-error": 1, "sample-rejected": 1}}
    assert photos["documents"] == counts | {"read": 10, "repeated": 0, "packed": 10, "rejected": 0}
    one = {"mean": 1.0, "median": 1.0, "max": 1}
    assert photos["images"]["per_document"] == photos["texts"]["per_document"] == one
    # LLaVA-1.5 has 576 tokens an image, whatever its size.
    assert photos["images"]["tokens_each"] == {"mean": 576.0, "median": 576.0, "max": 576}
    assert report["all"]["documents"] == counts | {"read": 23, "repeated": 12, "packed": 34, "rejected": 1}


def image(tokens: int, markers: int = 0) -> Row:
    runs = [{"id": 1, "modality": Modality.IMAGE, "view": 0, "count": tokens}]
    return {
        "kind": SegmentKind.IMAGE,
        "runs": [*runs, *([{"id": 2, "modality": Modality.MARKER, "view": -1, "count": markers}] if markers else [])],
    }


def text(tokens: int, role: str | None = None) -> Row:
    return {"kind": SegmentKind.TEXT, "role": role, "ids": [7] * tokens, "labels": [7] * tokens}


def document(ordinal: int, *segments: Row) -> Row:
    return {"id": {"shard": "a.tar", "key": f"{ordinal}", "ordinal": ordinal}, "segments": list(segments)}


def reject(ordinal: int, rules: list[str], *, segment: int | None = None, reason: str = "", by: str = "filter") -> Row:
    return {
        "level": "sample" if segment is None else "segment",
        "id": {"shard": "a.tar", "key": f"{ordinal}", "ordinal": ordinal},
        "segment": segment,
        "operator": by,
        "reason": reason or rules[0],
        "rules": rules,
    }


def write_output(
    folder: Path, index: list[Row], rejects: list[Row], *, start: str | None = None, weight: float = 1.0
) -> str:
    """An output of one unit with these rows, and no pack."""
    recipe: Row = {"profile": {"name": "ours", "tokens": {"document_start": start}}}
    samples = totals_of(read=len(index), packed=len(index), rejected=sum(row["level"] == "sample" for row in rejects))
    common = {"schema_version": SCHEMA_VERSION, "recipe": recipe, "recipe_id": recipe_hash(recipe)}
    files = [
        write_parquet(str(folder), "index", "u", INDEX, [index[:2], index[2:]]),
        write_parquet(str(folder), "rejects", "u", REJECTS, [rejects]),
    ]
    manifest = {"unit": "u", "inputs": [], "files": files, "counts": {"samples": samples}, "reasons": {}}
    source = {"format": "pairs", "weight": weight, "max_samples": None, "units": ["u"], "totals": {"samples": samples}}
    version = {
        "units": ["u"],
        "sources": {"input": source},
        "totals": {"samples": samples},
        "reasons": {},
        "withheld_shards": [],
    }
    for path, record in {"manifests/u.json": manifest, "versions/000001.json": version}.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(canonical_json(common | record))
    return str(folder)


def test_an_image_of_576_tokens_beside_a_text_of_7_is_98_8_percent(tmp_path: Path) -> None:
    chat = document(0, image(576), text(7, "user"))
    found = statistics(write_output(tmp_path, [chat], []), version=None, show=False)["sources"]["input"]
    assert found["tokens"] == {
        "text": 7,
        "visual": 576,
        "markers": 0,
        "total": 583,
        "visual_share": 0.987993,
        "visual_per_text": 82.285714,
    }


def test_spreads_and_bins_are_exact_over_row_groups(tmp_path: Path) -> None:
    index = [
        document(0, text(4)),
        document(1, image(100, 2), text(6), text(2)),
        document(2, *[image(64, 2)] * 4, text(0)),
        document(3, *[image(10)] * 17),
    ]
    found = statistics(write_output(tmp_path, index, [], start="<s>"), version=None, show=False)["all"]
    assert found["images"]["per_document"] == {"mean": 5.5, "median": 2.5, "max": 17}
    assert found["images"]["tokens_each"] == {"mean": round(526 / 22, 6), "median": 10.0, "max": 100}
    assert [bar["documents"] for bar in found["images"]["histogram"]] == [1, 1, 0, 1, 0, 0, 1]
    assert found["images"]["histogram"][3] == {"least": 3, "most": 4, "documents": 1}
    assert found["images"]["histogram"][-1]["most"] is None
    assert found["texts"]["total"] == 4
    assert found["texts"]["tokens_each"] == {"mean": 3.0, "median": 3.0, "max": 6}
    assert found["documents"]["without_image"] == 1
    tokens = found["tokens"]
    # An end token each is text, a start token each a marker.
    assert (tokens["text"], tokens["visual"], tokens["markers"]) == (12 + 4, 526, 10 + 4)


def test_a_derived_document_counts_as_often_as_its_original(tmp_path: Path) -> None:
    ordinals = [0, 1, derived_ordinal(0, 1), derived_ordinal(1, 2)]
    index = [document(ordinal, image(10), text(3, "user")) for ordinal in ordinals]
    found = statistics(write_output(tmp_path, index, [], weight=2.5), version=None, show=False)["all"]
    # Two samples in a row have 5 copies, whatever each has.
    assert found["images"]["total"] == found["texts"]["total"] == 10
    assert (found["tokens"]["text"], found["tokens"]["visual"]) == (30, 100)


REJECTED = [
    reject(1, ["filter-aspect", "filter-size"], segment=0),
    reject(1, ["filter-size"], segment=3),
    reject(1, ["filter-size"], segment=4),
    # A document rule that names the guilty image, beside one that was dropped before and one that was sound.
    reject(2, ["filter-repeated-image", "filter-images"]),
    reject(2, ["filter-repeated-image", "filter-images"], segment=0),
    reject(2, ["filter-aspect"], segment=1),
    reject(2, [], segment=2, reason="sample-rejected"),
    reject(3, ["filter-images"]),
    reject(4, ["filter-images", "filter-repeated-image", "filter-words"]),
    reject(5, [], reason="decode-error", by="decode"),
    reject(5, [], segment=0, reason="decode-error", by="decode"),
    reject(6, ["filter-images"], reason="too-long", by="pack"),
]


@pytest.fixture
def filtered(tmp_path: Path) -> str:
    return write_output(tmp_path, [document(0, text(3)), document(1, text(3))], REJECTED)


def test_each_rule_has_what_it_removed_first_also_and_alone(filtered: str) -> None:
    found = statistics(filtered, version=None, show=False)["sources"]["input"]
    assert found["filters"]["documents"] == {
        "filter-images": {"first": 2, "also": 2, "alone": 1},
        "filter-repeated-image": {"first": 1, "also": 1, "alone": 0},
        "filter-words": {"first": 0, "also": 1, "alone": 0},
    }
    assert found["filters"]["segments"] == {
        "filter-aspect": {"first": 2, "also": 0, "alone": 1},
        "filter-size": {"first": 2, "also": 1, "alone": 2},
    }
    assert found["reasons"]["documents"] == {
        "decode-error": 1,
        "filter-images": 2,
        "filter-repeated-image": 1,
        "too-long": 1,
    }
    assert found["reasons"]["segments"]["filter-repeated-image"] == 1


def test_the_overlap_says_how_many_break_both_of_two_rules(filtered: str) -> None:
    overlap = statistics(filtered, version=None, show=False)["all"]["overlap"]
    assert overlap["documents"] == {
        "filter-images": {"filter-images": 4, "filter-repeated-image": 2, "filter-words": 1},
        "filter-repeated-image": {"filter-images": 2, "filter-repeated-image": 2, "filter-words": 1},
        "filter-words": {"filter-images": 1, "filter-repeated-image": 1, "filter-words": 1},
    }
    assert overlap["segments"] == {
        "filter-aspect": {"filter-aspect": 2, "filter-size": 1},
        "filter-size": {"filter-aspect": 1, "filter-size": 3},
    }


@pytest.fixture
def stats(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The command, as it is called: its exit code and what it printed."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lodepack", "stats", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        shown = capsys.readouterr()
        return int(stopped.value.code or 0), shown.out, shown.err

    return call


def test_tables_hold_the_figures_and_json_the_same_ones(filtered: str, stats: Call) -> None:
    _, shown, _ = stats(filtered)
    lines = [[cell.strip() for cell in line.strip("│").split("│")] for line in shown.splitlines()]
    assert ["input", "filter-images", "2", "2", "1"] in lines
    assert ["1 filter-images", "4", "2", "1"] in lines
    assert ["input", "decode-error", "1"] in lines
    assert ["input", "8", "0", "0", "1 : 0.00", "0.0%"] in lines
    code, shown, error = stats(filtered, "--json")
    assert (code, error) == (0, "")
    assert json.loads(shown) == statistics(filtered, version=1, show=False)


def test_a_long_overlap_is_cut_on_the_screen_alone_and_no_number_is(tmp_path: Path, stats: Call) -> None:
    rules = [f"filter-rule-of-a-long-name-{letter}" for letter in "abcdefghijkl"]
    output = write_output(tmp_path, [], [reject(i, rules) for i in range(1234)])
    _, shown, _ = stats(output)
    assert len(statistics(output, version=None, show=False)["all"]["overlap"]["documents"]) == 12
    assert "2 more rules" in " ".join(shown.split())
    assert "…" not in shown


def test_an_output_without_a_document_has_figures_too(tmp_path: Path, stats: Call) -> None:
    output = write_output(tmp_path, [], [])
    report = statistics(output, version=None, show=False)
    assert report["all"]["images"]["per_document"] == {"mean": None, "median": None, "max": None}
    assert report["all"]["tokens"]["visual_share"] is None
    code, shown, _ = stats(output)
    assert code == 0
    assert "removed" not in shown


def test_a_folder_that_is_no_output_and_a_version_that_is_not_there_are_one_line(
    filtered: str, tmp_path: Path, stats: Call
) -> None:
    for arguments, expected in (
        ((tmp_path / "gone",), "there is nothing at"),
        ((ROOT / "jobs",), "has no versions/"),
        ((filtered, "--version", 7), "has no version 7"),
    ):
        code, shown, error = stats(*arguments)
        assert (code, shown) == (2, "")
        assert expected in error
        assert len(error.splitlines()) == 1


def test_a_damaged_index_is_named(filtered: str) -> None:
    (index,) = (Path(filtered) / "index").iterdir()
    index.write_bytes(index.read_bytes()[:200])
    with pytest.raises(StorageError, match=f"{index.name} is damaged"):
        statistics(filtered, version=None, show=False)


def test_an_older_version_can_be_asked_for(mixed: Path) -> None:
    assert open_output(str(mixed), 1).version == open_output(str(mixed)).version
    with pytest.raises(ConfigError, match="no version 2"):
        open_output(str(mixed), 2)


def test_help_has_an_example(stats: Call) -> None:
    assert "lodepack stats build/quickstart" in stats("--help")[1]
