"""Trains the small dual encoder, on generated scenes or on anybody's regions and texts.

    python -m operators.relevance.training --out operators/relevance/encoder.safetensors

Contrastive (InfoNCE). A text whose regions are known is told from the other regions of its picture, and the one that
holds most from the batch's other texts; of a text that belongs to a picture as a whole, the picture's best regions
together are told from those of the batch's other pictures. Reproducible up to the last bits of floats, which grow with
every step.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch.nn import functional

from operators.relevance.encoder import BUCKETS, SHARPNESS, Encoder, buckets, save_encoder
from operators.relevance.phrases import KINDS
from operators.relevance.regrid import regrid
from operators.relevance.scenes import Scene, make_scene
from pipeline.errors import ConfigError

Pair = tuple[np.ndarray, np.ndarray, str, np.ndarray | None]
"""Regions uint8 [n, REGION, REGION, 3] of one picture, their places float32 [n, 4], a text, and how much each region
holds of what it speaks of, float32 [n], not all 0; None: it speaks of the picture. Pairs of one picture share the
array and stand together."""
Report = Callable[[int, float], None]
"""Called after each step with its number and the loss."""
OUTSIDE = -1e4
"""Score of another picture's region: as good as minus infinity, which times a share of 0 would be no number."""
TEXTS = 0.2
"""Weight of telling texts apart against telling regions apart: other pictures' texts may fit a region as well."""
RATE = 3e-3
ALIGNED = 0.4
"""Share of scenes whose regions are their cells. With all, 81 in 100 objects were found under a 4x4 grid, not 95."""
SCENE_TEXTS = 6
"""Texts taken of each scene, its kinds alike: reading one costs next to nothing beside looking at the regions."""


def train(
    pairs: Iterable[Pair],
    steps: int,
    batch_pairs: int = 192,
    rate: float = RATE,
    seed: int = 0,
    start: Encoder | None = None,
    report: Report | None = None,
) -> Encoder:
    """An encoder after at most `steps` batches of pairs, ready to score. The torch generator is left as it was.

    start: the encoder to go on from, which is changed; None: a new one, drawn from the seed. Rows of the text table
    that no text has used are set to zero, so that unknown words say nothing.
    """
    encoder = start or _new(seed)
    met = set(encoder.table.weight.detach().any(dim=1).nonzero()[:, 0].tolist()) if start else set()
    encoder.train()
    optimizer = torch.optim.AdamW(encoder.parameters(), rate, weight_decay=1e-3)
    drawn = iter(pairs)
    for step in range(steps):
        batch = list(islice(drawn, batch_pairs))
        if not batch and step == 0:
            raise ConfigError("found no text with its regions to train on; expected at least one: look at the input")
        if not batch:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate * _share(step, steps)
        loss = _loss(encoder, batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        met.update(row for _, _, text, _ in batch for row in buckets(text))
        if report is not None:
            report(step + 1, loss.item())
    unmet = torch.ones(BUCKETS, dtype=torch.bool)
    unmet[sorted(met)] = False
    with torch.no_grad():
        encoder.table.weight[unmet] = 0
    return encoder.eval()


def scene_pairs(rng: np.random.Generator) -> Iterator[Pair]:
    """Pairs of generated scenes without end, SCENE_TEXTS texts of each, and of some a text or two less.

    ALIGNED of the scenes give their objects' own regions and an empty one; a grid of `regrid` cuts up the others.
    """
    while True:
        scene = make_scene(rng)
        if rng.random() < ALIGNED:
            full = [thing.cell for thing in scene.things]
            empty = [cell for cell in range(scene.rows * scene.cols) if cell not in full]
            cells = [*full, int(rng.choice(empty))]
            regions, places = scene.regions()[cells], scene.places()[cells]
            shares = np.eye(len(full), len(cells), dtype=np.float32)
        else:
            regions, places, shares = regrid(scene, rng)
        number = {thing.cell: i for i, thing in enumerate(scene.things)}
        for text, cell in _chosen(scene, rng):
            share = shares[number[cell]]
            if share.any():
                yield regions, places, text, share


def _chosen(scene: Scene, rng: np.random.Generator) -> Iterator[tuple[str, int]]:
    """Texts of a scene with their cells: kinds in a drawn order, one of each at a time."""
    queries = [scene.queries[i] for i in rng.permutation(len(scene.queries))]
    rank = {kind: int(n) for kind, n in zip(KINDS, rng.permutation(len(KINDS)), strict=True)}
    seen = dict.fromkeys(KINDS, 0)
    order = []
    for query in queries:
        order.append((seen[query.kind], rank[query.kind], query.text, query.cell))
        seen[query.kind] += 1
    for _, _, text, cell in sorted(order)[:SCENE_TEXTS]:
        yield text, cell


def _new(seed: int) -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = Encoder()
        torch.nn.init.normal_(encoder.table.weight, std=0.1)
    return encoder


def _share(step: int, steps: int) -> float:
    """Of the rate: up over the first twentieth, then down along a cosine."""
    warm = max(1, steps // 20)
    return min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * step / steps)))


def _loss(encoder: Encoder, batch: Sequence[Pair]) -> torch.Tensor:
    pictures = {id(pair[0]): pair for pair in batch}
    numbers = {picture: number for number, picture in enumerate(pictures)}
    sizes = [len(pair[0]) for pair in pictures.values()]
    starts = np.cumsum([0, *sizes])
    regions = encoder.regions(
        torch.from_numpy(np.concatenate([pair[0] for pair in pictures.values()])),
        torch.from_numpy(np.concatenate([pair[1] for pair in pictures.values()])),
    )
    scores = SHARPNESS * encoder.texts([text for _, _, text, _ in batch]) @ regions.T
    owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    picture = torch.tensor([numbers[id(pair[0])] for pair in batch])
    known = torch.tensor([pair[3] is not None for pair in batch])
    losses = []
    if known.any():
        held = _held(batch, [starts[numbers[id(pair[0])]] for pair in batch], scores.shape[1])
        inside = scores[known].masked_fill(owner[None] != picture[known][:, None], OUTSIDE)
        losses.append(functional.cross_entropy(inside, held))
        targets = held.argmax(dim=1)
        apart = targets[:, None] != targets[None]
        apart.fill_diagonal_(True)
        among = scores[known][:, targets].T.masked_fill(~apart, -math.inf)
        losses.append(TEXTS * functional.cross_entropy(among, torch.arange(len(targets))))
    if not known.all():
        of_picture = [
            part.logsumexp(dim=1) - math.log(part.shape[1]) for part in torch.split(scores[~known], sizes, dim=1)
        ]
        losses += _both_ways(torch.stack(of_picture, dim=1), picture[~known])
    return torch.stack(losses).sum()


def _held(batch: Sequence[Pair], starts: Sequence[int], num_regions: int) -> torch.Tensor:
    """The part that each region of the batch has in what each text with known regions speaks of; rows add up to 1."""
    rows = []
    for (_, _, _, shares), start in zip(batch, starts, strict=True):
        if shares is not None:
            row = torch.zeros(num_regions)
            row[start : start + len(shares)] = torch.from_numpy(shares / shares.sum())
            rows.append(row)
    return torch.stack(rows)


def _both_ways(scores: torch.Tensor, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """InfoNCE of texts over pictures and of pictures over texts; a picture's other texts count as neither."""
    own = picture[:, None] == picture[None]
    own.fill_diagonal_(False)
    texts = torch.arange(len(picture))
    return (
        functional.cross_entropy(scores, picture) / 2,
        functional.cross_entropy(scores[:, picture].T.masked_fill(own, -math.inf), texts) / 2,
    )


def main() -> None:
    """Trains on scenes and writes the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    console = Console(stderr=True)

    def report(step: int, loss: float) -> None:
        if step % 50 == 0 or step == wanted.steps:
            console.print(f"step {step} of {wanted.steps}: loss {loss:.3f}")

    pairs = scene_pairs(np.random.default_rng(wanted.seed))
    save_encoder(train(pairs, wanted.steps, seed=wanted.seed, report=report), wanted.out)


if __name__ == "__main__":
    main()
