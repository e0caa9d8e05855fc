"""`lodepack inspect` says what is in an output, where each sample went, and what a family makes of an image."""

from __future__ import annotations

import io
import json
import re
import sys
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from jobs.build import run_job
from jobs.chain import resolve_job
from jobs.cli import main
from jobs.inspect.draw import budget_cell, heat_map, image_line, merged
from jobs.progress import Screen
from jobs.spec import load_job
from operators.profiles import profile_names
from tests.support import png_that_only_decoding_refuses

ROOT = Path(__file__).parents[2]
GOLDEN = yaml.safe_load((ROOT / "tests" / "golden" / "slicing.yaml").read_text("utf-8"))
QWEN_PROFILES = {(14, 3136): "qwen2_5_vl", (16, 65536): "qwen3_vl"}
QWEN_CASES = [
    pytest.param(QWEN_PROFILES[table["patch"], table["min_pixels"]], size, expected, id=f"{table['patch']}-{size}")
    for table in GOLDEN["qwen"]
    if (table["patch"], table["min_pixels"]) in QWEN_PROFILES
    for size, expected in table["images"].items()
]
LENGTH = 1024
DAMAGED, DAMAGED_MEMBER = "a.tar/00000004#1", "00000004.1.png"
SPLIT = "a.tar/00000036#9"
WITHHELD = "b.tar/00000044#11"


def copy_shard(source: Path, target: Path, num_samples: int, damaged: str = "") -> None:
    """The first samples of a shard; the member `damaged` loses its second half."""
    keys: list[str] = []
    with tarfile.open(source) as old, tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as new:
        for member in old:
            key = member.name.partition(".")[0]
            keys += [key] if key not in keys else []
            if len(keys) > num_samples:
                break
            data = old.extractfile(member).read()
            if member.name == damaged:
                data = data[: len(data) // 2]
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))


def build(folder: Path, shards: str, overrides: tuple[str, ...] = (), **options) -> str:
    job = load_job(
        str(ROOT / "jobs" / "quickstart.yaml"),
        list(overrides),
        tokenizer=str(ROOT / "jobs" / "samples" / "tokenizer.model"),
        output=str(folder / "out"),
        input__shards=[str(folder / shards)],
        limits__max_reject_ratio=1,
        **options,
    )
    with Screen(quiet=True) as screen:
        run_job(resolve_job(job), local=True, workers=None, rebuild=False, progress=screen)
    return str(folder / "out")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve samples a shard; one is damaged, one is split; the limit cuts b.tar and leaves c.tar unread."""
    folder = tmp_path_factory.mktemp("inspect")
    first, second = sorted((ROOT / "jobs" / "samples").glob("*.tar"))
    copy_shard(first, folder / "a.tar", 12, damaged=DAMAGED_MEMBER)
    copy_shard(first, folder / "b.tar", 12)
    copy_shard(second, folder / "c.tar", 2)
    return folder


@pytest.fixture(scope="module")
def output(folder):
    return build(folder, "?.tar", sequence_length=LENGTH, limit=20)


@pytest.fixture(scope="module")
def tiled_output(folder, tmp_path_factory):
    target = tmp_path_factory.mktemp("tiled")
    (target / "c.tar").write_bytes((folder / "c.tar").read_bytes())
    return build(target, "c.tar", profile="llava_next", budget="none", limit=1)


@pytest.fixture(scope="module")
def divided_output(folder, tmp_path_factory):
    """Regions in several views."""
    target = tmp_path_factory.mktemp("divided")
    (target / "c.tar").write_bytes((folder / "c.tar").read_bytes())
    return build(target, "c.tar", ("budget={rule: lod, max_tokens: 100, min_tokens: 32}",), limit=1)


@pytest.fixture
def inspect(monkeypatch, capsys):
    """Calls `lodepack inspect` as a shell does: (exit code, standard output, standard error)."""
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lodepack", "inspect", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        code = stopped.value.code or 0
        return (code, *capsys.readouterr())

    return call


@pytest.fixture
def facts(inspect):
    """What --json says of a call that must succeed."""

    def call(*arguments: str):
        code, out, err = inspect(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return call


def refusal(inspect, *arguments: str) -> str:
    """The error of a call that the user got wrong."""
    code, out, err = inspect(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert "Traceback" not in err
    return err


def source_texts(shard: Path, key: str) -> str:
    with tarfile.open(shard) as tar:
        return "".join(text for text in json.load(tar.extractfile(f"{key}.json"))["texts"] if text)


def count_layout(layout: str) -> int:
    """Tokens that a layout line stands for."""
    total = 0
    for group, group_times, word in re.findall(r"\((.+?)\)\*(\d+)|(\S+)", layout):
        for item in (group or word).split(" "):
            _, star, times = item.rpartition("*")
            total += (int(times) if star else 1) * int(group_times or 1)
    return total


def test_overview_counts_every_token_of_every_pack(output, facts):
    found = facts(output, "--limit", "1000")
    assert len(found["packs"]) == found["num_packs"]
    assert all(sum(pack["tokens"].values()) == LENGTH for pack in found["packs"])
    for name, total in (("text", "text"), ("visual", "visual"), ("padding", "padding")):
        assert sum(pack["tokens"][name] for pack in found["packs"]) == found["totals"]["tokens"][total]
    assert found["fill"] == pytest.approx(sum(pack["fill"] for pack in found["packs"]) / found["num_packs"], abs=1e-5)


def test_overview_lists_as_many_packs_as_asked_and_says_how_to_see_the_rest(output, inspect, facts):
    everything = facts(output, "--limit", "1000")["packs"]
    assert facts(output, "--limit", "3")["packs"] == everything[:3]
    assert facts(output)["packs"] == everything[:10]
    code, out, _ = inspect(output, "--limit", "3")
    assert code == 0
    assert f"{len(everything) - 3} more packs: --limit {len(everything)}" in out
    assert all(pack["pack_id"] in out for pack in everything[:3])
    assert max(map(len, out.splitlines())) <= 100


def test_a_pack_is_the_same_by_number_and_by_id(output, facts):
    for pack in facts(output, "--limit", "1000")["packs"]:
        by_number = facts(output, "--pack", str(pack["number"]))
        assert by_number == facts(output, "--pack", pack["pack_id"])
        assert {name: by_number[name] for name in pack} == pack


def test_a_document_in_a_pack_reads_as_it_did_in_its_shard(output, folder, facts):
    for number in range(facts(output)["num_packs"]):
        for document in facts(output, "--pack", str(number))["documents"]:
            if document["num_parts"] == 1:
                text = "".join(piece["text"] for piece in document["content"] if piece["kind"] == "text")
                assert text == source_texts(folder / document["shard"], document["key"])


def test_a_pack_shows_its_images_where_they_stand_with_what_they_were_given(output, inspect, facts):
    number = next(pack["number"] for pack in facts(output, "--limit", "1000")["packs"] if pack["num_images"])
    images = [
        piece
        for document in facts(output, "--pack", str(number))["documents"]
        for piece in document["content"]
        if piece["kind"] == "image"
    ]
    _, out, _ = inspect(output, "--pack", str(number))
    for image in images:
        assert image["tokens"] == sum(view["tokens"] for view in image["views"])
        assert all(view["tokens"] <= view["budget"] and 0 <= view["relevance"] <= 255 for view in image["views"])
        width, height = image["picture"]
        assert re.search(rf"\[image {image['image']}: .+, {width}x{height} → {image['tokens']} tokens?\]", out)
    assert "relevance %" in out


def test_tokens_of_a_tiled_image_include_its_newlines(tiled_output, facts):
    pack = facts(tiled_output, "--pack", "0")
    images = [piece for piece in pack["documents"][0]["content"] if piece["kind"] == "image"]
    assert images
    explained = facts(tiled_output, "--explain", pack["documents"][0]["key"])
    planned = [segment for segment in explained["segments"] if segment["kind"] == "image"]
    for image, segment in zip(images, planned, strict=False):
        width, height = image["picture"]
        plan = facts("--profile", "llava_next", f"{width}x{height}")
        assert image["tokens"] == segment["tokens"] == plan["placeholders"]
        assert [view["tokens"] for view in image["views"]] == [view["tokens"] for view in plan["views"]]


def test_without_its_tokenizer_a_pack_says_so_and_counts_its_text(output, inspect, facts, tmp_path):
    copy = tmp_path / "copy"
    for path in Path(output).rglob("*"):
        if path.is_file() and path.parent.name != "runs":
            target = copy / path.relative_to(output)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    found = facts(str(copy), "--pack", "0")
    texts = [piece for document in found["documents"] for piece in document["content"] if piece["kind"] == "text"]
    assert found["text_missing"] == "runs/ does not say which tokenizer was used"
    assert all(piece["text"] is None for piece in texts)
    assert sum(piece["tokens"] for piece in texts) == found["tokens"]["text"]
    assert "text is not shown: runs/" in inspect(str(copy), "--pack", "0")[1]


def test_a_rejected_sample_is_explained_with_its_place_in_the_shard(output, folder, inspect, facts):
    found = facts(output, "--explain", DAMAGED)
    why = found["rejection"]
    assert found["outcome"] == "rejected"
    assert found["parts"] == []
    assert (why["operator"], why["reason"]) == ("decode", "decode-error")
    assert (why["shard"], why["member"]) == ("a.tar", DAMAGED_MEMBER)
    shard = (folder / "a.tar").read_bytes()
    assert shard[why["offset"] :].startswith(b"\x89PNG")
    assert shard[why["offset"] - 512 :].startswith(DAMAGED_MEMBER.encode())
    fates = [segment["reason"] for segment in found["segments"]]
    assert fates.count("decode-error") == 1
    assert set(fates) == {"decode-error", "sample-rejected"}
    _, out, _ = inspect(output, "--explain", DAMAGED)
    assert "rejected by decode: decode-error" in out
    assert f"{DAMAGED_MEMBER} at byte {why['offset']:,}" in out


def test_a_sample_rejected_while_it_was_written_is_rejected_and_keeps_its_measures(tmp_path, inspect, facts):
    files = {"k.json": json.dumps({"texts": ["one", None], "images": [None, "0.png"]}).encode()}
    files |= {"k.0.png": png_that_only_decoding_refuses(), "l.json": b'{"texts": ["two"], "images": [null]}'}
    with tarfile.open(tmp_path / "late.tar", "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    output = build(tmp_path, "late.tar", ("score=null", "budget=none"))
    found = facts(output, "--explain", "k")
    assert (found["outcome"], found["rejection"]["operator"]) == ("rejected", "write")
    assert found["rejection"]["member"] == "k.0.png"
    assert found["parts"] == []
    assert [segment["reason"] for segment in found["segments"]] == ["sample-rejected", "decode-error"]
    assert found["segments"][1]["plan"]["width"] == 64
    assert "rejected by write: decode-error" in inspect(output, "--explain", "k")[1]


def test_a_split_sample_is_explained_part_by_part_and_no_token_is_lost(output, inspect, facts):
    found = facts(output, "--explain", SPLIT)
    parts = found["parts"]
    assert found["outcome"] == "packed"
    assert len(parts) > 1
    assert [part["part"] for part in parts] == list(range(parts[0]["num_parts"]))
    assert sum(part["length"] for part in parts) == found["lengths"]["tokens"]
    assert sum(segment["kind"] == "image" for segment in found["segments"]) == found["lengths"]["images"]
    _, out, _ = inspect(output, "--explain", SPLIT)
    assert f"part 2 of {len(parts)}: pack {parts[1]['pack_id']}, tokens {parts[1]['start']:,} to" in out


def test_an_image_is_explained_where_its_pack_has_it(output, facts):
    found = facts(output, "--explain", SPLIT)
    packs = {row["pack_id"]: row for path in Path(output, "data").iterdir() for row in pq.read_table(path).to_pylist()}
    images = [segment for segment in found["segments"] if segment["kind"] == "image"]
    assert images
    for image in images:
        pack = packs[image["pack_id"]]
        views = [view for view in pack["views"] if view["start"] == image["start"]]
        assert [view["image"] for view in views] == [image["image"]]
        assert pack["samples"][views[0]["sample"]]["id"] == found["id"]
        assert views[0]["relevance"] == image["relevance"]["combined"][0]
        assert views[0]["budget"] == image["plan"]["views"][0]["budget"]
        assert {"propositional", "perspectival", "combined"} <= image["relevance"].keys()


def test_an_explained_image_says_what_asked_it_and_how_its_maps_are_weighed(output, inspect, facts):
    segments = facts(output, "--explain", SPLIT)["segments"]
    texts = {number for number, segment in enumerate(segments) if segment["kind"] == "text"}
    lines = re.findall(r"asked by .*\n", inspect(output, "--explain", SPLIT)[1])
    images = [segment["relevance"] for segment in segments if segment["kind"] == "image"]
    assert len(lines) == len(images)
    for line, found in zip(lines, images, strict=True):
        assert "legibility" not in found
        assert set(found["query"]["segments"]) <= texts
        numbers = " and ".join(map(str, found["query"]["segments"]))
        assert re.search(rf"asked by the text beside it \(segments? {numbers}\)", line)
        names = ("propositional", "perspectival", "participatory")
        shares = [weight for name, weight in zip(names, found["weights"], strict=True) if found[name]]
        assert ", ".join(f"{share / 10:.1f} %" for share in shares) in line
        assert sum(shares) == 1000


def test_views_of_a_region_are_shown_as_one_with_all_their_tokens(divided_output, inspect, facts):
    key = facts(divided_output, "--pack", "0")["documents"][0]["key"]
    segments = facts(divided_output, "--explain", key)["segments"]
    out = inspect(divided_output, "--explain", key)[1]
    image = next(segment for segment in segments if segment["kind"] == "image")
    views = image["plan"]["views"]
    assert {(view["row"], view["col"]) for view in views} == {(0, 0)}
    tokens = sum(view["tokens"] for view in views)
    assert f"[image 0: 1 region in {len(views)} views, " in out
    cell = "100" if tokens == 100 else f"{tokens}/100"
    assert re.search(rf"combined %  . +{round(image['relevance']['combined'][0] / 2.55)} +tokens.*{cell}", out)
    assert re.search(rf"tokens/budget +{cell}", inspect(divided_output, "--pack", "0")[1])


def test_maps_are_drawn_on_the_grid_of_their_regions():
    views = [{"kind": "region", "row": row, "col": col} for row in (0, 1) for col in (0, 0, 1, 2)]
    views = [view | {"tokens": i, "budget": 9, "relevance": 10 * i} for i, view in enumerate(views)]
    blocks = merged(views)
    assert [(block["row"], block["col"], block["tokens"], block["relevance"]) for block in blocks] == [
        (0, 0, 1, 10),
        (0, 1, 2, 20),
        (0, 2, 3, 30),
        (1, 0, 9, 50),
        (1, 1, 6, 60),
        (1, 2, 7, 70),
    ]
    drawn = heat_map("tokens", [block["row"] for block in blocks], [(budget_cell(block), None) for block in blocks])
    assert drawn.plain.split("\n") == ["tokens", "1/9  2/9  3/9", "  9  6/9  7/9"]
    assert image_line(0, (9, 9), views, 28) == "[image 0: 3x2 regions in 8 views, 9x9 → 28 tokens]"
    tiles = [{"kind": "tile", "row": 0, "col": 0, "tokens": 1} for _ in range(2)]
    assert merged(tiles) == tiles


@pytest.mark.parametrize("name", [WITHHELD, "c.tar/00000120"])
def test_a_sample_beyond_the_limit_is_withheld_even_in_a_shard_never_read(output, inspect, facts, name):
    assert facts(output, "--explain", name)["outcome"] == "withheld"
    assert "withheld by a limit" in inspect(output, "--explain", name)[1]


def test_every_outcome_has_the_same_keys(output, facts):
    keys = [facts(output, "--explain", name).keys() for name in (DAMAGED, SPLIT, WITHHELD)]
    assert keys[0] == keys[1] == keys[2]


def test_a_name_of_several_samples_lists_them_in_full(output, inspect):
    err = refusal(inspect, output, "--explain", "00000008")
    assert err.splitlines() == [
        "error: 2 samples are called 00000008; give one in full:",
        "  a.tar/00000008#2",
        "  b.tar/00000008#2",
    ]


def test_a_name_of_no_sample_says_where_it_was_looked_for(output, inspect):
    err = refusal(inspect, output, "--explain", "nobody")
    assert len(err.splitlines()) == 1
    assert f"no sample is called nobody in {output}" in err
    assert "1 shard unread: to look in one say c.tar/KEY" in err


def test_llava_plan_is_exactly_this(facts):
    found = facts("--profile", "llava_next", "640x480")
    whole = {"kind": "whole", "row": 0, "col": 0, "box": [0, 0, 640, 480], "rows": 24, "cols": 24, "tokens": 576}
    same = {"height": 336, "width": 336, "grid_t": 1, "grid_h": 24, "grid_w": 24}
    boxes = {
        (0, 0): [0, 0, 320, 240],
        (0, 1): [320, 0, 640, 240],
        (1, 0): [0, 240, 320, 480],
        (1, 1): [320, 240, 640, 480],
    }
    tiles = [
        same | {"kind": "tile", "row": row, "col": col, "box": box, "rows": 18, "cols": 24, "tokens": 432}
        for (row, col), box in boxes.items()
    ]
    assert found == {
        "visual_tokens": 2340,
        "placeholders": 2340,
        "grid": [2, 2],
        "layout": "<image>*576 (<image>*48 newline)*36",
        "views": [whole | same, *tiles],
    }


@pytest.mark.parametrize(("size", "expected"), GOLDEN["llava_next"].items())
def test_llava_counts_equal_the_reference(facts, size, expected):
    found = facts("--profile", "llava_next", size)
    assert found["placeholders"] == count_layout(found["layout"]) == expected["placeholders"]
    assert found["grid"] == expected["tiles"][::-1]


@pytest.mark.parametrize(("profile", "size", "expected"), QWEN_CASES)
def test_qwen_counts_equal_the_reference(facts, profile, size, expected):
    found = facts("--profile", profile, size)
    _, grid_h, grid_w = expected["grid"]
    assert found["placeholders"] == expected["tokens"]
    assert found["visual_tokens"] == expected["tokens"] + 2
    assert found["grid"] == [grid_h // 2, grid_w // 2]
    assert found["layout"] == f"<|vision_start|> <|image_pad|>*{expected['tokens']} <|vision_end|>"


@pytest.mark.parametrize("profile", profile_names())
@pytest.mark.parametrize("size", ["640x480", "1000x50", "333x2000", "1x1"])
def test_a_layout_line_stands_for_every_visual_token(facts, inspect, profile, size):
    found = facts("--profile", profile, size)
    assert count_layout(found["layout"]) == found["visual_tokens"]
    code, out, _ = inspect("--profile", profile, size)
    assert code == 0
    assert found["layout"] in " ".join(out.split())
    assert "┌" in out


def test_several_sizes_give_a_list_in_their_order(facts):
    one, two = (facts("--profile", "qwen2_5_vl", size) for size in ("640x480", "1000x50"))
    assert facts("--profile", "qwen2_5_vl", "640x480", "1000x50") == [one, two]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--profile", "qwen2_5_vl", "640by480"], "'640by480' is no image size"),
        (["--profile", "qwen2_5_vl", "0x480"], "'0x480' is no image size"),
        (["--profile", "qwen2_5_vl", "201x1"], "at most 200:1 expected"),
        (["--profile", "nobody", "640x480"], "choose one of"),
        (["--profile", "qwen2_5_vl"], "needs an image size"),
        (["--profile", "qwen2_5_vl", "640x480", "--pack", "0"], "leave out --pack"),
        ([], "inspect has no output folder"),
        (["one", "two"], "2 arguments"),
        (["/nowhere/at/all"], "there is nothing at /nowhere/at/all"),
        ([str(ROOT / "jobs")], "has no versions/"),
        ([str(ROOT / "pyproject.toml")], "has no versions/"),
        (["OUT", "--pack", "9999"], "--pack 9999 is none of them"),
        (["OUT", "--pack", "first"], "no pack is called first"),
        (["OUT", "--pack", "0", "--explain", "k"], "ask one at a time"),
        (["OUT", "--pack", "0", "--limit", "3"], "leave it out beside --pack"),
    ],
)
def test_a_wrong_call_is_one_line_and_no_traceback(output, inspect, arguments, said):
    err = refusal(inspect, *(output if argument == "OUT" else argument for argument in arguments))
    assert said in err
    assert len(err.splitlines()) == 1


def test_an_output_without_a_version_is_not_finished(output, inspect, tmp_path):
    (tmp_path / "out" / "runs").mkdir(parents=True)
    assert "has no finished version yet" in refusal(inspect, str(tmp_path / "out"))


def test_text_of_a_data_set_cannot_steer_the_terminal():
    from jobs.terminal import printable

    assert printable("a\x1b[2Jb\x9b\r\n\tc") == "a�[2Jb��\n\tc"


def test_a_url_is_read_as_a_path_is(output, facts):
    remote = facts(f"file://{output}")
    assert remote | {"output": output} == facts(output)
