"""Several sources make one data set: each as often as its weight says, counted by itself, and rebuilt by itself."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs.inspect.explain import explain
from jobs.inspect.output import open_output
from jobs.progress import print_summary
from jobs.spec import load_job
from jobs.train import train_tokenizer
from jobs.verify import verify
from pipeline.copies import num_copies
from pipeline.errors import ConfigError
from pipeline.loading import PackedDataset
from tests.jobs.rewriting import Output
from tests.support import QUICKSTART, build, tree, write_pairs, write_shard, write_small_shards

SMALL = ("unit.target_shards=2", "sequence_length=2048")
DOCS, PAIRS = 6, 4
"""Samples in a shard of each source."""
WEIGHTS = {"docs": 2.5, "photos": 0.6}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("sources")
    return {
        "docs": {"shards": write_small_shards(folder / "a", 5, DOCS), "weight": 2.5},
        "photos": {"shards": write_pairs(folder / "b", 6, PAIRS), "format": "pairs", "weight": 0.6, "max_samples": 18},
    }


def run(output: Path, sources: dict[str, Any], *options: str, **fields: Any) -> dict[str, Any]:
    """A build of the sources; `docs={"weight": 1}` changes one of them."""
    changed = {name: section | fields.pop(name, {}) for name, section in sources.items()}
    return build(output, None, f"input={json.dumps({'sources': changed})}", *SMALL, *options, **fields)


@pytest.fixture(scope="module")
def built(sources: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    output = tmp_path_factory.mktemp("built") / "out"
    return output, run(output, sources)


@pytest.fixture
def output(built: tuple[Path, dict[str, Any]], tmp_path: Path) -> Output:
    """A copy to tell lies in."""
    shutil.copytree(built[0], tmp_path / "out")
    return Output(tmp_path / "out")


def packed(output: Path) -> list[dict[str, Any]]:
    return [row for path in sorted((output / "data").iterdir()) for row in pq.read_table(path).to_pylist()]


def expected_copies(taken: dict[str, int]) -> dict[tuple[str, int], int]:
    """Copies of each sample by the rule for weights; taken: samples of each source's shards, in order."""
    found = {}
    for source, (prefix, per_shard) in {"docs": ("small", DOCS), "photos": ("pairs", PAIRS)}.items():
        for i in range(taken[source]):
            shard, ordinal = f"{source}/{prefix}-{i // per_shard:06d}.tar", i % per_shard
            found[shard, ordinal] = num_copies(shard, ordinal, WEIGHTS[source])
    return found


def test_each_sample_is_packed_as_often_as_weight_and_cap_say(built: tuple[Path, dict[str, Any]]) -> None:
    parts: Counter[tuple[str, int, int]] = Counter()
    for row in packed(built[0]):
        for sample in row["samples"]:
            parts[sample["id"]["shard"], sample["id"]["ordinal"], sample["copy"]] += sample["part"] == 0
    assert set(parts.values()) == {1}
    copies = Counter((shard, ordinal) for shard, ordinal, _ in parts)
    expected = {identity: count for identity, count in expected_copies({"docs": 30, "photos": 18}).items() if count}
    assert copies == expected
    assert sum(copies.values()) == pytest.approx(30 * 2.5 + 18 * 0.6, abs=5)


def test_what_is_taken_is_conserved_in_each_source_and_verify_agrees(built: tuple[Path, dict[str, Any]]) -> None:
    output, summary = built
    version = json.loads((output / "versions/000001.json").read_bytes())
    assert summary["sources"] == version["sources"]
    expected = expected_copies({"docs": 30, "photos": 18})
    for name, read in (("docs", 30), ("photos", 20)):  # the sixth shard of photos is behind the cap
        source = version["sources"][name]
        own = [count for (shard, _), count in expected.items() if shard.startswith(name)]
        totals = source["totals"]["samples"]
        assert totals["read"] == read
        assert totals["packed"] == sum(own)
        assert totals["repeated"] == sum(count - 1 for count in own if count)
        assert totals["withheld"] == read - sum(count > 0 for count in own)
        for level in ("samples", "segments"):
            c = source["totals"][level]
            assert c["read"] + c["derived"] + c["repeated"] == c["packed"] + c["rejected"] + c["withheld"]
        manifests = [json.loads((output / f"manifests/{unit}.json").read_bytes()) for unit in source["units"]]
        assert {manifest["recipe"]["source"]["name"] for manifest in manifests} == {name}
        shards = {entry["shard"] for manifest in manifests for entry in manifest["inputs"]}
        assert all(shard.startswith(f"{name}/") for shard in shards)
    assert version["withheld_shards"] == ["photos/pairs-000005.tar"]
    assert "source" not in version["recipe"]
    assert verify(str(output)).findings == []


def test_copies_of_a_document_hardly_meet_in_a_sequence(built: tuple[Path, dict[str, Any]]) -> None:
    met, held = 0, 0
    for row in packed(built[0]):
        copies = defaultdict(set)
        for sample in row["samples"]:
            copies[sample["id"]["shard"], sample["id"]["ordinal"]].add(sample["copy"])
        held += len(copies)
        met += sum(len(found) > 1 for found in copies.values())
    assert held > 60
    assert met * 50 <= held  # chance, by the unit's id, leaves one where nothing parts them without another sequence


def test_a_copy_elsewhere_and_batches_change_no_byte(
    sources: dict[str, Any], built: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    moved = {}
    for name, section in sources.items():
        shutil.copytree(Path(section["shards"]).parent, tmp_path / name)
        moved[name] = section | {"shards": str(tmp_path / name / Path(section["shards"]).name)}
    run(tmp_path / "out", dict(reversed(moved.items())), "resources.decode.batch_size=3")
    assert tree(tmp_path / "out") == tree(built[0])


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_ray_gives_the_bytes_of_a_local_run(
    sources: dict[str, Any], built: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    run(tmp_path / "out", sources, local=False, workers=2)
    assert tree(tmp_path / "out") == tree(built[0])


@pytest.mark.parametrize("changed", [{"weight": 0.9}, {"max_samples": 10}])
def test_a_change_of_one_source_carries_the_units_of_the_other_over(
    sources: dict[str, Any], built: tuple[Path, dict[str, Any]], tmp_path: Path, changed: dict[str, Any]
) -> None:
    shutil.copytree(built[0], tmp_path / "out")
    before = json.loads((tmp_path / "out/versions/000001.json").read_bytes())["sources"]
    summary = run(tmp_path / "out", sources, photos=changed)
    assert summary["version"] == 2
    assert summary["sources"]["docs"] == before["docs"]
    assert summary["units"]["kept"] >= len(before["docs"]["units"])
    assert summary["sources"]["photos"]["units"] != before["photos"]["units"]
    assert summary["sources"]["photos"] | changed == summary["sources"]["photos"]
    assert verify(str(tmp_path / "out")).findings == []
    again = run(tmp_path / "out", sources, photos=changed)
    assert (again["new_version"], again["units"]["built"]) == (False, 0)
    fresh = run(tmp_path / "fresh", sources, photos=changed)
    assert fresh["sources"] == summary["sources"]


def test_an_added_shard_changes_the_choice_in_no_other(sources: dict[str, Any], tmp_path: Path) -> None:
    few = {"photos": {"shards": str(Path(sources["photos"]["shards"]).parent / "pairs-00000[0-2].tar")}}
    chosen = []
    for name, changed in (("few", few), ("all", {"photos": {"shards": few["photos"]["shards"].replace("2]", "5]")}})):
        run(tmp_path / name, {"photos": sources["photos"] | {"max_samples": None}}, **changed)
        ids = {(s["id"]["shard"], s["id"]["ordinal"]) for row in packed(tmp_path / name) for s in row["samples"]}
        chosen.append(ids)
    assert chosen[0] == {identity for identity in chosen[1] if identity[0] < "photos/pairs-000003"}
    assert len(chosen[1]) > len(chosen[0])


@pytest.mark.parametrize(("limit", "cap", "shares"), [(15, 3, (12, 3)), (9, None, (5, 4))])
def test_a_limit_is_shared_by_the_sources_whatever_their_order(
    sources: dict[str, Any], tmp_path: Path, limit: int, cap: int | None, shares: tuple[int, int]
) -> None:
    turned = dict(reversed(sources.items()))
    summary = run(tmp_path / "out", turned, docs={"weight": 1}, photos={"weight": 1, "max_samples": cap}, limit=limit)
    found = {name: source["totals"]["samples"]["packed"] for name, source in summary["sources"].items()}
    assert found == dict(zip(("docs", "photos"), shares, strict=True))
    assert verify(str(tmp_path / "out")).findings == []


def test_a_source_without_a_mixture_may_have_a_weight_and_keeps_its_names(
    sources: dict[str, Any], tmp_path: Path
) -> None:
    options = ("input.weight=1.5", "input.max_samples=7")
    summary = build(tmp_path / "out", sources["docs"]["shards"], *SMALL, *options)
    assert list(summary["sources"]) == ["input"]
    expected = [num_copies(f"small-{i // DOCS:06d}.tar", i % DOCS, 1.5) for i in range(7)]
    assert summary["totals"]["samples"]["packed"] == sum(expected)
    (unit,) = summary["sources"]["input"]["units"]
    manifest = json.loads((tmp_path / "out/manifests" / f"{unit}.json").read_bytes())
    assert manifest["recipe"]["source"] == {"format": "interleaved", "weight": 1.5}
    assert [entry["shard"] for entry in manifest["inputs"]] == ["small-000000.tar", "small-000001.tar"]
    assert verify(str(tmp_path / "out")).findings == []


def test_damage_that_only_writing_finds_takes_its_copies_back(tmp_path: Path) -> None:
    from PIL import Image

    picture = tmp_path / "picture.jpg"
    Image.effect_noise((640, 480), 90).convert("RGB").save(picture)
    data = picture.read_bytes()
    members = {}
    for i in range(5):
        members |= {f"{i}.jpg": data if i != 2 else data[: len(data) // 2], f"{i}.txt": b"noise"}
    write_shard(tmp_path / "in/p.tar", members)
    options = ("score=null", "budget=none", "limits.max_reject_ratio=1")
    summary = run(tmp_path / "out", {"p": {"shards": f"{tmp_path}/in/p.tar", "format": "pairs", "weight": 3}}, *options)
    counts = summary["totals"]["samples"]
    assert counts == {"read": 5, "derived": 0, "repeated": 8, "packed": 12, "rejected": 1, "withheld": 0, "carried": 0}
    assert verify(str(tmp_path / "out")).findings == []


def test_a_shuffled_pass_knows_the_sources_of_a_build(built: tuple[Path, dict[str, Any]]) -> None:
    num_packs = {name: source["totals"]["tokens"]["packs"] for name, source in built[1]["sources"].items()}
    data = PackedDataset(str(built[0]), shuffle=True, weights={"docs": 2, "photos": 0})
    assert len(data) == 2 * num_packs["docs"]
    assert len(PackedDataset(str(built[0]), shuffle=True)) == sum(num_packs.values())


# --- lies ---------------------------------------------------------------------------------------------------------


def docs_unit(output: Output) -> None:
    """Turns to a unit of docs, whose samples have copies."""
    output.units.sort(key=lambda unit: output.load(f"manifests/{unit}.json")["inputs"][0]["shard"])


def copy_missing(output: Output) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        row = next(row for row in rows if any(sample["copy"] == 1 for sample in row["samples"]))
        row["samples"] = [sample for sample in row["samples"] if sample["copy"] != 1]

    output.table("data", change)


def copy_twice(output: Output) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        sample = next(sample for row in rows for sample in row["samples"] if sample["copy"] == 1)
        sample["copy"] = 0

    output.table("data", change)


def copy_too_many(output: Output) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        highest = max((s for row in rows for s in row["samples"]), key=lambda sample: sample["copy"])
        highest["copy"] = 7

    output.table("data", change)


def repeated_miscounted(output: Output) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["counts"]["samples"]["repeated"] -= 1
        manifest["counts"]["samples"]["packed"] -= 1

    output.manifest(change)


def source_total_wrong(output: Output) -> None:
    output.version(lambda version: version["sources"]["photos"]["totals"]["samples"].update(packed=1))


def weight_other(output: Output) -> None:
    output.version(lambda version: version["sources"]["docs"].update(weight=2.0))


def unit_of_another_source(output: Output) -> None:
    def change(version: dict[str, Any]) -> None:
        version["sources"]["photos"]["units"].append(version["sources"]["docs"]["units"].pop())
        version["sources"]["photos"]["units"].sort()

    output.version(change)


def unit_of_no_source(output: Output) -> None:
    output.version(lambda version: version["sources"]["docs"]["units"].pop())


def cap_other(output: Output) -> None:
    output.version(lambda version: version["sources"]["photos"].update(max_samples=17))


def withheld_of_no_source(output: Output) -> None:
    output.version(lambda version: version["withheld_shards"].append("else/x.tar"))


LIES = {
    copy_missing: r"neither packed nor rejected|copies \[.*\] packed; \[.*\] expected",
    copy_twice: r"part 0 of .* is packed twice",
    copy_too_many: r"has the copies \[.*7\] packed; \[0, 1.*\] expected",
    repeated_miscounted: r"counts.samples.repeated is \d+; \d+ expected",
    source_total_wrong: r"sources.photos.totals is",
    weight_other: r"recipe is not that of the version and of its source docs",
    unit_of_another_source: r"shards of source photos expected",
    unit_of_no_source: r"units of the sources is",
    cap_other: r"samples taken of photos/pairs-000004.tar is 2; 1 expected",
    withheld_of_no_source: r"withholds else/x.tar, which is of no source",
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_verify_finds_the_lie(output: Output, lie: Any) -> None:
    docs_unit(output)
    lie(output)
    found = [f"{finding.where}: {finding.what}" for finding in verify(str(output.root)).findings]
    assert any(re.search(LIES[lie], line) for line in found), found


# --- what a user sees ----------------------------------------------------------------------------------------------


def test_the_summary_has_a_line_a_source(
    built: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_summary(built[1])
    shown = capsys.readouterr().out
    lines = {line.split("│")[1].strip(): line for line in shown.splitlines() if line.count("│") == 9}
    assert set(lines) == set(WEIGHTS)
    shares = [float(line.split("│")[8].strip().rstrip("%")) for line in lines.values()]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    repeated = built[1]["sources"]["docs"]["totals"]["samples"]["repeated"]
    assert f" {repeated} " in lines["docs"]
    assert "rejected" not in shown.partition("sources")[2]  # no source has any, so it has no column


def test_explain_finds_every_copy_and_what_weight_and_cap_withheld(built: tuple[Path, dict[str, Any]]) -> None:
    output = open_output(str(built[0]))
    expected = expected_copies({"docs": 30, "photos": 18})
    most = next(s["id"] for row in packed(built[0]) for s in row["samples"] if s["copy"] == 2)
    parts = explain(output, f"{most['shard']}/{most['key']}")["parts"]
    assert sorted({part["copy"] for part in parts}) == [0, 1, 2]
    assert expected[most["shard"], most["ordinal"]] == 3
    left_out = next((shard, ordinal) for (shard, ordinal), count in expected.items() if not count)
    number = int(left_out[0][-10:-4]) * PAIRS + left_out[1]
    assert explain(output, f"{left_out[0]}/{number:04d}")["outcome"] == "withheld"
    assert explain(output, "photos/pairs-000005.tar/0021")["outcome"] == "withheld"
    with pytest.raises(ConfigError, match=r"weights leave samples out of \d shards: to look in one say photos/"):
        explain(output, "nobody")


def test_verify_finds_moved_shards_by_source(built: tuple[Path, dict[str, Any]], sources: dict[str, Any]) -> None:
    folders = {name: str(Path(section["shards"]).parent) for name, section in sources.items()}
    inputs = [f"docs={folders['docs']}/*.tar", f"{folders['photos']}/*.tar"]
    assert verify(str(built[0]), inputs).findings == []
    with pytest.raises(ConfigError, match="shard photos/pairs-00000"):
        verify(str(built[0]), inputs[:1])


def test_a_tokenizer_is_trained_on_what_a_build_takes(sources: dict[str, Any], tmp_path: Path) -> None:
    job = load_job(str(QUICKSTART), [f"input={json.dumps({'sources': sources})}", "limit=20"])
    trained = train_tokenizer(job, kind="bpe", vocab_size=400, target=str(tmp_path / "new.json"))
    assert trained["pieces"] <= 400


def test_every_source_has_a_closing_unit_of_its_own_and_repeated_documents_stay(
    sources: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    summary = run(tmp_path / "out", sources, "pack.closing=true", docs={"weight": 1.2})
    manifests = [json.loads(path.read_bytes()) for path in (tmp_path / "out" / "manifests").iterdir()]
    closing = {manifest["recipe"]["source"]["name"]: manifest for manifest in manifests if "closes" in manifest}
    assert closing.keys() <= {"docs", "photos"}
    assert "photos" in closing
    for name, source in summary["sources"].items():
        assert source["totals"]["samples"]["carried"] == 0
        assert (closing[name]["unit"] in source["units"]) if name in closing else True
    carried = [
        row["id"]
        for path in (tmp_path / "out" / "index").iterdir()
        for row in pq.read_table(path, columns=["id", "carried"]).to_pylist()
        if row["carried"]
    ]
    weights = {"docs": 1.2, "photos": 0.6}
    assert {num_copies(one["shard"], one["ordinal"], weights[one["shard"].split("/")[0]]) for one in carried} == {1}
    assert verify(str(tmp_path / "out")).findings == []
    before = tree(tmp_path / "out")
    assert run(tmp_path / "out", sources, "pack.closing=true", docs={"weight": 1.2})["units"]["built"] == 0
    assert tree(tmp_path / "out") == before
