"""The output contract, written out a second time: a column missing, mistyped or at odds with another fails here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support import build, tree

LENGTH = 4096
SAMPLE_ID = "struct<shard: string, key: string, ordinal: int64>"
PACK_COLUMNS = {
    "pack_id": "string",
    "input_ids": "list<element: int32>",
    "labels": "list<element: int32>",
    "position_ids": "list<element: list<element: int32>>",
    "segment_ids": "list<element: int32>",
    "cu_seqlens": "list<element: int32>",
    "modality": "list<element: int8>",
    "samples": f"list<element: struct<id: {SAMPLE_ID}, copy: int32, part: int32, num_parts: int32, start: int32, "
    "length: int32>>",
    "views": "list<element: struct<sample: int32, image: int32, kind: string, box: list<element: int32>, row: int16, "
    "col: int16, height: int32, width: int32, grid_t: int32, grid_h: int32, grid_w: int32, start: int32, "
    "tokens: int32, budget: int32, relevance: uint8, pixels: struct<data: large_binary, format: string, "
    "shard: string, offset: int64, size: int64>>>",
}
GRIDS_TYPE = "list<element: struct<rows: int16, cols: int16>>"
REDUCTION_TYPE = (
    f"struct<methods: list<element: string>, num_tokens: int32, num_kept: int32, grids: {GRIDS_TYPE}, "
    "restore: list<element: int32>, kept: list<element: int32>, groups: list<element: int32>, "
    f"shares: list<element: float>, window: list<element: list<element: int32>>, pools: {GRIDS_TYPE}, "
    "order: list<element: int32>, schedule: list<element: struct<layer: int16, tokens: int32>>, "
    "clusters: list<element: struct<layer: int16, members: list<element: int32>, groups: list<element: int32>>>, "
    "expand: struct<layer: int16, tokens: int32>, decay: list<element: struct<answer_token: int32, tokens: int32>>>"
)
PLANS_COLUMN = {"plans": f"list<element: struct<sample: int32, image: int32, reduction: {REDUCTION_TYPE}>>"}
"""Of a job that reduces tokens."""
REJECT_COLUMNS = {
    "level": "string",
    "id": SAMPLE_ID,
    "segment": "int32",
    "shard": "string",
    "member": "string",
    "offset": "int64",
    "size": "int64",
    "operator": "string",
    "reason": "string",
    "detail": "string",
    "rules": "list<element: string>",
}
RELEVANCE_TYPE = (
    "struct<rows: int16, cols: int16, propositional: list<element: uint8>, perspectival: list<element: uint8>, "
    "participatory: list<element: uint8>, weights: list<element: int16>, combined: list<element: uint8>, "
    "query: struct<origin: string, segments: list<element: int32>, is_seeking: bool>, legibility: large_binary>"
)
INDEX_COLUMNS = ("id", "lengths", "num_parts", "carried", "segments", "dropped")

PROFILES = {
    "qwen-lod": ("profile=qwen2_5_vl",),
    "qwen-native": ("profile=qwen3_vl", "budget=none", "score=null", "pixels=source"),
    "llava": ("profile=llava_next", "budget=none", "pixels=patches", "limit=12"),
    "reduced": ("profile=llava_1_5", "budget=none", "pixels=none", "reduce=[{method: mustdrop_merge}, {method: rank}]"),
}


@pytest.fixture(scope="module", params=PROFILES)
def output(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "out"
    build(folder, None, f"sequence_length={LENGTH}", *PROFILES[request.param])
    return folder


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def manifests(output: Path) -> list[Any]:
    return [read_json(path) for path in sorted((output / "manifests").iterdir())]


def packs(output: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((output / "data").iterdir()):
        for batch in pq.ParquetFile(path).iter_batches(batch_size=4):
            yield from batch.to_pylist()


def columns(path: Path) -> dict[str, str]:
    return {field.name: str(field.type) for field in pq.read_schema(path)}


def is_reduced(output: Path) -> bool:
    return all(manifest["recipe"]["job"]["reduce"] for manifest in manifests(output))


def test_pack_columns_have_the_names_and_types_of_the_contract(output: Path) -> None:
    for path in (output / "data").iterdir():
        assert columns(path) == PACK_COLUMNS | (PLANS_COLUMN if is_reduced(output) else {})


def test_reject_and_index_columns_have_the_names_and_types_of_the_contract(output: Path) -> None:
    for path in (output / "rejects").iterdir():
        assert columns(path) == REJECT_COLUMNS
    for path in (output / "index").iterdir():
        assert tuple(columns(path)) == INDEX_COLUMNS
        assert columns(path)["id"] == SAMPLE_ID
        assert columns(path)["lengths"] == "struct<tokens: int32, images: int32, patches: int32, tiles: int32>"
        segment = pq.read_schema(path).field("segments").type.value_type
        assert {segment.field(i).name for i in range(segment.num_fields)} >= {
            "kind", "member", "offset", "size", "ids", "labels", "plan", "relevance", "reduction",
        }  # fmt: skip
        assert segment.field("ids").type == segment.field("labels").type == pa.list_(pa.int32())
        assert str(segment.field("relevance").type) == RELEVANCE_TYPE
        assert str(segment.field("reduction").type) == REDUCTION_TYPE


def test_a_row_group_has_eight_packs_and_two_of_patches(output: Path) -> None:
    has_patches = all(manifest["recipe"]["job"]["pixels"] == "patches" for manifest in manifests(output))
    most = 2 if has_patches else 8
    for path in (output / "data").iterdir():
        metadata = pq.read_metadata(path)
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        assert all(size == most for size in sizes[:-1])
        assert 1 <= sizes[-1] <= most


def test_files_are_named_by_unit_number_and_content_and_listed_once(output: Path) -> None:
    listed = {file["path"]: file for manifest in manifests(output) for file in manifest["files"]}
    hashes = tree(output)
    assert set(listed) == {path for path in hashes if path.split("/")[0] in {"data", "index", "rejects"}}
    for path, file in listed.items():
        assert file["sha256"] == hashes[path]
        assert path.endswith(f"-{hashes[path][:8]}.parquet")
        assert file["rows"] == pq.read_metadata(output / path).num_rows
    for manifest in manifests(output):
        assert (output / "manifests" / f"{manifest['unit']}.json").exists()
        assert all(Path(file["path"]).name.startswith(manifest["unit"]) for file in manifest["files"])
        assert {"unit", "recipe", "recipe_id", "inputs", "files", "counts", "reasons"} <= set(manifest)
        assert manifest["schema_version"] == 6
        assert all(len(entry["sha256"]) == 64 for entry in manifest["inputs"])


def test_the_version_names_every_unit_and_sums_their_counts(output: Path) -> None:
    (version,) = (read_json(path) for path in (output / "versions").iterdir())
    found = manifests(output)
    assert version["units"] == sorted(manifest["unit"] for manifest in found)
    for level in ("samples", "segments", "tokens"):
        for name, total in version["totals"][level].items():
            assert total == sum(manifest["counts"][level].get(name, 0) for manifest in found)
    for level in ("samples", "segments"):
        c = version["totals"][level]
        assert c["read"] + c["derived"] + c["repeated"] == c["packed"] + c["rejected"] + c["withheld"]


def test_per_token_columns_agree_with_one_another(output: Path) -> None:
    for pack in packs(output):
        tail = LENGTH - sum(sample["length"] for sample in pack["samples"])
        for name in ("input_ids", "labels", "segment_ids", "modality"):
            assert len(pack[name]) == LENGTH
        assert all(len(row) == LENGTH for row in pack["position_ids"])
        borders = [sample["start"] for sample in pack["samples"]] + [LENGTH - tail] + ([LENGTH] if tail else [])
        assert pack["cu_seqlens"] == borders
        ids = [i for i, sample in enumerate(pack["samples"]) for _ in range(sample["length"])] + [-1] * tail
        assert pack["segment_ids"] == ids
        for i, (label, token, modality) in enumerate(
            zip(pack["labels"], pack["input_ids"], pack["modality"], strict=True)
        ):
            assert label in {-100, token}
            assert (modality == 5) == (i >= LENGTH - tail)
            if modality != 0 or i in borders:
                assert label == -100
        for number, (start, end) in enumerate(pairwise(borders)):
            # Tokens that a reduction left out still count.
            gone = [one["reduction"] for one in pack.get("plans", []) if one["sample"] == number]
            length = end - start + sum(one["num_tokens"] - one["num_kept"] for one in gone)
            for row in pack["position_ids"]:
                assert row[start] == 0
                assert min(row[start:end]) == 0
                assert max(row[start:end]) < length


def test_views_lie_on_their_tokens_and_tokens_on_their_views(output: Path) -> None:
    for pack in packs(output):
        visual = [i for i, modality in enumerate(pack["modality"]) if modality == 1]
        assert sum(view["tokens"] for view in pack["views"]) == len(visual)
        for view in pack["views"]:
            sample = pack["samples"][view["sample"]]
            assert sample["start"] <= view["start"] <= sample["start"] + sample["length"]
            if view["tokens"]:
                assert pack["modality"][view["start"]] == 1
            left, top, right, bottom = view["box"]
            assert 0 <= left <= right
            assert 0 <= top <= bottom
            if view["budget"] is not None:
                assert view["tokens"] <= view["budget"]


def test_each_image_of_a_pack_has_its_plan_and_as_many_tokens_as_that_keeps(output: Path) -> None:
    for pack in packs(output):
        kept: dict[tuple[int, int], int] = {}
        for view in pack["views"]:
            place = view["sample"], view["image"]
            kept[place] = kept.get(place, 0) + view["tokens"]
        plans = pack.get("plans", [])
        if is_reduced(output):
            found = {(plan["sample"], plan["image"]): plan["reduction"]["num_kept"] for plan in plans}
            assert list(found.items()) == list(kept.items())
        else:
            assert plans == []


def test_views_of_a_region_share_its_budget_and_stand_together(output: Path) -> None:
    for pack in packs(output):
        blocks: dict[tuple[int, int, int, int], list[int]] = {}
        for number, view in enumerate(pack["views"]):
            if view["budget"] is not None:
                blocks.setdefault((view["sample"], view["image"], view["row"], view["col"]), []).append(number)
        for numbers in blocks.values():
            views = [pack["views"][number] for number in numbers]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert {view["budget"] for view in views} == {views[0]["budget"]}
            assert sum(view["tokens"] for view in views) <= views[0]["budget"]


def test_maps_say_what_the_views_and_the_weights_say(output: Path) -> None:
    rows = [row for path in (output / "index").iterdir() for row in pq.read_table(path).to_pylist()]
    images = [segment for row in rows for segment in row["segments"] if segment["plan"]]
    assert images
    for image in images:
        found, plan = image["relevance"], image["plan"]
        if found is None:
            assert {view["relevance"] for view in plan["views"]} == {None}
            continue
        speaking = [found[way] for way in ("propositional", "perspectival", "participatory") if found[way] is not None]
        assert {len(values) for values in (*speaking, found["combined"])} == {found["rows"] * found["cols"]}
        assert sum(found["weights"]) == 1000
        assert found["participatory"] is not None or found["weights"][2] == 0
        assert {view["relevance"] for view in plan["views"]} == set(found["combined"])
        if found["legibility"] is not None:
            assert len(found["legibility"]) == 8 * plan["grid_h"] * plan["grid_w"]


def test_every_document_but_an_unfinished_part_ends_with_the_trained_end_token(output: Path) -> None:
    ends = set()
    for pack in packs(output):
        for sample in pack["samples"]:
            if sample["part"] == sample["num_parts"] - 1:
                last = sample["start"] + sample["length"] - 1
                assert pack["labels"][last] == pack["input_ids"][last]
                ends.add(pack["input_ids"][last])
    assert len(ends) == 1


def test_each_packed_sample_is_there_with_all_its_parts_once(output: Path) -> None:
    parts: dict[tuple[str, int], list[int]] = {}
    totals: dict[tuple[str, int], int] = {}
    for pack in packs(output):
        for sample in pack["samples"]:
            key = (sample["id"]["shard"], sample["id"]["ordinal"])
            parts.setdefault(key, []).append(sample["part"])
            totals[key] = sample["num_parts"]
    assert all(sorted(found) == list(range(totals[key])) for key, found in parts.items())
    assert len(parts) == sum(manifest["counts"]["samples"]["packed"] for manifest in manifests(output))
    assert any(total > 1 for total in totals.values()), "no document was long enough to be split: the check is idle"


def test_the_index_has_the_lengths_that_the_packs_have(output: Path) -> None:
    lengths: dict[tuple[str, int], int] = {}
    for pack in packs(output):
        for sample in pack["samples"]:
            key = (sample["id"]["shard"], sample["id"]["ordinal"])
            lengths[key] = lengths.get(key, 0) + sample["length"]
    rows = [row for path in (output / "index").iterdir() for row in pq.read_table(path).to_pylist()]
    assert {(row["id"]["shard"], row["id"]["ordinal"]): row["lengths"]["tokens"] for row in rows} == lengths
