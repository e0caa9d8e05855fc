r"""What each step of a picture's way costs: as Pillow alone did it, and as it is done.

    python -m tests.benchmarks.kernels --json infra/bench/kernels.json
    python -m tests.benchmarks.kernels --quick

CPU milliseconds a picture in one process and one thread, the least of three rounds in which both take turns, so that a
neighbour's load spoils neither alone. Of JPEGs from ../shared/data/photos (or a pattern of shards) and of made ones:
smooth shades with grain, 336 to 1,600 pixels a side. Views are whole, in Qwen2.5-VL's size. The step before gives each
step what it takes, and is not counted.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from operators.decode import Measure
from operators.encode import FLAT_SHARE, encode_view, is_flat
from operators.pictures import full_raster, load_upright, open_picture, to_rgb
from operators.profiles import load_profile
from operators.slicing.render import to_patches
from operators.slicing.resizing import resize_by_pillow
from operators.slicing.resizing_torch import resize_by_torch

PHOTOGRAPHS = "../shared/data/photos/*.tar"
NUM_PICTURES, ROUNDS = 60, 3
LIMIT = 10**8
PROFILE = load_profile("qwen2_5_vl")
PATCH, MERGE = PROFILE.slicing.patch, PROFILE.slicing.merge


class Step(NamedTuple):
    """One step in two ways; `given` makes what both take of a picture's bytes."""

    name: str
    was: Callable[[Any], Any]
    now: Callable[[Any], Any]
    given_was: Callable[[bytes], Any]
    given: Callable[[bytes], Any]


def shards(pattern: str) -> Iterator[bytes]:
    """The JPEGs of some shards."""
    for path in sorted(Path(pattern).parent.glob(Path(pattern).name)):
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name.lower().endswith((".jpg", ".jpeg")):
                    yield archive.extractfile(member).read()


def made(count: int) -> Iterator[bytes]:
    """Seeded photographs, quality 90."""
    rng = np.random.default_rng(9)
    for _ in range(count):
        width, height = (int(side) for side in rng.integers(336, 1601, 2))
        cells = Image.fromarray(rng.integers(0, 256, (height // 40 + 2, width // 40 + 2, 3), np.uint8))
        smooth = np.asarray(cells.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
        grain = rng.normal(0, 6, smooth.shape).astype(np.int16)
        buffer = io.BytesIO()
        Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
        yield buffer.getvalue()


def image(data: bytes) -> Image.Image:
    """As Pillow decodes it."""
    return to_rgb(load_upright(open_picture(data, LIMIT)))


def raster(data: bytes) -> np.ndarray:
    """As it is decoded."""
    return full_raster(open_picture(data, LIMIT), data)


def size_of(data: bytes) -> tuple[int, int]:
    """Of a picture's view."""
    (view,) = PROFILE.slicing.plan(*open_picture(data, LIMIT).size, PROFILE.tokens.by_role()).views
    return view.width, view.height


def view(data: bytes) -> np.ndarray:
    """A picture's view."""
    return resize_by_torch(raster(data), size_of(data), "bicubic")


def view_image(data: bytes) -> Image.Image:
    """As Pillow resizes it."""
    return image(data).resize(size_of(data), Image.Resampling.BICUBIC)


def patches_before(picture: Image.Image) -> bytes:
    """By numpy, byte for byte."""
    rows, cols = picture.height // (PATCH * MERGE), picture.width // (PATCH * MERGE)
    pixels = np.asarray(picture).reshape(rows, MERGE, PATCH, cols, MERGE, PATCH, 3)
    return pixels.transpose(0, 3, 1, 4, 6, 2, 5).tobytes()


def flat_before(picture: Image.Image) -> bool:
    """Channel by channel."""
    pixels = np.asarray(picture)
    return bool((pixels[:, 1:] == pixels[:, :-1]).all(axis=-1).mean() >= FLAT_SHARE)


def encoded_before(picture: Image.Image) -> bytes:
    """Lossless if flat-coloured, whatever it was."""
    buffer = io.BytesIO()
    if flat_before(picture):
        picture.save(buffer, "WEBP", lossless=True, quality=0, method=1, exact=True)
    else:
        picture.save(buffer, "JPEG", quality=95, subsampling="4:4:4")
    return buffer.getvalue()


def task(check: str | None) -> Callable[[bytes], Any]:
    """Of `decode`, without a score."""
    measure = Measure(max_image_pixels=LIMIT, grey_pixels=None, check=check)
    return lambda data: measure({"data": data, "is_discrete": False})


def same(data: bytes) -> bytes:
    """What takes the bytes themselves."""
    return data


STEPS = (
    Step("decode at full size", image, raster, same, same),
    Step(
        "resize, bicubic",
        lambda pair: pair[0].resize(pair[1], Image.Resampling.BICUBIC),
        lambda pair: resize_by_torch(*pair, "bicubic"),
        lambda data: (image(data), size_of(data)),
        lambda data: (raster(data), size_of(data)),
    ),
    Step(
        "resize, bicubic, resize: pillow",
        lambda pair: pair[0].resize(pair[1], Image.Resampling.BICUBIC),
        lambda pair: resize_by_pillow(*pair, "bicubic"),
        lambda data: (image(data), size_of(data)),
        lambda data: (raster(data), size_of(data)),
    ),
    Step("patches", patches_before, lambda found: to_patches(found, PATCH, MERGE), view_image, view),
    Step("flat-coloured?", flat_before, is_flat, view_image, view),
    Step("encode", encoded_before, lambda found: encode_view(found, from_jpeg=True), view_image, view),
    Step(
        "bytes to encoded view",
        lambda data: encoded_before(view_image(data)),
        lambda data: encode_view(view(data), from_jpeg=True),
        same,
        same,
    ),
    Step(
        "bytes to patches",
        lambda data: patches_before(view_image(data)),
        lambda data: to_patches(view(data), PATCH, MERGE),
        same,
        same,
    ),
    Step("check: decode -> structure", task("decode"), task("structure"), same, same),
)


def milliseconds(step: Step, pictures: Sequence[bytes], rounds: int) -> tuple[float, float]:
    """Of a picture, as it was and as it is."""
    least = [float("inf")] * 2
    step.was(step.given_was(pictures[0]))
    step.now(step.given(pictures[0]))  # what the first call imports is not counted
    for _ in range(rounds):
        for k, (given, function) in enumerate([(step.given_was, step.was), (step.given, step.now)]):
            spent = 0.0
            for data in pictures:
                taken = given(data)
                start = time.process_time()
                function(taken)
                spent += time.process_time() - start
            least[k] = min(least[k], spent / len(pictures) * 1000)
    return least[0], least[1]


def table(pictures: Sequence[bytes], rounds: int) -> list[dict[str, Any]]:
    """A row of each step."""
    rows = []
    for step in STEPS:
        was, now = milliseconds(step, pictures, rounds)
        rows.append({"step": step.name, "was_ms": round(was, 3), "is_ms": round(now, 3), "times": round(was / now, 2)})
        print(f"  {step.name:34} {was:9.3f} -> {now:9.3f}   {was / now:6.2f}x", flush=True)
    return rows


def main() -> None:
    """Prints the tables and writes them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", default=PHOTOGRAPHS, help="shards of photographs")
    parser.add_argument("--quick", action="store_true", help="8 pictures, one round")
    parser.add_argument("--json", type=Path, help="where to write the tables")
    options = parser.parse_args()
    torch.set_num_threads(1)
    count, rounds = (8, 1) if options.quick else (NUM_PICTURES, ROUNDS)
    found: dict[str, Any] = {}
    for name, pictures in (("photographs", shards(options.pattern)), ("made", made(count))):
        some = list(islice(pictures, count))
        if not some:
            print(f"{name}: not measured; no JPEG in {options.pattern}")
            continue
        megapixels = sum(np.prod(open_picture(data, LIMIT).size) for data in some) / len(some) / 1e6
        print(f"{name}: {len(some)} pictures of {megapixels:.2f} megapixels on average, CPU ms a picture")
        found[name] = {"pictures": len(some), "megapixels": round(megapixels, 3), "steps": table(some, rounds)}
    if options.json:
        import simplejpeg

        libraries = {"torch": torch.__version__, "pillow": Image.__version__, "simplejpeg": simplejpeg.__version__}
        machine = {"machine": platform.machine(), "cpu": torch.backends.cpu.get_cpu_capability(), **libraries}
        options.json.write_text(json.dumps({"machine": machine, **found}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
