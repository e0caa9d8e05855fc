"""A pack as a batch of one, several as a batch of several: what a forward takes, and what stands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from pipeline.errors import ConfigError
from pipeline.loading.indices import COLUMNS as INDEXED
from pipeline.loading.indices import image_indices
from pipeline.loading.inputs import Family
from pipeline.operator import Row

COLUMNS = (
    *("pack_id", "input_ids", "labels", "loss_weights", "position_ids", "cu_seqlens", "cu_seqlens_unpadded"),
    "plans",
)
VIEWS = "views"
BORDERS = ("cu_seqlens", "cu_seqlens_unpadded")


def make_example(pack: Row, family: Family, *, indices: bool = False) -> dict[str, Any]:
    """What a model takes of a pack (Arrow scalars by column).

    `model`: every keyword of the model's forward, and nothing else.
        input_ids, labels   int64 [1, L]; labels as in the pack: not shifted, -100 where nothing is trained
        position_ids        int64 [1, L]; [4, 1, L] for Qwen-VL, text row first
        use_cache           False
        pixel_values and what describes them: `Family.vision`; absent in a pack without pictures, or built with
                            `pixels: none`
    `cu_seqlens`            int32 [documents + 1], `max_seqlen` int: for variable-length attention of one's own. They
                            must not be given to forward: Qwen-VL's vision tower would take `cu_seqlens` for its own
    `cu_seqlens_unpadded`   int32, where packs are aligned: the borders without the padding inside documents
    `loss_weights`          float32 [1, L], where the packs have them
    `indices`               if asked for: which images each token may see, `image_indices` in indices.py
    `plans`                 where a job reduces tokens: what becomes of those of each image. Placeholders may then be
                            fewer than the model has features, which reduce_features in reduction/ makes fit
    `pack_id`               str
    PackedDataset adds `row`, int, the pack's number in the data set, and `repeated`, bool.

    Isolation: there is no `attention_mask`, and nothing is cached, because only then transformers looks at where
    positions restart and masks documents from each other. An all-ones mask, a cache, or three rows of M-RoPE let
    them see each other without a word.
    Source: find_packed_sequence_indices and its callers in transformers' masking_utils.py.
    """
    cu_seqlens = _array(pack["cu_seqlens"])
    position_ids = np.stack([_array(row) for row in pack["position_ids"]])
    model: dict[str, Any] = {
        name: torch.from_numpy(_array(pack[name])[np.newaxis].astype(np.int64)) for name in ("input_ids", "labels")
    }
    model |= {"position_ids": family.positions(position_ids, cu_seqlens), "use_cache": False}
    if VIEWS in pack and family.pixels != "none":
        model |= family.vision(pack[VIEWS].as_py())
    example: dict[str, Any] = {name: torch.from_numpy(_array(pack[name]).copy()) for name in BORDERS if name in pack}
    example |= {"model": model, "max_seqlen": int(np.diff(cu_seqlens).max()), "pack_id": pack["pack_id"].as_py()}
    if "loss_weights" in pack:
        example["loss_weights"] = torch.from_numpy(_array(pack["loss_weights"])[np.newaxis].copy())
    if "plans" in pack:
        example["plans"] = pack["plans"].as_py()
    if indices:
        example["indices"] = image_indices({name: pack[name].as_py() for name in INDEXED})
    return example


def collate(examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Several rows as one batch of B packs: `DataLoader(dataset, batch_size=B, collate_fn=collate)`.

    input_ids, labels, loss_weights [B, L]; position_ids [B, L] or [4, B, L]; pictures and their grids one after the
    other, as the model meets their placeholders (Pixtral's padded to the largest). `cu_seqlens` counts through the
    B * L tokens, `max_seqlen` is the longest; `pack_id`, `row`, `repeated`, `plans` and `indices` are lists.
    ConfigError for no rows.
    """
    if not examples:
        raise ConfigError("a batch of no rows; at least one is expected")
    models = [example["model"] for example in examples]
    names = dict.fromkeys(name for model in models for name in model)
    model = {name: _joined(name, [one[name] for one in models if name in one]) for name in names}
    batch: dict[str, Any] = {"model": model, "max_seqlen": max(example["max_seqlen"] for example in examples)}
    for name in (name for name in BORDERS if name in examples[0]):
        shifts = np.cumsum([0, *(int(example[name][-1]) for example in examples)])
        parts = [example[name][1:] + int(shift) for example, shift in zip(examples, shifts, strict=False)]
        batch[name] = torch.cat([examples[0][name][:1], *parts])
    if "loss_weights" in examples[0]:
        batch["loss_weights"] = torch.cat([example["loss_weights"] for example in examples])
    listed = ("pack_id", "row", "repeated", *(name for name in ("plans", "indices") if name in examples[0]))
    return batch | {name: [example[name] for example in examples] for name in listed}


def _joined(name: str, values: Sequence[Any]) -> Any:
    if name == "use_cache":
        return values[0]
    if name == "pixel_values" and values[0].ndim >= 4:
        height, width = (max(value.shape[axis] for value in values) for axis in (-2, -1))
        values = [
            torch.nn.functional.pad(value, (0, width - value.shape[-1], 0, height - value.shape[-2]))
            for value in values
        ]
    # [4, B, L] of M-RoPE and [1, tiles, 3, height, width] of Idefics3 have what is joined second.
    second = (name == "position_ids" and values[0].ndim == 3) or (name == "pixel_values" and values[0].ndim == 5)
    return torch.cat(list(values), dim=1 if second else 0)


def _array(values: Any) -> np.ndarray:
    """The numbers of a list scalar."""
    found: np.ndarray = values.values.to_numpy()
    return found
