"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL: counts, pixels, ids and M-RoPE equal those of transformers' own classes."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from processors import byte_tokenizer, close_share, layout_ids, picture, random_sizes
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from operators.positions import Image, Text, Video
from operators.positions.mrope import MRope
from operators.profiles import load_profile
from operators.raster import raster_of
from operators.slicing.qwen import QwenConfig
from operators.slicing.qwen_video import plan_frames, timestamps
from operators.slicing.render import to_patches
from pipeline.errors import InputError
from tests.rendering import rendered

FAMILIES = {
    "qwen2_vl": (Qwen2VLProcessor, Qwen2VLConfig, Qwen2VLForConditionalGeneration),
    "qwen2_5_vl": (Qwen2_5_VLProcessor, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration),
    "qwen3_vl": (Qwen3VLProcessor, Qwen3VLConfig, Qwen3VLForConditionalGeneration),
}
VIDEO = "<|video_pad|>"
NAMES = {
    "image_token": "<|image_pad|>",
    "video_token": VIDEO,
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
}


def image_processor(config, **changes):
    size = {"shortest_edge": config.min_pixels, "longest_edge": config.max_pixels}
    return Qwen2VLImageProcessorPil(size=size, patch_size=config.patch, merge_size=config.merge, **changes)


class NoVideo:
    """transformers' processors want a video processor, whose only implementation needs torchvision; none is used."""


def processor_of(name, profile, monkeypatch):
    kind = FAMILIES[name][0]
    monkeypatch.setattr(kind, "check_argument_for_proper_class", lambda *_: None, raising=False)
    tokenizer = byte_tokenizer(profile, **NAMES)
    tokenizer.add_special_tokens({"additional_special_tokens": [VIDEO]})
    return kind(image_processor(profile.slicing), tokenizer, NoVideo())


@pytest.mark.parametrize("name", FAMILIES)
def test_counts_equal_the_processors_on_500_sizes(name):
    profile = load_profile(name)
    theirs = image_processor(profile.slicing)
    sizes = random_sizes(500, seed=3, aspect=250)
    num_refused = 0
    for width, height in sizes:
        try:
            expected = theirs.get_number_of_image_patches(height, width, {})
        except ValueError:
            num_refused += 1
            with pytest.raises(InputError, match="200:1"):
                profile.slicing.plan(width, height, profile.tokens.by_role())
            continue
        plan = profile.slicing.plan(width, height, profile.tokens.by_role())
        assert (plan.patches, plan.placeholders) == (expected, expected // 4), (width, height)
    assert num_refused < 20


def test_slivers_are_refused_where_the_reference_raises():
    profile = load_profile("qwen2_5_vl")
    with pytest.raises(ValueError, match="200"):
        image_processor(profile.slicing).get_number_of_image_patches(10, 2010, {})
    with pytest.raises(InputError, match="200:1"):
        profile.slicing.plan(2010, 10, profile.tokens.by_role())


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param(random_sizes(4, seed=1, longest=600), id="small"),
        pytest.param(
            [size for size in random_sizes(120, seed=2) if size[0] * size[1] <= 4_000_000][:40],
            id="40 sizes",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_patches_equal_the_processors_value_for_value(name, sizes):
    profile = load_profile(name)
    slicing = profile.slicing
    theirs = image_processor(slicing, do_rescale=False, do_normalize=False)
    for width, height in sizes:
        plan = slicing.plan(width, height, profile.tokens.by_role())
        (view,) = rendered(picture(width, height), plan)
        ours = np.frombuffer(to_patches(raster_of(view), slicing.patch, slicing.merge), np.uint8)
        ours = ours.reshape(-1, 3, 1, slicing.patch, slicing.patch).repeat(2, axis=2)
        expected = theirs(picture(width, height), return_tensors="np")
        assert expected["image_grid_thw"].tolist() == [[1, plan.views[0].grid_h, plan.views[0].grid_w]]
        assert np.array_equal(ours.reshape(len(ours), -1), expected["pixel_values"]), (width, height)


def test_share_of_close_values_notices_a_shift():
    view = picture(64, 48)
    assert close_share([view], [np.asarray(view).transpose(2, 0, 1)]) == 1
    assert close_share([view], [np.roll(np.asarray(view), 1, axis=1).transpose(2, 0, 1)]) < 0.5


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("sizes", [[(300, 200)], [(300, 200), (90, 410), (64, 64)]])
def test_ids_and_mrope_of_a_document_equal_the_processors_and_the_models(name, sizes, monkeypatch):
    profile = load_profile(name)
    processor = processor_of(name, profile, monkeypatch)
    tokenizer = processor.tokenizer
    text = "Ein Bild:" + "".join(f"<|vision_start|><|image_pad|><|vision_end|> und {i}" for i in range(len(sizes)))
    found = processor(images=[picture(*size) for size in sizes], text=text, return_tensors="pt")
    plans = [profile.slicing.plan(*size, profile.tokens.by_role()) for size in sizes]
    texts = [tokenizer.encode("Ein Bild:"), *(tokenizer.encode(f" und {i}") for i in range(len(sizes)))]
    parts = [layout_ids(plan, tokenizer) + after for plan, after in zip(plans, texts[1:], strict=True)]
    ids = [*texts[0], *(i for part in parts for i in part)]
    assert found["input_ids"][0].tolist() == ids

    pieces = [Text(len(texts[0]))]
    for plan, after in zip(plans, texts[1:], strict=True):
        pieces += [Image([asdict(view) for view in plan.views], [asdict(run) for run in plan.layout]), Text(len(after))]
    expected, delta = tiny_model(name).model.get_rope_index(
        found["input_ids"],
        mm_token_type_ids=(found["input_ids"] == tokenizer.convert_tokens_to_ids("<|image_pad|>")).int(),
        image_grid_thw=found["image_grid_thw"],
    )
    ours = profile.positions.positions(pieces)
    assert np.array_equal(ours, expected[:, 0].numpy())
    assert int(delta) == ours.max() + 1 - ours.shape[1]


def tiny_model(name):
    config, model = FAMILIES[name][1:]
    size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {"depth": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "out_hidden_size": 32}
    text = size | {"num_key_value_heads": 2, "vocab_size": 300, "head_dim": 16}
    with torch.device("meta"):
        return model(config(text_config=text, vision_config=vision))


@pytest.mark.parametrize(("name", "seconds"), [("qwen2_vl", 1.0), ("qwen2_5_vl", 1.0), ("qwen2_5_vl", 0.7)])
def test_mrope_of_a_video_equals_the_models(name, seconds):
    model = tiny_model(name).model
    rate = getattr(model.config.vision_config, "tokens_per_second", None)
    # Nine columns, so that no time exceeds them: where one does, transformers 5.23 goes on after the columns, and we
    # after the time, as Qwen's own rope2d.py does.
    steps, rows, cols = 3, 4, 9
    kinds = torch.tensor([[0] * 4 + [2] * (steps * rows * cols) + [0] * 3])
    expected, _ = model.get_rope_index(
        torch.ones_like(kinds),
        mm_token_type_ids=kinds,
        video_grid_thw=torch.tensor([[steps, 2 * rows, 2 * cols]]),
        **({"second_per_grid_ts": torch.tensor([seconds])} if rate else {}),
    )
    rule = MRope(tokens_per_second=rate)
    assert np.array_equal(rule.positions([Text(4), Video(steps, rows, cols, seconds), Text(3)]), expected[:, 0].numpy())


def test_frames_of_qwen3_are_images_between_timestamps():
    profile = load_profile("qwen3_vl")
    seconds = timestamps([0, 12, 24, 36, 48], 24)
    plan = plan_frames(320, 240, seconds, profile.slicing, profile.tokens.by_role())
    rows, cols = plan.grid_h, plan.grid_w
    stamps = [run.token for run in plan.layout if run.token.startswith("<0") or run.token.startswith(("<1", "<2"))]
    assert stamps == ["<0.2 seconds>", "<1.2 seconds>", "<2.0 seconds>"]
    runs = [asdict(run) | {"count": 11 if "seconds" in run.token else run.count} for run in plan.layout]
    ours = profile.positions.positions([Text(2), Image([asdict(view) for view in plan.views], runs), Text(1)])
    kinds = [0, 0] + [k for run in runs for k in [2 if run["view"] >= 0 else 0] * run["count"]] + [0]
    expected, _ = tiny_model("qwen3_vl").model.get_rope_index(
        torch.ones(1, len(kinds), dtype=torch.long),
        mm_token_type_ids=torch.tensor([kinds]),
        video_grid_thw=torch.tensor([[3, 2 * rows, 2 * cols]]),
    )
    assert np.array_equal(ours, expected[:, 0].numpy())


def test_a_picture_of_a_few_rows_follows_the_checkpoints_choice():
    tokens = load_profile("qwen2_5_vl").tokens.by_role()
    numbers = {"patch": 14, "merge": 2, "min_pixels": 3136, "max_pixels": 12845056}
    assert QwenConfig(**numbers).plan(1000, 10, tokens).placeholders == 36
    assert QwenConfig(**numbers, rounds_to_zero=True).plan(1000, 10, tokens).placeholders == 20
