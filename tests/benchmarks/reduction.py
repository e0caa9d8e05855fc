"""Every method of reduction in a job on 64 pages of the GIMP manual: tokens, FLOPs, and its plans applied.

    python -m tests.benchmarks.reduction --shards '/data/gimp-help-*.tar' [--methods wico rank] [--output FILE.json]

Of each method the job is built (`--local`, pixels: none) and verified. Then each plan of each pack is applied by the
functions that a trainer calls: features of the encoder's size to those that have a place, and layer by layer to the
hidden states of a tiny Llama of transformers; the shapes must be the planned ones.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.table import Table
from transformers import LlamaConfig, LlamaModel

from jobs.build import run_job
from jobs.chain import resolve_job
from jobs.progress import Screen
from jobs.spec import load_job
from jobs.verify import verify
from operators.reduction.composing import from_row
from operators.reduction.flops import LLAMA_7B, costs, tokens_by_layer
from operators.reduction.plan import Reduction
from pipeline.loading.packs import open_packs
from pipeline.loading.reduction import reduce_features
from pipeline.loading.reduction.expanding import spread
from pipeline.loading.reduction.layers import Image, fewer, row_at
from pipeline.loading.reduction.restoring import merge, split
from pipeline.types import Modality
from tests.benchmarks.packing import machine
from tests.support import QUICKSTART, ROOT

NUM_DOCUMENTS = 64
WIDTH = 16
"""Of the tiny model."""
SINGLE: dict[str, Any] = {"profile": "llava_1_5", "budget": "none", "sequence_length": 4096}
"""One view of 24 x 24 tokens an image."""
SLICED = SINGLE | {"profile": "hires_llava", "sequence_length": 16384}
CASES: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "wico": (SINGLE, [{"method": "wico"}]),
    "wico_plus": (SINGLE, [{"method": "wico_plus"}]),
    "hires_restore": (SLICED, [{"method": "hires_restore"}]),
    "self_mining": (SLICED, [{"method": "self_mining"}]),
    "tokenflex": (SINGLE, [{"method": "tokenflex"}]),
    "tokenflex_by_scores": (SINGLE, [{"method": "tokenflex_by_scores"}]),
    "frame_pool": (SINGLE, [{"method": "frame_pool"}]),
    "rank, pyramid": (SINGLE, [{"method": "rank", "schedule": "pyramid"}]),
    "rank, fastv": (SINGLE, [{"method": "rank", "schedule": "fastv"}]),
    "rank, progressive": (SINGLE, [{"method": "rank", "schedule": "progressive"}]),
    "sparsevlm 1": (SINGLE, [{"method": "sparsevlm", "version": "1"}]),
    "sparsevlm 1.5": (SINGLE, [{"method": "sparsevlm", "version": "1.5"}]),
    "sparsevlm plus": (SINGLE, [{"method": "sparsevlm", "version": "plus"}]),
    "mustdrop": (SINGLE, [{"method": "mustdrop"}]),
    "mustdrop_merge": (SINGLE, [{"method": "mustdrop_merge"}]),
    "visionzip": (SINGLE, [{"method": "visionzip"}]),
    "tome": (SINGLE, [{"method": "tome"}]),
    "prumerge": (SINGLE, [{"method": "prumerge"}]),
    "prumerge, plus": (SINGLE, [{"method": "prumerge", "plus": True}]),
    "dyrate": (SINGLE, [{"method": "dyrate"}]),
    "mustdrop_merge + rank": (SINGLE, [{"method": "mustdrop_merge"}, {"method": "rank", "schedule": "pyramid"}]),
    "rank, pyramid under lod": ({}, [{"method": "rank", "schedule": "pyramid"}]),
}
"""Fields of the job, the quickstart's otherwise, and its methods."""


def measure(name: str, shards: str, num_documents: int) -> dict[str, Any]:
    """One row of the table: the job of a case built, verified, and its plans applied."""
    fields, methods = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        job = yaml.safe_load(QUICKSTART.read_text()) | fields
        job |= {"input": {"shards": shards}, "output": str(output), "limit": num_documents, "pixels": "none"}
        job |= {"tokenizer": str(ROOT / "jobs" / "samples" / "tokenizer.model"), "reduce": methods}
        (Path(folder) / "job.yaml").write_text(yaml.safe_dump(job))
        resolved = resolve_job(load_job(str(Path(folder) / "job.yaml"), []))
        with Screen(quiet=True) as screen:
            run_job(resolved, local=True, workers=None, rebuild=False, progress=screen)
        faults = verify(str(output), [], None).findings
        return {"method": name, "untrue": len(faults)} | _applied(str(output))


def _applied(output: str) -> dict[str, Any]:
    """Counts of all plans, after each was applied to features and to the states of a tiny model."""
    torch.manual_seed(0)
    model = LlamaModel(_config()).eval()
    before = after = whole_flops = left_flops = applied = layers = 0
    packs = open_packs(output)
    columns = ("samples", "views", "plans", "modality", "cu_seqlens")
    for _, scalars in packs.read(range(len(packs)), columns):
        pack = {column: scalars[column].as_py() for column in columns}
        images = list(_images(pack))
        for reduction, plan, _ in images:
            before, after = before + reduction.num_tokens, after + reduction.num_kept
            features = torch.randn(reduction.num_tokens, WIDTH)
            assert len(reduce_features(features, plan)) == reduction.num_kept
            if reduction.restore is not None:
                assert torch.equal(split(merge(features, plan), plan), features)
            applied += 1
        for sample, in_sample in _by_sample(pack, images):
            num_text = sample["length"] - sum(one.num_kept for one in in_sample)
            whole, left = costs(num_text, in_sample)
            whole_flops, left_flops = whole_flops + whole.flops, left_flops + left.flops
        layers += _in_layers(model, pack, images)
    return {
        "images": applied,
        "before": before,
        "after": after,
        "flops_saved": round(1 - left_flops / whole_flops, 4),
        "layers_applied": layers,
    }


def _config() -> LlamaConfig:
    sizes = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_attention_heads": 2}
    return LlamaConfig(vocab_size=8, num_hidden_layers=1, max_position_embeddings=1 << 17, **sizes)


def _images(pack: dict[str, Any]) -> Iterator[tuple[Reduction, dict[str, Any], torch.Tensor]]:
    """Of each image its reduction, as computed with and as stored, and where its tokens stand in the row."""
    modality = torch.tensor(pack["modality"])
    for plan in pack["plans"]:
        views = [v for v in pack["views"] if (v["sample"], v["image"]) == (plan["sample"], plan["image"])]
        first = min(view["start"] for view in views)
        places = first + torch.nonzero(modality[first:] == Modality.IMAGE).flatten()
        yield from_row(plan["reduction"]), plan["reduction"], places[: plan["reduction"]["num_kept"]]


def _by_sample(pack: dict[str, Any], images: Sequence[Any]) -> Iterator[tuple[dict[str, Any], list[Reduction]]]:
    for number, sample in enumerate(pack["samples"]):
        yield sample, [one[0] for one, plan in zip(images, pack["plans"], strict=True) if plan["sample"] == number]


def _in_layers(model: LlamaModel, pack: dict[str, Any], images: Sequence[Any]) -> int:
    """Takes the states of a row through each layer that sees fewer tokens; the number of layers that did."""
    if any(reduction.expand for reduction, _, _ in images):
        for reduction, plan, _ in images:
            features = reduce_features(torch.randn(reduction.num_tokens, WIDTH), plan)
            assert len(spread(features, reduction.expand[1])) == reduction.expand[1]
        return 1
    steps = sorted({layer for reduction, _, _ in images for layer, _ in reduction.schedule or ()})
    borders = torch.tensor(pack["cu_seqlens"], dtype=torch.int32)
    seen = [Image(plan, places) for _, plan, places in images]
    row = row_at(borders, seen, -1)
    states = torch.randn(1, len(row.tokens), WIDTH)
    for layer in steps:
        later = row_at(borders, seen, layer)
        gone = sum(r.num_kept - tokens_by_layer(r, LLAMA_7B.num_layers)[layer] for r, _, _ in images)
        assert len(later.tokens) == len(pack["modality"]) - gone
        states = fewer(states, row, later, seen)
        row = later
        if layer == steps[-1]:
            with torch.inference_mode():
                states = model(inputs_embeds=states, position_ids=row.tokens[None]).last_hidden_state
            assert states.shape == (1, len(row.tokens), WIDTH)
    return len(steps)


def show(rows: Sequence[dict[str, Any]]) -> None:
    table = Table(title="methods of reduction", title_justify="left")
    for column in ("method", "images", "tokens before", "in the sequence", "FLOPs saved", "layers", "verify"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for row in rows:
        table.add_row(
            row["method"],
            f"{row['images']:,}",
            f"{row['before']:,}",
            f"{row['after']:,}",
            f"{row['flops_saved']:.1%}",
            str(row["layers_applied"]),
            "clean" if not row["untrue"] else f"{row['untrue']} untrue",
        )
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", required=True)
    parser.add_argument("--documents", type=int, default=NUM_DOCUMENTS)
    parser.add_argument("--methods", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--output")
    given = parser.parse_args()
    rows = []
    for name in given.methods:
        rows.append(measure(name, given.shards, given.documents))
        print(json.dumps(rows[-1]), flush=True)
    show(rows)
    if given.output:
        found = {"machine": machine(), "documents": given.documents, "decoder": "32 layers, d 4096, m 11008"}
        Path(given.output).write_text(json.dumps(found | {"methods": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
