"""`lodepack codebook train`: what it writes, and what it says of it."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from jobs.codebook import train_codebook
from jobs.progress import Screen
from jobs.spec import load_job
from operators.discrete.codebook import load_codebook
from pipeline.errors import ConfigError
from tests.support import QUICKSTART, ROOT, write_pairs


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs"), 1, 16)


def train(shards, target, **options):
    fields = [f"tokenizer={ROOT}/jobs/samples/tokenizer.model", "input.format=pairs"]
    job = load_job(str(QUICKSTART), fields, input__shards=[shards])
    given = {"num_codes": 64, "layout": "llamagen", "downsample": None, "rounds": 3, "seed": 0, "limit": 100}
    with Screen(quiet=True) as screen:
        return train_codebook(job, target=str(target), device="cpu", progress=screen, **(given | options))


def test_codes_show_pictures_better_than_their_mean_colour(shards, tmp_path):
    found = train(shards, tmp_path / "a.safetensors")
    assert found["psnr"] > found["baseline_psnr"] + 1
    assert (found["held_out"], found["judged_on"], found["pictures"]) == (True, 2, 14)
    book = load_codebook(tmp_path / "a.safetensors")
    assert (book.num_codes, book.downsample) == (64, 16)
    train(shards, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_emu3_has_patches_of_eight_pixels(shards, tmp_path):
    assert train(shards, tmp_path / "a.safetensors", layout="emu3", limit=3, rounds=0)["downsample"] == 8


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"layout": "seed"}, "choose chameleon, emu3, llamagen"),
        ({"downsample": 8, "layout": "chameleon"}, "16 pixels a code"),
        ({"num_codes": 100_000, "limit": 2}, "distinct patches"),
    ],
)
def test_what_cannot_be_fitted_is_told(shards, tmp_path, options, fault):
    with pytest.raises(ConfigError, match=fault):
        train(shards, tmp_path / "a.safetensors", **options)
    assert not (tmp_path / "a.safetensors").exists()


def test_a_file_is_not_overwritten(shards, tmp_path):
    (tmp_path / "a.safetensors").touch()
    with pytest.raises(ConfigError, match="exists"):
        train(shards, tmp_path / "a.safetensors")
    with pytest.raises(ConfigError, match=r"ends in \.safetensors"):
        train(shards, tmp_path / "a.bin")


def test_the_command_says_how_good_it_is(shards, tmp_path):
    target = tmp_path / "book.safetensors"
    call = ["codebook", "train", str(QUICKSTART), "--output", str(target), "--codes", "32", "--layout", "llamagen"]
    more = ["--input", shards, "--set", "input.format=pairs", "--rounds", "1", "--limit", "4"]
    said = CliRunner().invoke(app, [*call, *more])
    assert said.exit_code == 0, said.output
    assert "PSNR" in said.output
    target.unlink()
    told = json.loads(CliRunner().invoke(app, [*call, *more, "--json"]).output)
    assert told["codes"] == 32
