"""The small encoder is fitted to a job's own pictures, and what is wrong with a call is said before any work."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.progress import Screen
from jobs.relevance import MAX_REGIONS, train_relevance
from jobs.spec import Job, load_job
from operators.relevance import REGION
from operators.relevance.encoder import buckets, load_encoder
from operators.relevance.participatory import open_encoder
from pipeline.errors import ConfigError
from tests.jobs.test_cli import lodepack
from tests.support import QUICKSTART, ROOT, write_shard

COLOURS = {"crimson": (214, 32, 38), "azure": (40, 80, 215)}


def picture(colour: tuple[int, int, int], side: int = 60) -> bytes:
    file = BytesIO()
    Image.new("RGB", (side, side), colour).save(file, "PNG")
    return file.getvalue()


def job_of(shard: Path, format: str = "pairs") -> Job:  # noqa: A002 - the field's name
    fields = [f"tokenizer={ROOT}/jobs/samples/tokenizer.model", f"input.format={format}"]
    return load_job(str(QUICKSTART), fields, input__shards=[str(shard)])


def fit(job: Job, target: Path | str, steps: int = 2, limit: int = 100) -> dict[str, object]:
    with Screen(quiet=True) as screen:
        return train_relevance(job, target=str(target), steps=steps, limit=limit, progress=screen)


def captions(folder: Path, count: int) -> Path:
    """Plain pictures, each with a word for its colour that the weights that ship never met."""
    members: dict[str, bytes] = {}
    for i in range(count):
        word = list(COLOURS)[i % 2]
        members |= {f"{i:04d}.png": picture(COLOURS[word], 60 + i), f"{i:04d}.txt": f"A {word} wall.".encode()}
    return write_shard(folder / "captions.tar", members)


def test_it_learns_words_of_the_users_pictures_from_their_captions(tmp_path: Path) -> None:
    for word in COLOURS:
        assert not load_encoder().table.weight[buckets(word)].any()
    fitted = fit(job_of(captions(tmp_path, 12)), tmp_path / "new" / "my.safetensors", steps=25)
    assert fitted["pictures"] == fitted["regions"] == 12
    before, after = fitted["losses"]  # type: ignore[misc]
    assert after < before
    encoder = open_encoder(str(tmp_path / "new" / "my.safetensors"), "cpu")
    regions = np.stack([np.full((REGION, REGION, 3), colour, np.uint8) for colour in COLOURS.values()])
    places = np.tile(np.array([0, 0, 1, 1], np.float32), (2, 1))
    for number, word in enumerate(COLOURS):
        fits = encoder.cosines(regions, places, [f"a {word} wall"], np.zeros(2, int))
        assert fits.argmax() == number


def test_the_command_fits_the_bundled_pages_and_prints_one_object(tmp_path: Path) -> None:
    target = tmp_path / "my.safetensors"
    done = lodepack("relevance", "train", QUICKSTART, "--out", target, "--steps", 2, "--limit", 5, "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert said["encoder"] == str(target)
    assert said["steps"] == 2
    assert said["pictures"] <= said["regions"] <= MAX_REGIONS * said["pictures"]
    shipped = open_encoder(None, "cpu")
    assert open_encoder(str(target), "cpu").identity != shipped.identity


def test_only_the_first_samples_are_read(tmp_path: Path) -> None:
    shard = captions(tmp_path, 12)
    assert fit(job_of(shard), tmp_path / "a.safetensors", limit=5)["pictures"] == 5
    limited = job_of(shard).model_copy(update={"limit": 3})
    assert fit(limited, tmp_path / "b.safetensors")["pictures"] == 3


def test_large_pictures_give_their_regions_and_damaged_ones_nothing(tmp_path: Path) -> None:
    sound = {"0.png": picture((9, 9, 9), 1400), "0.txt": b"a wall", "1.png": picture((9, 9, 9)), "1.txt": b"a floor"}
    damaged = {"2.png": picture((9, 9, 9), 90)[:-40], "2.txt": b"a torn wall"}
    fitted = fit(job_of(write_shard(tmp_path / "x.tar", sound | damaged)), tmp_path / "a.safetensors")
    assert fitted["pictures"] == 2
    assert fitted["regions"] == 1 + 9


@pytest.mark.parametrize(("format", "members"), [
    ("pairs", {"0.png": picture((1, 2, 3)), "0.txt": b"a wall"}),
    ("pairs", {f"{i}.{end}": data for i in range(3) for end, data in (("png", picture((1, 2, i))), ("txt", b"..."))}),
    ("conversations", {
        name: data
        for i in range(3)
        for name, data in (
            (f"{i}.jpg", picture((1, 2, i))),
            (f"{i}.json", json.dumps({"conversations": [
                {"from": "human", "value": "<image>What is it?"}, {"from": "gpt", "value": "A wall."},
            ]}).encode()),
        )
    }),
], ids=["one", "no words", "conversations"])  # fmt: skip
def test_too_few_pictures_with_text_are_refused(format: str, members: dict[str, bytes], tmp_path: Path) -> None:  # noqa: A002
    job = job_of(write_shard(tmp_path / "few.tar", members), format)
    with pytest.raises(ConfigError, match=r"found [01] pictures with text beside them .* expected two or more"):
        fit(job, tmp_path / "my.safetensors")
    assert not (tmp_path / "my.safetensors").exists()


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        ("my.bin", "--out my.bin: a name that ends in .safetensors is expected"),
        ("s3://bucket/my.safetensors", "a local path is expected"),
        (ROOT / "operators/relevance/encoder.safetensors", "exists; choose another --out"),
    ],
)
def test_a_target_that_will_not_do_is_named_with_exit_code_2(out: str | Path, expected: str) -> None:
    done = lodepack("relevance", "train", QUICKSTART, "--out", out)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
