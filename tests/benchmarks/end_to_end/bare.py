"""The bare loop: the work of a job with no framework around it, a whole shard to a process. The ceiling.

    python -m tests.benchmarks.end_to_end.bare JOB.yaml OUTPUT PROCESSES SHARD...

The kernels are lodepack's own, called on plain objects; what they decide is what a build decides, and the packs hold
the same documents. There are no tables between steps, no child that guards a picture, no index, no commit, no count of
what came and went, and a picture's bytes are never read again. Damaged input ends it. Prints a line for each shard that
is done.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import sys
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from jobs.spec import Job, load_job
from operators.decode import COARSE_PIXELS, FINE_PIXELS, shrink
from operators.encode import encode_view
from operators.layout import LaidOut, Part, lay_out
from operators.packing import pack_items
from operators.pictures import JPEGS, full_raster, load_upright, open_picture, upright_size
from operators.plans import plan_from_row
from operators.profiles import load_profile
from operators.raster import Raster
from operators.slice import plan_image
from operators.slicing.regions import MAX_REGIONS
from operators.slicing.render import render, to_patches
from operators.slicing.resizing import resizer
from operators.structure import check_structure
from operators.tokenize import lay_runs
from operators.tokenizers.opening import open_tokenizer
from operators.vocabulary import resolve
from operators.write import row_group_packs
from pipeline.operator import Row
from pipeline.types import Place, SegmentKind
from tests.benchmarks.end_to_end.bare_packs import Document, write_packs
from tests.benchmarks.end_to_end.bare_tar import read_pairs

SEGMENTS = [{"kind": SegmentKind.IMAGE, "role": None}, {"kind": SegmentKind.TEXT, "role": None}]
WHOLE = Part(0, len(SEGMENTS))


@dataclass(slots=True)
class Pair:
    """One sample on its way."""

    key: str
    text: str
    data: bytes
    offset: int
    opened: Image.Image
    plan: Row
    runs: list[Row]
    digest: bytes


class Bare:
    """What each process has before its first shard."""

    def __init__(self, job: Job) -> None:
        self.job, self.profile = job, load_profile(job.profile)
        model = Path(job.tokenizer).read_bytes()
        literals = self.profile.tokens.literals()
        self.tokenizer = open_tokenizer(
            model, literals, job.tokenizer, self.profile.tokenizer_pattern, self.profile.reserved_ids
        )
        self.vocabulary = resolve(self.profile, self.tokenizer)
        self.score: Any = None
        if job.score is not None:
            from operators.score import Score  # torch: seconds of import, for nothing in other modes

            self.score = Score(job.score, job.budget, self.profile.slicing, "cpu")
        if job.pixels in {"encoded", "patches"}:
            self.resize = resizer(job.resize)
        self.planned = lru_cache(maxsize=None)(self._planned)

    def pack_shard(self, shard: str, output: Path) -> dict[str, float]:
        """Packs one shard into one file."""
        content = Path(shard).read_bytes()
        hashlib.sha256(content).digest()
        pairs = [self._open(*sample) for sample in read_pairs(content)]
        if self.score is not None:
            self._apportion(pairs)
        elif self.job.pixels == "source":
            for pair in pairs:
                self._check(pair)
        laid = self._lay_out(pairs)
        limits = self.job.pack.limits
        sizes = [
            (len(one.ids), 1, sum(view["grid_h"] * view["grid_w"] for view in pair.plan["views"]))
            for pair, one in zip(pairs, laid, strict=True)
        ]
        packs = pack_items(sizes, (self.job.sequence_length, limits.images, limits.patches), any_emptiest=True)
        documents = [
            Document(number, pair.key, pair.plan["views"], pair.offset, len(pair.data), one)
            for number, (pair, one) in enumerate(zip(pairs, laid, strict=True))
        ]
        name = Path(shard).name
        path = output / f"{Path(shard).stem}.parquet"
        write_packs(
            path,
            name,
            packs,
            documents,
            self.job.sequence_length,
            self.vocabulary.padding,
            lambda i: self._pixels(pairs[i]),
            row_group_packs(self.job.pixels),
        )
        tokens = sum(size for size, _, _ in sizes)
        return {"at": time.time(), "images": len(pairs), "tokens": tokens, "bytes": len(content)}

    def _open(self, key: str, data: bytes, offset: int, text: str) -> Pair:
        opened = open_picture(data, self.job.limits.max_image_pixels)
        plan, runs = self.planned(*upright_size(opened, data))
        return Pair(key, text, data, offset, opened, plan, runs, hashlib.blake2b(data, digest_size=16).digest())

    def _planned(self, width: int, height: int) -> tuple[Row, list[Row]]:
        regions = MAX_REGIONS if self.job.budget is not None else None
        plan = asdict(plan_image(self.profile, regions, width, height, Place(0, 1)))
        return plan, list(lay_runs(plan["layout"], self.tokenizer))

    def _apportion(self, pairs: list[Pair]) -> None:
        """Scores pictures and draws them within their budgets, in groups as `score` has them."""
        from operators.score import GROUP_REGIONS

        budget = self.job.budget
        pixels = FINE_PIXELS if budget is not None and budget.spread == "legible" else COARSE_PIXELS
        looks = []
        start = held = 0
        for number, pair in enumerate(pairs):
            small = shrink(pair.opened, (pair.plan["width"], pair.plan["height"]), pixels)
            query = {"text": pair.text, "origin": "neighbours", "segments": [1]}
            looks.append(self.score._look(pair.plan, small, query))
            held += len(looks[-1].tiles)
            if held < GROUP_REGIONS and number + 1 < len(pairs):
                continue
            for one, found in zip(pairs[start:], self.score._maps(looks), strict=False):
                made = self.score._apportion([one.plan], [one.runs], [found])
                (one.plan,), (one.runs,) = made["plans"], made["runs"]
            start, held, looks = number + 1, 0, []

    def _check(self, pair: Pair) -> None:
        """The check of a build that keeps no pixels."""
        if self.job.check == "structure":
            check_structure(pair.opened, pair.data)
            return
        pair.opened.draft(None, (1, 1))  # a JPEG at 1/8 still reads all of its data
        load_upright(pair.opened)

    def _lay_out(self, pairs: list[Pair]) -> list[LaidOut]:
        rule = self.profile.positions
        texts = self.tokenizer.encode([pair.text for pair in pairs])
        rows = (
            {
                "segments": SEGMENTS,
                "tokens": [[], ids],
                "trained": [[], []],
                "plans": [pair.plan],
                "runs": [pair.runs],
                "reductions": [],
            }
            for pair, ids in zip(pairs, texts, strict=True)
        )
        return [lay_out(row, WHOLE, self.vocabulary, rule) for row in rows]

    def _pixels(self, pair: Pair) -> list[tuple[bytes, str]] | None:
        """The pixels of a sample's views; None where a build keeps their place alone."""
        if self.job.pixels == "source":
            return None
        opened = open_picture(pair.data, self.job.limits.max_image_pixels)
        views = render(full_raster(opened, pair.data), plan_from_row(pair.plan), self.resize)
        return [self._to_pixels(view, from_jpeg=opened.format in JPEGS) for view in views]

    def _to_pixels(self, view: Raster, *, from_jpeg: bool) -> tuple[bytes, str]:
        if self.job.pixels == "encoded":
            return encode_view(view, from_jpeg=from_jpeg)
        slicing = self.profile.slicing
        return to_patches(view, slicing.patch, slicing.merge), "patches"


_bare: Bare
_output: Path


def _pack_shard(shard: str) -> dict[str, float]:
    return _bare.pack_shard(shard, _output)


def _one_thread() -> None:
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def main() -> None:
    global _bare, _output
    path, output, processes, *shards = sys.argv[1:]
    _bare, _output = Bare(load_job(path, [])), Path(output)  # before the fork: imported once, shared by all
    _output.mkdir(parents=True)
    with multiprocessing.get_context("fork").Pool(int(processes), _one_thread) as pool:
        for done in pool.imap_unordered(_pack_shard, shards):
            print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()
