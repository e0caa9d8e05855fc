import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from operators.discrete.codebook import PatchCodebook, load_codebook, save_codebook
from operators.discrete.coding import PatchCoder
from pipeline.errors import ConfigError


def book(num_codes: int = 32, side: int = 4, seed: int = 0, low: float = 0.0, high: float = 255.0) -> PatchCodebook:
    levels = np.random.default_rng(seed).integers(0, 256, (num_codes, side * side * 3))
    return PatchCodebook((low + levels * ((high - low) / 255)).astype(np.float32), side, low, high)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([(0.0, 255.0), (-1.0, 1.0)]))
def test_codes_of_a_decoded_picture_are_its_codes(seed, colours):
    made = book(seed=seed, low=colours[0], high=colours[1])
    codes = np.random.default_rng(seed).integers(0, made.num_codes, (3, 5)).astype(np.int32)
    picture = made.decode(codes)
    assert (picture.shape, picture.dtype) == ((12, 20, 3), np.uint8)
    assert (PatchCoder(made, "cpu")(picture) == codes).all()


def test_a_picture_of_noise_is_decoded_to_its_nearest_codes():
    made = book(num_codes=200)
    picture = np.random.default_rng(9).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    codes = PatchCoder(made, "cpu")(picture)
    gaps = ((picture[:4, :4].reshape(-1).astype(int) - made.codes) ** 2).sum(axis=1)
    assert codes[0, 0] == gaps.argmin()


def test_a_file_gives_the_codebook_back_and_has_the_same_bytes(tmp_path):
    made = book(low=-1.0, high=1.0)
    for name in ("a", "b"):
        save_codebook(made, tmp_path / name)
    found = load_codebook(tmp_path / "a")
    assert (found.codes == made.codes).all()
    assert (found.downsample, found.low, found.high) == (4, -1.0, 1.0)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_no_codebook_is_refused(tmp_path):
    path = tmp_path / "book.safetensors"
    with pytest.raises(ConfigError, match="does not open"):
        load_codebook(path)
    path.write_bytes(pickle.dumps({"codes": [1.0]}))
    with pytest.raises(ConfigError, match="does not open"):
        load_codebook(path)
    save_file({"weights": np.zeros((2, 12), np.float32)}, path)
    with pytest.raises(ConfigError, match="has weights and says nothing"):
        load_codebook(path)
    fields = {"kind": "patches", "downsample": 2, "low": 0.0, "high": 255.0}
    for codes, fault in [
        (np.zeros((2, 12), np.float32), "a code twice"),
        (np.zeros((2, 11), np.float32), "11 values a code; 12"),
        (np.zeros((2, 12), np.float64), "float64"),
        (np.full((1, 12), np.nan, np.float32), "12 numbers expected"),
    ]:
        save_file({"codes": codes}, path, {"codebook": json.dumps(fields)})
        with pytest.raises(ConfigError, match=fault):
            load_codebook(path)
    save_file({"codes": np.zeros((1, 12), np.float32)}, path, {"codebook": json.dumps(fields | {"downsample": "two"})})
    with pytest.raises(ConfigError, match="numbers are expected"):
        load_codebook(path)
