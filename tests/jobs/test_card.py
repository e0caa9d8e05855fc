"""OUT/README.md: the newest version and nothing else, as people, the hub and `datasets` read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import DownloadConfig, load_dataset

from jobs.card.card import keep_card, render_card
from tests.support import build, write_pairs, write_shard, write_small_shards
from tests.test_damage import members, picture

FIELDS = ("unit.target_shards=1", "sequence_length=2048", "score=null", "budget=none", "limits.max_reject_ratio=1")


def newest(output: Path) -> tuple[int, dict[str, Any], list[str]]:
    """Number and content of the newest version, and the paths of its data files."""
    path = max((output / "versions").iterdir())
    version = json.loads(path.read_bytes())
    files = [json.loads((output / f"manifests/{unit}.json").read_bytes())["files"] for unit in version["units"]]
    return int(path.stem), version, [file["path"] for found in files for file in found if file["kind"] == "data"]


def front(output: Path) -> Any:
    return yaml.safe_load((output / "README.md").read_text("utf-8").split("---\n")[1])


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions: one unit of the first is none of the second, and its files lie beside the others."""
    folder = tmp_path_factory.mktemp("card")
    pattern = write_small_shards(folder / "in", 3, 1)
    build(folder / "out", pattern, *FIELDS)
    write_shard(folder / "in" / "small-000001.tar", members(2) | {"0001.0.png": picture(1)[:50]})
    build(folder / "out", pattern, *FIELDS)
    return folder / "out"


def test_datasets_loads_the_packs_of_the_newest_version_and_no_others(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = load_dataset(
        str(output), split="train", cache_dir=str(tmp_path), download_config=DownloadConfig(local_files_only=True)
    )
    _, version, paths = newest(output)
    assert len(list((output / "data").iterdir())) > len(paths)
    packs = pa.concat_tables([pq.read_table(output / path) for path in paths])
    assert found.num_rows == packs.num_rows == version["totals"]["tokens"]["packs"]
    assert list(found.features) == packs.column_names
    assert found["pack_id"][:] == packs["pack_id"].to_pylist()
    assert found[0] == packs.slice(0, 1).to_pylist()[0]
    assert found[0]["views"][0]["pixels"]["data"] is not None


def test_the_front_matter_names_exactly_the_files_of_the_version(output: Path) -> None:
    (config,) = front(output)["configs"]
    assert config == {
        "config_name": "default",
        "data_files": [{"split": "train", "path": newest(output)[2]}],
    }
    assert (front(output)["size_categories"], front(output)["task_categories"]) == (["n<1K"], ["image-text-to-text"])
    assert "license" not in front(output)


def test_the_card_says_what_was_packed_and_rejected_and_from_what(output: Path) -> None:
    text = (output / "README.md").read_text("utf-8")
    _, version, _ = newest(output)
    totals = version["totals"]
    assert "version 2, of 3 unit(s)" in text
    assert f"| input | {totals['samples']['read']} | {totals['samples']['packed']} |" in text
    assert f"| `decode-error` | {version['reasons']['decode-error']} |" in text
    assert f"Recipe `{version['recipe_id']}`" in text
    assert version["recipe"]["tokenizer"]["sha256"] in text
    assert "sequence_length: 2048" in text
    assert str(output.parent) not in text  # no path of the machine that built it


def test_a_version_has_one_card_and_a_lost_or_older_one_is_written_by_the_next_run(
    output: Path, tmp_path: Path
) -> None:
    card = output / "README.md"
    whole = card.read_bytes()
    number, version, _ = newest(output)
    assert not keep_card(str(output), number, version)
    pattern = str(output.parent / "in" / "*.tar")
    for before in (None, whole.replace(b"card of version 2,", b"card of version 1,")):
        card.unlink() if before is None else card.write_bytes(before)
        assert not build(output, pattern, *FIELDS)["new_version"]
        assert card.read_bytes() == whole
    manifests = [json.loads((output / f"manifests/{unit}.json").read_bytes()) for unit in version["units"]]
    assert render_card(number, version, manifests).encode() == whole


def test_a_card_of_the_users_own_stays(output: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("ours")
    assert not keep_card(str(tmp_path), *newest(output)[:2])
    assert (tmp_path / "README.md").read_text() == "ours"


def test_sources_stand_beside_each_other_and_pictures_that_stay_in_shards_are_told_of(tmp_path: Path) -> None:
    sources = {
        "docs": {"shards": write_small_shards(tmp_path / "docs", 1, 1), "weight": 2},
        "photos": {"shards": write_pairs(tmp_path / "photos", 1, 2), "format": "pairs"},
    }
    build(tmp_path / "out", None, f"input={json.dumps({'sources': sources})}", *FIELDS, "pixels=source")
    text = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "| docs | interleaved | 2 | 1 |" in text
    assert "| photos | pairs | 1 | 1 |" in text
    assert "| **all** | 3 | 1 | 4 |" in text  # read, repeated, packed
    assert "which this folder does not hold" in text
    assert "No sample was rejected." in text
