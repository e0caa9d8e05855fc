"""Jobs whose pictures are written as ids of a codebook: all of them, some, beside views, in every layout."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from jobs.chain import resolve_job
from jobs.cli import app
from jobs.codebook import train_codebook
from jobs.progress import Screen
from jobs.spec import load_job
from jobs.verify import verify
from operators.discrete.codebook import load_codebook
from operators.discrete.layouts import LAYOUTS, DiscreteIds, codes_of
from operators.discrete.patches import psnr
from pipeline.errors import ConfigError
from pipeline.loading import PackedDataset
from pipeline.types import Modality
from tests.jobs.rewriting import Output
from tests.operators.discrete.test_discrete_checkpoint import chameleon, emu3
from tests.support import QUICKSTART, ROOT, SPREAD, build, documents, tree, write_shard

TOKENIZER = f"tokenizer={ROOT}/jobs/samples/tokenizer.model"
CODES = 128
SETTINGS = [
    ["derive=[shuffle-texts, images-to-texts, texts-to-images, shuffle-both]", "loss_weights=sample"],
    ["filters={preset: obelics}", "loss_weights=square"],
    ["placement={images: prefix}", "pack.align=64", "pixels=source", "score=none", "budget=none"],
    ["profile=internvl", "budget=none", "loss_weights=sample", "sequence_length=4096"],
    ["profile=llava_onevision"],
    ["budget={rule: global, sample_tokens: 300}"],
]


def illustrated(folder: Path) -> str:
    """Two shards of the lightest documents with two pictures or three."""
    found = [one for one in documents().items() if 2 <= sum(name.endswith(".png") for name in one[1]) <= 3]
    light = sorted(found, key=lambda one: sum(map(len, one[1].values())))[:6]
    for number in range(2):
        chosen = sorted(light[number * 3 : number * 3 + 3])
        write_shard(folder / f"two-{number:06d}.tar", {name: data for _, own in chosen for name, data in own.items()})
    return str(folder / "two-{000000..000001}.tar")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Small shards, and a codebook of their patches for LlamaGen."""
    folder = tmp_path_factory.mktemp("discrete")
    shards = illustrated(folder / "in")
    job = load_job(str(QUICKSTART), [TOKENIZER], input__shards=[shards])
    with Screen(quiet=True) as screen:
        train_codebook(
            job,
            target=str(folder / "book.safetensors"),
            num_codes=CODES,
            layout="llamagen",
            downsample=None,
            rounds=2,
            seed=0,
            limit=8,
            device="cpu",
            progress=screen,
        )
    return folder, shards


def discrete(folder: Path, images="all", layout="llamagen", train="true") -> str:
    return f"discrete={{codebook: {folder}/book.safetensors, layout: {layout}, images: {images}, train: {train}}}"


def index_images(output: Path) -> list[dict]:
    """Image segments of the index, in order."""
    rows = [row for path in sorted((output / "index").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    return [segment for row in rows for segment in row["segments"] if segment["plan"] is not None]


def findings(output: Path) -> list[str]:
    return [f"{one}" for one in verify(str(output)).findings]


def packs(output: Path) -> list[dict]:
    return [row for path in sorted((output / "data").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def ids_of(output: Path) -> DiscreteIds:
    (version,) = (output / "versions").glob("*.json")
    recipe = json.loads(version.read_text())["recipe"]
    return DiscreteIds(recipe["job"]["discrete"]["layout"], recipe["discrete"]["first_id"], recipe["discrete"]["codes"])


@pytest.fixture(scope="module")
def mixed(made):
    folder, shards = made
    summary = build(folder / "mixed", shards, discrete(folder, "alternate"), "sequence_length=2048")
    return folder / "mixed", summary


def test_a_mixed_build_is_true(mixed):
    output, _ = mixed
    assert not findings(output)


def test_some_pictures_are_ids_and_the_others_views(mixed):
    output, summary = mixed
    images = index_images(output)
    kinds = [image["plan"]["scheme"] for image in images]
    assert {*kinds} == {"discrete", "qwen"}
    ids = ids_of(output)
    for image in images:
        found = {run["modality"] for run in image["runs"]}
        if image["plan"]["scheme"] == "discrete":
            assert (found, image["plan"]["views"], image["relevance"]) == ({Modality.DISCRETE}, [], None)
            assert sum(run["count"] for run in image["runs"]) == 256
            assert all(ids.first <= run["id"] < ids.first + CODES for run in image["runs"])
        else:
            assert Modality.IMAGE in found
            assert max(run["id"] for run in image["runs"]) < ids.first
            assert image["relevance"]
    assert summary["added_embeddings"] >= CODES


def test_one_document_holds_both(mixed):
    output, _ = mixed
    kinds = [
        {int(one) for one in row["modality"][sample["start"] : sample["start"] + sample["length"]]}
        for row in packs(output)
        for sample in row["samples"]
    ]
    assert any({Modality.IMAGE, Modality.DISCRETE, Modality.TEXT} <= found for found in kinds)


def test_ids_are_trained_where_the_job_says_so(made, mixed):
    folder, shards = made
    build(folder / "untrained", shards, discrete(folder, "alternate", train="false"), "sequence_length=2048")
    assert not findings(folder / "untrained")
    for output, trains in ((mixed[0], True), (folder / "untrained", False)):
        for row in packs(output):
            ids, labels, modality = (np.array(row[name]) for name in ("input_ids", "labels", "modality"))
            written = modality == Modality.DISCRETE
            starts = {sample["start"] for sample in row["samples"]}
            written[[*starts]] = False
            assert (labels[written] == (ids[written] if trains else -100)).all()


def test_the_same_bytes_come_again(made, mixed):
    folder, shards = made
    build(folder / "again", shards, discrete(folder, "alternate"), "sequence_length=2048")
    assert tree(folder / "again") == tree(mixed[0])


def test_a_loader_gives_a_model_its_ids_and_the_pixels_of_the_others(mixed):
    output, _ = mixed
    rows = list(PackedDataset(str(output)))
    ids = ids_of(output)
    assert sum(int((row["model"]["input_ids"] >= ids.first).sum()) for row in rows) == 256 * sum(
        image["plan"]["scheme"] == "discrete" for image in index_images(output)
    )
    assert all(int(row["model"]["input_ids"].max()) < ids.first + ids.size for row in rows)
    assert any("pixel_values" in row["model"] for row in rows)


def test_ids_are_the_picture_and_show_it_better_than_its_mean_colour(made, mixed):
    folder, _ = made
    book = load_codebook(folder / "book.safetensors")
    files = {name: data for found in documents().values() for name, data in found.items()}
    ids = ids_of(mixed[0])
    squares, flat, values = 0, 0, 0
    for image in index_images(mixed[0]):
        if image["plan"]["scheme"] != "discrete":
            continue
        laid = np.repeat([run["id"] for run in image["runs"]], [run["count"] for run in image["runs"]])
        shown = book.decode(codes_of(laid, ids, image["plan"]["grid_h"], image["plan"]["grid_w"])).astype(int)
        with Image.open(io.BytesIO(files[image["member"]])) as opened:
            if opened.mode != "RGB":
                continue
            real = np.asarray(LAYOUTS["llamagen"].prepare(opened)).astype(int)
        squares += ((shown - real) ** 2).sum()
        flat += ((real - real.mean(axis=(0, 1)).round()) ** 2).sum()
        values += real.size
    assert values
    assert psnr(squares, values) > psnr(flat, values)


def test_a_build_of_ids_alone_holds_no_view(made):
    folder, shards = made
    output = folder / "all"
    build(output, shards, discrete(folder), "sequence_length=2048", "profile=llava_next_hf", "budget=none")
    assert not findings(output)
    assert not any(row["views"] for row in packs(output))
    assert all("pixel_values" not in row["model"] for row in PackedDataset(str(output)))


@pytest.mark.parametrize(
    "overrides", [["score=none", "budget=none"], pytest.param(["budget.max_tokens=256"], marks=pytest.mark.slow)]
)
def test_replanning_gives_what_a_fresh_build_gives(made, overrides):
    folder, shards = made
    name = "-".join(overrides[0].split("="))
    base = [discrete(folder, "0.5"), *[one for one in overrides if "none" in one]]
    build(folder / f"re-{name}", shards, *base, "sequence_length=2048")
    again = build(folder / f"re-{name}", shards, *base, *overrides, "sequence_length=4096", rebuild=True)
    assert again["replanned"]["units"] == 1
    build(folder / f"fresh-{name}", shards, *base, *overrides, "sequence_length=4096")
    data = {path: sha for path, sha in tree(folder / f"fresh-{name}").items() if path.startswith(("data", "index"))}
    assert data.items() <= tree(folder / f"re-{name}").items()
    assert not findings(folder / f"re-{name}")


def test_what_is_changed_behind_the_build_is_found(mixed, tmp_path):
    output = Output(Path(shutil.copytree(mixed[0], tmp_path / "out")))

    def turn(rows):
        """Another grid of as many codes for the first picture that is ids."""
        plans = (one["plan"] for row in rows for one in row["segments"] if one["plan"] is not None)
        plan = next(plan for plan in plans if plan["scheme"] == "discrete")
        plan["grid_h"], plan["grid_w"] = 8, 32

    output.table("index", turn)
    assert any("has 8x32 codes; 16x16 expected" in line for line in findings(output.root))


@pytest.mark.parametrize(
    "command", [["inspect", "{}"], ["inspect", "{}", "--pack", "0"], ["report", "{}"], ["stats", "{}"]]
)
def test_commands_show_such_an_output(mixed, command):
    said = CliRunner().invoke(app, [part.format(mixed[0]) for part in command])
    assert said.exit_code == 0, said.output


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_ray_with_a_pool_of_its_own_gives_the_same_bytes(made, mixed):
    folder, shards = made
    pool = "resources.discretise={cpus: 0.05, batch_size: 2}"
    build(folder / "ray", shards, discrete(folder, "alternate"), "sequence_length=2048", *SPREAD, pool, local=False)
    assert tree(folder / "ray") == tree(mixed[0])


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS)
def test_builds_of_every_kind_are_true(made, settings):
    """Derived samples, filters that drop pictures, weights, alignment, tiles, and VQ encoders of a folder."""
    folder, shards = made
    output = folder / f"kind-{SETTINGS.index(settings)}"
    totals = build(output, shards, discrete(folder, "0.5"), *settings, "limits.max_reject_ratio=1")["totals"]
    assert not findings(output)
    assert totals["samples"]["packed"]


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "save"), [("chameleon", chameleon), ("emu3", emu3)])
def test_the_encoder_of_a_folder_writes_pictures_too(made, layout, save):
    folder, shards = made
    save(folder / f"vq-{layout}" / "book.safetensors")  # a folder, by the name that `discrete` gives it
    output = folder / f"by-{layout}"
    settings = (discrete(folder / f"vq-{layout}", "alternate", layout), "sequence_length=16384", "pixels=none")
    build(output, shards, *settings, "limits.max_reject_ratio=1")
    assert not findings(output)
    assert "discrete" in {image["plan"]["scheme"] for image in index_images(output)}


def test_a_user_s_pictures_are_not_trained(made, tmp_path):
    folder, _ = made
    talk = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A page."}]
    png = next(data for found in documents().values() for name, data in found.items() if name.endswith(".png"))
    shard = write_shard(tmp_path / "talk.tar", {"a.json": json.dumps({"conversations": talk}).encode(), "a.png": png})
    build(tmp_path / "out", str(shard), discrete(folder), "input.format=conversations", "sequence_length=1024")
    assert not findings(tmp_path / "out")
    (row,) = packs(tmp_path / "out")
    labels, modality = np.array(row["labels"]), np.array(row["modality"])
    assert (modality == Modality.DISCRETE).sum() == 256
    assert (labels[modality == Modality.DISCRETE] == -100).all()
    assert (labels != -100).any()


def test_a_codebook_that_does_not_fit_is_told(made):
    folder, shards = made
    job = load_job(str(QUICKSTART), [TOKENIZER, discrete(folder, layout="emu3")], input__shards=[shards])
    with pytest.raises(ConfigError, match="16 pixels a code; layout emu3 expects 8"):
        resolve_job(job)
    job = load_job(str(QUICKSTART), [TOKENIZER, discrete(folder / "none")], input__shards=[shards])
    with pytest.raises(ConfigError, match="lodepack codebook train"):
        resolve_job(job)
