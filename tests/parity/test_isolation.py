"""Documents of a packed row do not see each other: real model classes, fed what PackedDataset yields and nothing else.

Alone, a document is run as transformers runs it without us: its ids and pixels, an all-ones mask, and the positions
that the model works out for itself.
"""

from __future__ import annotations

import io
import json
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pyarrow.parquet as pq
import pytest
import torch
import transformers
import yaml
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from pipeline.loading import PackedDataset, collate
from pipeline.planning import latest_version
from tests.parity.processors import picture
from tests.support import ROOT, build, write_shard

TOLERANCE = 1e-5
LEAK = 1e-2
"""What letting documents see each other must at least cost: a thousand times the tolerance."""
WORDS = ["layer", "brush", "path", "select", "colour", "undo", "script", "export", "channel", "mask"]
PICTURES = {
    "a": [(60, 60)],
    "b": [],
    "c": [(56, 112), (64, 64)],
    "d": [(120, 60)],
}
"""(width, height) of each document's pictures."""
LENGTHS = {"qwen2_5_vl": 512, "qwen3_vl": 1024, "llava_next_hf": 6144, "internvl": 2560}
SMALLER = {
    "llava_1_5": ({}, 3072),
    "llava_onevision": ({"tile": 56, "pinpoints": [[w, h] for w in (56, 112) for h in (56, 112)]}, 1024),
    "idefics3": ({"longest": 112, "tile": 56}, 1024),
    "smolvlm": ({"longest": 168, "tile": 84}, 1024),
    "pixtral": ({"longest": 128}, 512),
}
"""What differs from the family's own slicing, so that two cores run its model in seconds, and the sequence length."""
SLOW = dict.fromkeys(("llava_1_5", "smolvlm"), pytest.mark.slow)
"""576 tokens a picture took 30 s, and SmolVLM is Idefics3 under another name."""
QWEN = ["qwen2_5_vl", "qwen3_vl"]
FAMILIES = list(LENGTHS)


def shard(path):
    members = {}
    for number, (key, sizes) in enumerate(PICTURES.items()):
        texts = [" ".join(WORDS[(number * 3 + i * (number + 1)) % len(WORDS)] for i in range(17 + 9 * number))]
        images = [None]
        for i, size in enumerate(sizes):
            data = io.BytesIO()
            picture(*size).save(data, "PNG")
            members[f"{key}.{i}.png"] = data.getvalue()
            images += [f"{i}.png", None]
            texts += [None, f"figure {WORDS[(number + i) % len(WORDS)]} of {key}"]
        members[f"{key}.json"] = json.dumps({"texts": texts, "images": images, "source": key}).encode()
    return write_shard(path, dict(sorted(members.items())))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """A finished output of each family, by its name."""
    folder = tmp_path_factory.mktemp("isolation")
    shards = str(shard(folder / "in" / "small-000000.tar"))
    for name, length in LENGTHS.items():
        fields = (f"profile={name}", f"sequence_length={length}", "budget=none", "score=none", "pixels=encoded")
        build(folder / name, shards, *fields)
        build(folder / "raw" / name, shards, *fields, "pixels=patches", "resize=pillow")
    for name, (changes, length) in SMALLER.items():
        profile = yaml.safe_load((ROOT / "operators" / "profiles" / f"{name}.yaml").read_text())
        profile["slicing"] |= changes
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(profile))
        fields = (f"profile={folder}/{name}.yaml", f"sequence_length={length}", "budget=none", "score=none")
        build(folder / name, shards, *fields, "pixels=encoded", "pack.long_documents=reject")
    return folder


@pytest.fixture(scope="module", params=[*FAMILIES, *(pytest.param(name, marks=SLOW.get(name, ())) for name in SMALLER)])
def packed(request, outputs):
    return packed_row(outputs / request.param)


def packed_row(output):
    """What PackedDataset yields of the one pack, the pack's own columns, a model for it, and the family's name."""
    (row,) = PackedDataset(str(output))
    (path,) = (output / "data").glob("*.parquet")
    (pack,) = pq.read_table(path).to_pylist()
    assert len(pack["samples"]) == len(PICTURES)
    return row, pack, tiny_model(output, pack), output.name


def tiny_model(output, pack):
    """A model of the output's family with random weights, for its ids and its sizes of patches and tiles."""
    profile = latest_version(str(output))[1]["recipe"]["profile"]
    text = {
        "vocab_size": max(pack["input_ids"]) + 1,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 16384,
        "initializer_range": 0.1,
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    vision = {"hidden_size": 32, "intermediate_size": 48, "initializer_range": 0.1}
    layers = {"num_hidden_layers": 2, "num_attention_heads": 2}
    tower = {"depth": 2, "num_heads": 2, "out_hidden_size": 64}
    mrope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    placeholder = {"image_token_id": pack["input_ids"][pack["views"][0]["start"]]}
    if profile["name"] == "qwen2_5_vl":
        name = "Qwen2_5_VL"
        config = transformers.Qwen2_5_VLConfig(
            text_config=text | {"rope_parameters": mrope},
            vision_config=vision | tower | {"fullatt_block_indexes": [1]},
            **placeholder,
        )
    elif profile["name"] == "qwen3_vl":
        name = "Qwen3VL"
        config = transformers.Qwen3VLConfig(
            text_config=text | {"rope_parameters": mrope},
            vision_config=vision | tower | {"deepstack_visual_indexes": [0, 1]},
            **placeholder,
        )
    elif profile["name"] == "llava_next_hf":
        name = "LlavaNext"
        config = transformers.LlavaNextConfig(
            text_config=text | {"model_type": "llama"},
            vision_config=vision | layers | {"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14},
            image_grid_pinpoints=profile["slicing"]["pinpoints"],
            **placeholder,
        )
    elif profile["name"] in SMALLER:
        name, config = smaller_config(profile, text, vision | layers, placeholder)
    else:
        name = "InternVL"
        config = transformers.InternVLConfig(
            text_config=text | {"model_type": "qwen2"},
            vision_config=vision | layers | {"layer_scale_init_value": 1.0},
            tie_word_embeddings=False,
            **placeholder,
        )
    torch.manual_seed(0)
    return getattr(transformers, f"{name}ForConditionalGeneration")(config).float().eval()


def smaller_config(profile, text, vision, placeholder):
    """The model class of a family whose slicing was made smaller, and its config."""
    slicing = profile["slicing"]
    vision |= {"patch_size": slicing.get("patch", 14)}
    llama = text | {"model_type": "llama"}
    match slicing["scheme"]:
        case "llava_1_5":
            vision |= {"model_type": "clip_vision_model", "image_size": 336}
            return "Llava", transformers.LlavaConfig(text_config=llama, vision_config=vision, **placeholder)
        case "pixtral":
            vision |= {"model_type": "pixtral", "image_size": slicing["longest"], "head_dim": 16}
            features = {"vision_feature_layer": -1, "vision_feature_select_strategy": "full"}
            config = transformers.LlavaConfig(text_config=llama, vision_config=vision, **features, **placeholder)
            return "Llava", config
        case "llava_onevision":
            vision |= {"model_type": "siglip_vision_model", "image_size": slicing["tile"], "vision_use_head": False}
            pinpoints = [[height, width] for width, height in slicing["pinpoints"]]
            config = transformers.LlavaOnevisionConfig(
                text_config=text | {"model_type": "qwen2"},
                vision_config=vision,
                image_grid_pinpoints=pinpoints,
                **placeholder,
            )
            return "LlavaOnevision", config
    vision |= {"image_size": slicing["tile"]}
    name = "SmolVLM" if profile["name"] == "smolvlm" else "Idefics3"
    config = getattr(transformers, f"{name}Config")(
        text_config=llama, vision_config=vision, scale_factor=slicing["merge"], **placeholder
    )
    return name, config


def alone(row, pack, model, number):
    """Logits of document `number` by itself."""
    start, end = row["cu_seqlens"][number : number + 2].tolist()
    ids = row["model"]["input_ids"][:, start:end]
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    mine = [view["sample"] == number for view in pack["views"]]
    vision = row["model"]
    if "image_grid_thw" in vision:
        given["mm_token_type_ids"] = (ids == model.config.image_token_id).int()
    if any(mine):
        kept = torch.tensor(mine)
        if "image_grid_thw" in vision:
            given["image_grid_thw"] = vision["image_grid_thw"][kept]
            kept = kept.repeat_interleave(vision["image_grid_thw"].prod(-1))
        if "batch_num_images" in vision:
            given["batch_num_images"] = torch.tensor(
                [len({v["image"] for v in pack["views"] if v["sample"] == number})]
            )
        if "image_sizes" in vision:
            wholes = [own for own, view in zip(mine, pack["views"], strict=True) if view["kind"] == "whole"]
            given["image_sizes"] = vision["image_sizes"][torch.tensor(wholes)]
        pixels = vision["pixel_values"]
        given["pixel_values"] = pixels[:, kept] if pixels.ndim == 5 else pixels[kept]
    with torch.no_grad():
        return model(**given).logits[0]


def deviation(packed, **changed):
    """The largest max|a - b| / max|b| of a document in the packed row, with some keywords changed."""
    row, pack, model, _ = packed
    with torch.no_grad():
        logits = model(**row["model"] | changed).logits[0]
    found = []
    for number, sample in enumerate(pack["samples"]):
        expected = alone(row, pack, model, number)
        inside = logits[sample["start"] : sample["start"] + sample["length"]]
        found.append(float((inside - expected).abs().max() / expected.abs().max()))
    return max(found)


@pytest.mark.parametrize("attention", ["sdpa", pytest.param("eager", marks=pytest.mark.slow)])
def test_documents_in_a_packed_row_have_the_logits_that_they_have_alone(packed, attention):
    packed[2].set_attn_implementation(attention)
    assert deviation(packed) <= TOLERANCE
    packed[2].set_attn_implementation("sdpa")


def test_rows_of_a_batch_have_the_logits_that_they_have_alone(packed):
    row, _, model, _ = packed
    batch = collate([row, row])["model"]
    with torch.no_grad():
        logits, expected = model(**batch).logits, model(**row["model"]).logits[0]
    for found in logits:
        assert float((found - expected).abs().max() / expected.abs().max()) <= TOLERANCE


def test_loss_of_a_packed_row_is_that_of_its_documents_alone(packed):
    row, pack, model, _ = packed
    labels = row["model"]["labels"][0]
    losses = []
    for number, sample in enumerate(pack["samples"]):
        expected = labels[sample["start"] + 1 : sample["start"] + sample["length"]]
        logits = alone(row, pack, model, number)[:-1]
        losses.append(torch.nn.functional.cross_entropy(logits, expected, reduction="none")[expected != -100])
    with torch.no_grad():
        loss = model(**row["model"]).loss
    torch.testing.assert_close(loss, torch.cat(losses).mean(), rtol=1e-5, atol=0)


def test_all_ones_mask_lets_documents_see_each_other(packed):
    mask = torch.ones_like(packed[0]["model"]["input_ids"])
    assert deviation(packed, attention_mask=mask) > LEAK


def test_cache_lets_documents_see_each_other(packed):
    assert deviation(packed, use_cache=True) > LEAK


def test_positions_that_do_not_restart_let_documents_see_each_other(packed):
    row = packed[0]
    positions = row["model"]["position_ids"].clone()
    for start in row["cu_seqlens"][1:-1].tolist():
        positions[..., start:] += positions[..., :start].max() + 1 - positions[..., start].max()
    if len(positions) == 4:
        positions[0] = torch.arange(positions.shape[-1])
    assert deviation(packed, position_ids=positions) > LEAK


@pytest.mark.parametrize("family", QWEN)
def test_three_rows_of_mrope_let_documents_see_each_other(outputs, family):
    packed = packed_row(outputs / family)
    assert deviation(packed, position_ids=packed[0]["model"]["position_ids"][1:]) > LEAK


def test_logits_depend_on_the_pictures(packed):
    assert deviation(packed, pixel_values=-packed[0]["model"]["pixel_values"]) > TOLERANCE * 10


@pytest.mark.parametrize("family", FAMILIES)
def test_pixels_are_those_of_the_familys_own_processor(outputs, family):
    row, pack, _, _ = packed_row(outputs / "raw" / family)
    profile = latest_version(str(outputs / "raw" / family))[1]["recipe"]["profile"]
    slicing = profile["slicing"]
    options = {"image_mean": profile["mean"], "image_std": profile["std"]}
    if family in QWEN:
        size = {"shortest_edge": slicing["min_pixels"], "longest_edge": slicing["max_pixels"]}
        processor = Qwen2VLImageProcessorPil(size=size, patch_size=slicing["patch"], **options)
    elif family == "llava_next_hf":
        sizes = {"size": {"shortest_edge": slicing["tile"]}, "crop_size": slicing["tile"]}
        processor = LlavaNextImageProcessorPil(image_grid_pinpoints=slicing["pinpoints"], **sizes, **options)
    else:
        size = {"height": slicing["tile"], "width": slicing["tile"]}
        processor = GotOcr2ImageProcessorPil(size=size, crop_to_patches=True, **options)
    pictures = [picture(*size) for sample in pack["samples"] for size in PICTURES[sample["id"]["key"]]]
    made = [processor(one, return_tensors="pt") for one in pictures]
    expected = torch.cat([one["pixel_values"].flatten(0, -4 if family == "llava_next_hf" else 0) for one in made])
    found = row["model"]
    assert found["pixel_values"].dtype == torch.float32
    torch.testing.assert_close(found["pixel_values"], expected, rtol=0, atol=1e-5)
    for name in ("image_grid_thw", "image_sizes"):
        if name in made[0]:
            assert torch.equal(found[name], torch.cat([one[name] for one in made]))
