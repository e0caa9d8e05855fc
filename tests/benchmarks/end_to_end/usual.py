"""The usual loop: webdataset, transformers' image processor, the tokenizer, greedy packing. Nothing is written.

    python -m tests.benchmarks.end_to_end.usual PROCESSES SHARD...

Prints which processor it is, and a line for each shard that is done.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import webdataset

from tests.benchmarks.end_to_end.modes import SEQUENCE_LENGTH, TOKENIZER

SIZE = {"shortest_edge": 3136, "longest_edge": 12845056}
"""Pixels, as Qwen2.5-VL's preprocessor_config.json has them."""
VISION_START, PLACEHOLDER, VISION_END, END = 151652, 151655, 151653, 151643
MERGED = 4
"""Patches of a token."""
MISSING = ("nms", "qnms")
"""Operators that torchvision refers to while it is imported, and that no image processor calls."""


def main() -> None:
    processes, shards = int(sys.argv[1]), sys.argv[2:]
    processor()  # before the fork: imported once
    print(json.dumps({"processor": type(processor()).__mro__[1].__name__}), flush=True)
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for done in pool.imap_unordered(pack_shard, shards):
            print(json.dumps(done), flush=True)


@cache
def processor() -> Any:
    """Torchvision's is twice as fast as Pillow's; it is taken where torchvision can be imported."""
    torch.set_num_threads(1)
    if has_torchvision():
        from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

        return Qwen2VLImageProcessor(size=SIZE)
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    return Qwen2VLImageProcessorPil(size=SIZE)


def has_torchvision() -> bool:
    """Whether it can be imported; beside a torch without CUDA the registry's wheel lacks its own operators."""
    if importlib.util.find_spec("torchvision") is None:
        return False
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in MISSING:
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        importlib.import_module("torchvision")
    return True


def pack_shard(shard: str) -> dict[str, float]:
    torch.set_num_threads(1)
    model = sentencepiece.SentencePieceProcessor(model_file=str(TOKENIZER))
    images = tokens = 0
    held: list[tuple[list[int], Any]] = []
    length = 0
    for picture, text in webdataset.WebDataset(shard, shardshuffle=False).decode("pil").to_tuple("jpg", "txt"):
        made = processor()(images=picture, return_tensors="pt")
        visual = int(made["image_grid_thw"].prod()) // MERGED
        ids = [VISION_START, *[PLACEHOLDER] * visual, VISION_END, *model.encode(text), END]
        if length + len(ids) > SEQUENCE_LENGTH:
            _close(held)
            held, length = [], 0
        held.append((ids, made["pixel_values"]))
        length += len(ids)
        images += 1
        tokens += len(ids)
    _close(held)
    return {"at": time.time(), "images": images, "tokens": tokens, "bytes": Path(shard).stat().st_size}


def _close(held: list[tuple[list[int], Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    """A sequence and its segments, as a trainer takes them."""
    ids = torch.tensor([i for own, _ in held for i in own])
    segments = torch.tensor([number for number, (own, _) in enumerate(held) for _ in own])
    return ids, segments


if __name__ == "__main__":
    main()
