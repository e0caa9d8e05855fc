"""The README's training example: a tiny Qwen2.5-VL learns from packs what it would learn from their documents."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
from torch.utils.data import DataLoader
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from pipeline.loading import PackedDataset
from tests.support import build, write_small_shards

MARGIN = 1e-4
"""Relative; sums of float32 in another order differ by 1e-6."""


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Packs of the quickstart, of its lightest documents and short, so that two cores train in seconds."""
    folder = tmp_path_factory.mktemp("training")
    shards = write_small_shards(folder / "in", 2, 4)
    budget = "budget={rule: lod, min_tokens: 16, max_tokens: 64, max_image_tokens: 128}"
    build(folder / "out", shards, "sequence_length=512", "pack.limits.patches=1024", budget)
    return str(folder / "out")


def tiny_model(rows):
    """Qwen2.5-VL of two layers with random weights, for the ids of these rows; pictures stand under the id that
    repeats most often."""
    ids = torch.cat([row["model"]["input_ids"].flatten() for row in rows])
    torch.manual_seed(0)
    text = {
        "vocab_size": int(ids.max()) + 1,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]},
    }
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64}
    config = Qwen2_5_VLConfig(
        text_config=text, vision_config=vision | {"fullatt_block_indexes": [1]}, image_token_id=image_id(rows)
    )
    return Qwen2_5_VLForConditionalGeneration(config).float()


def image_id(rows):
    """The placeholder: as many of it as there are merged patches."""
    for row in rows:
        if "image_grid_thw" in row["model"]:
            tokens = int(row["model"]["image_grid_thw"].prod(-1).sum()) // 4
            ids, counts = row["model"]["input_ids"].unique(return_counts=True)
            (found,) = ids[counts == tokens].tolist()
            return found
    raise AssertionError("no pack with a picture")


def unpacked_loss(model, row):
    """Mean loss of the trained tokens of a row, each of its documents run by itself, masked by nothing but its end."""
    given, losses, patches, views = row["model"], [], 0, 0
    for start, end in zip(row["cu_seqlens"][:-1].tolist(), row["cu_seqlens"][1:].tolist(), strict=True):
        ids, labels = given["input_ids"][:, start:end], given["labels"][0, start:end]
        alone = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        alone["position_ids"] = given["position_ids"][1:, :, start:end]
        if num_patches := 4 * int((ids == model.config.image_token_id).sum()):
            ends = given["image_grid_thw"][views:].prod(-1).cumsum(0).tolist()
            num_views = ends.index(num_patches) + 1
            alone["image_grid_thw"] = given["image_grid_thw"][views : views + num_views]
            alone["pixel_values"] = given["pixel_values"][patches : patches + num_patches]
            patches, views = patches + num_patches, views + num_views
        logits = model(**alone).logits[0, :-1]
        losses.append(torch.nn.functional.cross_entropy(logits, labels[1:], reduction="sum"))
    return torch.stack(losses).sum() / (given["labels"] != -100).sum()


def train(dataset, model, num_steps):
    """The loss of each step; the example of the README."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    epoch = 0
    while len(losses) < num_steps:
        dataset.set_epoch(epoch)
        for row in DataLoader(dataset, batch_size=None):
            loss = model(**row["model"]).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            if len(losses) == num_steps:
                break
        epoch += 1
    return losses


def test_loss_on_packed_rows_is_that_on_the_unpacked_documents(output):
    rows = list(PackedDataset(output))
    assert any(len(row["cu_seqlens"]) > 3 for row in rows)
    model = tiny_model(rows).eval()
    with torch.no_grad():
        for row in rows:
            packed, unpacked = model(**row["model"]).loss, unpacked_loss(model, row)
            assert abs(packed - unpacked) <= MARGIN * unpacked


def test_a_tiny_model_trained_30_steps_on_the_packs_learns(output):
    dataset = PackedDataset(output, shuffle=True)
    losses = train(dataset, tiny_model(list(dataset)).train(), 30)
    assert sum(losses[-len(dataset) :]) < 0.8 * sum(losses[: len(dataset)])
