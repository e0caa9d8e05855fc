"""A folder of SigLIP, SigLIP2 or CLIP gives the cosines that transformers gives, at one shape, and opens no pickle."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from operators.relevance import folder as folders
from operators.relevance.folder import FolderEncoder
from pipeline.errors import ConfigError
from tests.operators.relevance.tiny_folders import LENGTH, PATCH, SIDE, save_tiny

KINDS = ("siglip", "siglip2", "clip")
QUERIES = ("a red star", "the blue square on the left " * 4, "", "quokka")
"""The second is longer than the model reads, and of the last the tokenizer knows no word."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return {kind: save_tiny(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.fixture
def copied(saved, tmp_path):
    return shutil.copytree(saved["siglip"], tmp_path / "model")


def regions_of(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8), np.zeros((count, 4), np.float32)


def reference(folder, kind, regions):
    """Cosines by the family's own processor and model, [regions, QUERIES]."""
    import transformers

    processor = transformers.AutoProcessor.from_pretrained(folder)
    model = getattr(transformers, folders.MODELS[kind]).from_pretrained(folder).eval()
    asked = {"padding": "max_length", "truncation": True, "max_length": LENGTH, "return_tensors": "pt"}
    if kind == "siglip2":
        asked |= {"patch_size": PATCH, "max_num_patches": (SIDE // PATCH) ** 2}  # its processor has its own defaults
    inputs = processor(text=list(QUERIES), images=[Image.fromarray(region) for region in regions], **asked)
    with torch.inference_mode():
        out = model(**inputs)
    return (out.image_embeds @ out.text_embeds.T).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_cosines_are_those_of_the_familys_own_processor_and_model(saved, kind):
    encoder = FolderEncoder(saved[kind], "cpu")
    regions, places = regions_of(20)  # more than a batch
    expected = reference(saved[kind], kind, regions)
    expected[:, QUERIES.index("")] = 0  # ours: nothing was asked
    assert np.ptp(expected[:, 0]) > 0.05
    for number in range(len(QUERIES)):
        found = encoder.cosines(regions, places, QUERIES, np.full(20, number))
        assert found.dtype == np.float32
        assert np.allclose(found, expected[:, number], atol=1e-5), QUERIES[number]


@pytest.mark.parametrize("kind", KINDS)
def test_a_cosine_hangs_on_its_region_and_query_alone(saved, kind):
    encoder = FolderEncoder(saved[kind], "cpu")
    regions, places = regions_of(21)
    owners = np.arange(21) % len(QUERIES)
    together = encoder.cosines(regions, places, QUERIES, owners)
    order = np.random.default_rng(1).permutation(21)
    assert np.array_equal(encoder.cosines(regions[order], places, QUERIES, owners[order]), together[order])
    for i in (0, 5, 20):
        alone = encoder.cosines(regions[i : i + 1], places[:1], [QUERIES[owners[i]]], np.array([0]))
        assert alone[0] == together[i]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_regions_and_texts_give_the_cosines_and_hang_on_no_batch_mate(saved, kind):
    encoder = FolderEncoder(saved[kind], "cpu")
    regions, places = regions_of(21)
    seen, said = encoder.seen(regions, places), encoder.said(QUERIES)
    assert seen.dtype == said.dtype == np.float32
    assert not said[2].any()
    assert np.allclose(np.linalg.norm(seen, axis=1), 1, atol=1e-5)
    for number in range(len(QUERIES)):
        found = encoder.cosines(regions, places, QUERIES, np.full(21, number))
        assert np.allclose(seen @ said[number], found, atol=1e-6)
        assert np.array_equal(encoder.said(QUERIES[number : number + 1])[0], said[number])
    assert np.array_equal(encoder.seen(regions[20:], places[20:])[0], seen[20])
    assert encoder.said([]).shape == encoder.seen(regions[:0], places[:0]).shape == (0, said.shape[1])


def test_each_text_goes_through_once(saved, monkeypatch):
    encoder = FolderEncoder(saved["clip"], "cpu")
    seen = []
    tokenizer = encoder._tokenizer
    monkeypatch.setattr(encoder, "_tokenizer", lambda texts, **kwargs: (seen.append(texts), tokenizer(texts, **kwargs))[1])  # fmt: skip # noqa: E501
    regions, places = regions_of(3)
    found = encoder.cosines(regions[[0, 0, 0]], places, ["a red star"] * 3, np.arange(3))
    assert seen == [["a red star"] + [""] * (folders.TEXTS - 1)]
    assert len(set(found.tolist())) == 1


def test_memory_that_runs_out_halves_the_batch_and_changes_no_value_much(saved, monkeypatch):
    encoder = FolderEncoder(saved["siglip"], "cpu")
    regions, places = regions_of(21)
    owners = np.zeros(21, int)
    expected = encoder.cosines(regions, places, QUERIES, owners)
    sizes = []
    whole = encoder._seen

    def small(batch):
        sizes.append(len(batch))
        if len(batch) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(batch)

    monkeypatch.setattr(encoder, "_seen", small)
    assert np.allclose(encoder.cosines(regions, places, QUERIES, owners), expected, atol=1e-6)
    assert sizes == [16, 8, 4, 4, 4, 4, 4, 4]
    encoder.cosines(regions[:1], places[:1], QUERIES, owners[:1])
    assert sizes[-1] == 4  # not tried again with more


def test_bfloat16_stays_near_float32(saved):
    regions, places = regions_of(20)
    plain, short = (FolderEncoder(saved["siglip"], "cpu", dtype) for dtype in (None, "bfloat16"))
    assert (plain.dtype, short.dtype) == ("float32", "bfloat16")
    found = [encoder.cosines(regions, places, QUERIES, np.zeros(20, int)) for encoder in (plain, short)]
    assert not np.array_equal(*found)
    assert np.abs(found[0] - found[1]).max() < 0.05


def test_what_it_says_of_itself(saved):
    encoders = {kind: FolderEncoder(saved[kind], "cpu") for kind in KINDS}
    assert {encoder.side for encoder in encoders.values()} == {SIDE}
    assert round(encoders["clip"].sharpness, 2) == 14.28
    assert len({encoder.identity for encoder in encoders.values()}) == 3


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "preprocessor_config.json"])
def test_its_identity_is_that_of_every_file_it_reads(copied, name):
    before = folders.identity_of(copied)
    (copied / "README.md").write_text("about it")
    assert folders.identity_of(copied) == before
    (copied / name).write_bytes((copied / name).read_bytes() + b" ")
    assert folders.identity_of(copied) != before


def test_weights_as_pickles_alone_are_refused_unread(copied):
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"weights as pickles alone; model\.safetensors is expected"):
        FolderEncoder(copied, "cpu")
    (copied / "pytorch_model.bin").unlink()
    with pytest.raises(ConfigError, match="holds no weights"):
        FolderEncoder(copied, "cpu")


def test_a_folder_that_is_no_encoder_is_refused(copied):
    (copied / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ConfigError, match="model_type 'bert'; one of siglip, siglip2, clip is expected"):
        FolderEncoder(copied, "cpu")
    (copied / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config\.json is no JSON"):
        FolderEncoder(copied, "cpu")
    (copied / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        FolderEncoder(copied, "cpu")


def test_a_folder_without_its_processor_is_refused(copied):
    (copied / "preprocessor_config.json").unlink()
    with pytest.raises(ConfigError, match=r"has no preprocessor_config\.json with image_mean"):
        FolderEncoder(copied, "cpu")


def test_damaged_weights_are_refused_in_one_line(copied):
    (copied / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ConfigError, match="does not open") as caught:
        FolderEncoder(copied, "cpu")
    assert "\n" not in str(caught.value)


def test_weights_that_are_missing_are_not_drawn_at_random(copied):
    kept = load_file(copied / "model.safetensors")
    del kept["vision_model.post_layernorm.weight"]
    save_file(kept, copied / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks weights, vision_model\.post_layernorm\.weight among them"):
        FolderEncoder(copied, "cpu")


def test_without_transformers_it_names_the_extra(copied, monkeypatch):
    monkeypatch.setattr(folders, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'lodepack\[encoders\]'"):
        FolderEncoder(copied, "cpu")


def test_code_in_a_folder_is_never_run(copied):
    for name, key in (("config.json", "AutoModel"), ("tokenizer_config.json", "AutoTokenizer")):
        found = json.loads((copied / name).read_text())
        found["auto_map"] = {key: ["code.Thing", "code.Thing"] if key == "AutoTokenizer" else "code.Thing"}
        (copied / name).write_text(json.dumps(found))
    (copied / "code.py").write_text("raise SystemExit('run')")
    FolderEncoder(copied, "cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_in_bfloat16_stays_near_the_cpu_in_float32(saved, kind):
    regions, places = regions_of(20)
    cpu, gpu = (FolderEncoder(saved[kind], device) for device in ("cpu", "cuda"))
    assert gpu.dtype == "bfloat16"
    found = [encoder.cosines(regions, places, QUERIES, np.zeros(20, int)) for encoder in (cpu, gpu)]
    assert np.abs(found[0] - found[1]).max() < 0.05
