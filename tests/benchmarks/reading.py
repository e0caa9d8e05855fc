r"""How many words an OCR reader still finds on screenshots rebuilt from the views that lodepack packed.

    python -m tests.benchmarks.reading '../shared/data/gimp-help/gimp-{000000..000007}.tar' \
        --json infra/bench/reading.json

For each share of native tokens a real build (`budget: {rule: global, image_share: ...}`) is made of the shards; the
pictures of over 250,000 pixels are put together from the views as stored in the packs, each view enlarged bilinearly to
its box, and read by rapidocr. Beside it the picture resized bicubically, as the family does it, to as many tokens as a
whole, encoded as a view is and enlarged alike. What counts is
what the reader finds on the original: words of three letters or more, each as often as it is there. `words` asks for
the same word again, alone; `letters` for its letters in a line, whatever the reader takes for spaces, which it often
loses between two words of the original too. Pages with fewer than eight words count in neither.

Settings were tuned on the even pages; the odd ones were looked at in this benchmark alone.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from operators.encode import encode_view
from operators.pictures import load_upright, open_picture, to_rgb
from operators.raster import raster_of
from tests.benchmarks.main_job import lodepack
from tests.support import QUICKSTART

SHARES = (0.72, 0.52, 0.36, 0.20)
LEAST_PIXELS = 250_000
LEAST_WORDS = 8
TOKEN = 28
"""Pixels of a side of a token, of the quickstart's family."""
WORD = re.compile(r"[^\W\d_]{3,}")
Key = tuple[str, int, int]
"""Shard, ordinal and number of an image."""


@dataclass(frozen=True)
class Page:
    """One screenshot in one form."""

    key: Key
    form: str
    share: float
    """Of the tokens it has at native size."""
    num_views: int
    data: bytes
    """PNG."""


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def files(output: Path, kind: str) -> list[Path]:
    """Files of the newest version."""
    version = json.loads(max((output / "versions").iterdir()).read_text())
    manifests = (json.loads((output / "manifests" / f"{unit}.json").read_text()) for unit in version["units"])
    return [output / file["path"] for manifest in manifests for file in manifest["files"] if file["kind"] == kind]


def originals(output: Path, shards: Path) -> dict[Key, tuple[Image.Image, int]]:
    """The large pictures of a build in order, with their native tokens."""
    found = {}
    for path in files(output, "index"):
        for row in pq.read_table(path, columns=["id", "segments"]).to_pylist():
            images = [segment for segment in row["segments"] if segment["plan"] is not None]
            for number, segment in enumerate(images):
                plan = segment["plan"]
                if plan["width"] * plan["height"] <= LEAST_PIXELS:
                    continue
                with (shards / row["id"]["shard"]).open("rb") as stream:
                    stream.seek(segment["offset"])
                    picture = open_picture(stream.read(segment["size"]), 10**9)
                key = (row["id"]["shard"], row["id"]["ordinal"], number)
                found[key] = (to_rgb(load_upright(picture)), plan["grid_h"] * plan["grid_w"])
    return dict(sorted(found.items()))


def rebuilt(output: Path, wanted: dict[Key, tuple[Image.Image, int]], form: str) -> Iterator[Page]:
    """The wanted pictures put together from the views in the packs."""
    canvases = {key: Image.new("RGB", picture.size) for key, (picture, _) in wanted.items()}
    tokens, views = Counter[Key](), Counter[Key]()
    for path in files(output, "data"):
        for pack in pq.read_table(path, columns=["samples", "views"]).to_pylist():
            for view in pack["views"]:
                identity = pack["samples"][view["sample"]]["id"]
                key = (identity["shard"], identity["ordinal"], view["image"])
                if key not in canvases:
                    continue
                left, top, right, bottom = view["box"]
                shown = Image.open(io.BytesIO(view["pixels"]["data"])).convert("RGB")
                if shown.size != (right - left, bottom - top):
                    shown = shown.resize((right - left, bottom - top), Image.Resampling.BILINEAR)
                canvases[key].paste(shown, (left, top))
                tokens[key] += view["tokens"]
                views[key] += 1
    for key, canvas in canvases.items():
        if not views[key]:
            raise SystemExit(f"{key} is in no pack of {output}; every picture is expected")
        yield Page(key, form, tokens[key] / wanted[key][1], views[key], png(canvas))


def uniform(picture: Image.Image, native: int, share: float) -> tuple[Image.Image, int]:
    """The picture at so many of its tokens and back at its size, and its tokens."""
    high = max(1, round(picture.height / TOKEN * math.sqrt(share)))
    wide = max(1, round(share * native / high))
    resized = picture.resize((wide * TOKEN, high * TOKEN), Image.Resampling.BICUBIC)
    data, _ = encode_view(raster_of(resized), from_jpeg=False)
    small = Image.open(io.BytesIO(data)).convert("RGB")
    return small.resize(picture.size, Image.Resampling.BILINEAR), high * wide


@cache
def engine() -> Any:
    from rapidocr_onnxruntime import RapidOCR

    return RapidOCR(intra_op_num_threads=1)


def read(data: bytes) -> list[str]:
    """The lines that the reader finds."""
    lines, _ = engine()(np.asarray(Image.open(io.BytesIO(data)))[:, :, ::-1])
    return [text for _, text, _ in lines or []]


def words(lines: Sequence[str]) -> Counter[str]:
    return Counter(word.lower() for line in lines for word in WORD.findall(line))


def letters(lines: Sequence[str]) -> str:
    return "|".join(re.sub(r"[\W\d_]", "", line.lower()) for line in lines)


def figures(pages: Sequence[Page], lines: Sequence[list[str]], truth: dict[Key, Counter[str]]) -> dict[str, Any]:
    """Recall over all words of pages in one form."""
    total = same = spelt = 0
    chosen = [(page, found) for page, found in zip(pages, lines, strict=True) if page.key in truth]
    for page, found in chosen:
        asked = truth[page.key]
        total += asked.total()
        same += (asked & words(found)).total()
        text = letters(found)
        spelt += sum(min(count, text.count(word)) for word, count in asked.items())
    return {
        "pages": len(chosen),
        "words_asked": total,
        "share": round(float(np.mean([page.share for page, _ in chosen])), 4),
        "views": round(float(np.mean([page.num_views for page, _ in chosen])), 1),
        "words": round(same / total, 4),
        "letters": round(spelt / total, 4),
    }


def build(pattern: str, output: Path, share: float, changes: Sequence[str]) -> dict[str, Any]:
    """One build within a share of native tokens; into the same output again, it is planned anew from its index."""
    settings = [f"--set=budget={{rule: global, image_share: {share}}}", *(f"--set={change}" for change in changes)]
    return lodepack(
        "run", str(QUICKSTART), "--local", "--input", pattern, "--output", str(output), "--rebuild", *settings
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", help="interleaved shards")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--every", type=int, default=1, help="of the even pages only each so many, and no odd ones")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="a further field of the job")
    wanted = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(wanted.processes, get_context("spawn")) as readers,
    ):
        result = measure(wanted, Path(folder), readers)
    text = json.dumps(result, indent=1)
    print(text)
    if wanted.json:
        wanted.json.write_text(text + "\n", "utf-8")


def measure(wanted: argparse.Namespace, folder: Path, readers: ProcessPoolExecutor) -> dict[str, Any]:
    shards = Path(wanted.pattern).parent
    pictures: dict[Key, tuple[Image.Image, int]] = {}
    forms: dict[str, list[Page]] = {}
    for share in SHARES:
        build(wanted.pattern, folder / "out", share, wanted.set)
        if not pictures:
            pictures = originals(folder / "out", shards)
            even = set(list(pictures)[::2])
            if wanted.every > 1:
                pictures = {key: pictures[key] for key in list(pictures)[:: 2 * wanted.every]}
        forms[f"lod {share}"] = list(rebuilt(folder / "out", pictures, f"lod {share}"))
        resized = {key: uniform(picture, native, share) for key, (picture, native) in pictures.items()}
        forms[f"uniform {share}"] = [
            Page(key, "uniform", tokens / pictures[key][1], 1, png(again)) for key, (again, tokens) in resized.items()
        ]
    originally = list(readers.map(read, [png(picture) for picture, _ in pictures.values()]))
    truth = {
        key: found
        for key, lines in zip(pictures, originally, strict=True)
        if (found := words(lines)).total() >= LEAST_WORDS
    }
    found: dict[str, Any] = {"pictures": len(pictures)}
    for form, pages in forms.items():
        lines = list(readers.map(read, [page.data for page in pages]))
        found[form] = {"all": figures(pages, lines, truth)}
        if wanted.every == 1:
            for half, chosen in (("held out", truth.keys() - even), ("tuned on", truth.keys() & even)):
                found[form][half] = figures(pages, lines, {key: truth[key] for key in chosen})
        print(form, json.dumps(found[form]), flush=True)
    return found


if __name__ == "__main__":
    main()
