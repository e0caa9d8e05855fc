"""Shards of generated photographs: sizes, spectra and JPEG bytes a pixel of real ones, the same for the same seed.

A picture is noise that falls as 1/f, in luminance and, weaker, in two chroma channels, over discs of all sizes that
hide each other (their outlines are the edges) and a gradient. 250 real photographs of the same sizes have .136 bytes a
pixel at .84 megapixels.
"""

from __future__ import annotations

import io
import json
import tarfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import scipy.fft
from PIL import Image, ImageDraw

from tests.support import documents

REAL = "data/photos/ph-000000.tar"
"""Real photographs, in the folder `shared` that lies beside the repository."""
DISTINCT = 250
SIDES = (336, 1600)
"""Longest side in pixels, from and to."""
SKEW = 0.8
"""Exponent that brings the mean area to .85 megapixels."""
SHAPES = (3 / 4, 2 / 3, 9 / 16, 4 / 5, 1.0)
"""Short side by long side."""
QUALITIES = (80, 92)
WORDS = (10, 60)
"""Of a caption, from and to."""
FIELD = 2048
"""Side of the noise that pictures are cut from, in pixels."""
NUM_FIELDS = 6
SLOPE = 1.2
"""By which power of its frequency the noise falls."""
DISCS = 150
TEXTURE = (7.0, 0.7)
"""Deviation of the noise in grey levels: median, and spread of its logarithm."""
GRAIN = 0.5
"""Deviation of the noise that every sensor adds, in grey levels."""


Pair = tuple[bytes, bytes | None]
"""A picture, and its caption if it has one of its own."""


@dataclass(frozen=True, slots=True)
class Photographs:
    """Encoded pictures, to be dealt to shards."""

    pairs: tuple[Pair, ...]
    words: tuple[str, ...]
    seed: int

    def write_shard(self, path: Path, count: int, number: int) -> None:
        """One tar of `count` pairs; each picture has a comment of its own, so that no two have one digest."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng([self.seed, number])
        order = np.concatenate([rng.permutation(len(self.pairs)) for _ in range(-(-count // len(self.pairs)))])
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            for i, chosen in enumerate(order[:count].tolist()):
                picture, caption = self.pairs[chosen]
                _add(archive, f"{i:08d}.jpg", _commented(picture, f"{number}-{i}"))
                _add(archive, f"{i:08d}.txt", caption or self._caption(rng))

    def _caption(self, rng: np.random.Generator) -> bytes:
        chosen = rng.integers(len(self.words), size=rng.integers(WORDS[0], WORDS[1] + 1))
        return (" ".join(self.words[i] for i in chosen).capitalize() + ".").encode()


def make_photographs(seed: int = 0, count: int = DISTINCT, processes: int = 2, real: Path | None = None) -> Photographs:
    """`count` generated pictures, and those of a shard of real ones."""
    with ProcessPoolExecutor(processes) as pool:
        pictures = pool.map(partial(_photograph, seed), range(count), chunksize=8)
        generated: list[Pair] = [(picture, None) for picture in pictures]
    return Photographs((*generated, *(_pairs(real) if real is not None else ())), _words(), seed)


def _pairs(archive: Path) -> list[Pair]:
    """Picture and caption of each sample of a shard of pairs."""
    found: dict[str, dict[str, bytes]] = {}
    with tarfile.open(archive) as shard:
        for member in shard.getmembers():
            key, _, field = member.name.partition(".")
            file = shard.extractfile(member)
            assert file is not None
            found.setdefault(key, {})[field] = file.read()
    return [(fields["jpg"], fields["txt"]) for fields in found.values()]


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def _photograph(seed: int, number: int) -> bytes:
    rng = np.random.default_rng([seed, number, 1])
    long = SIDES[0] + (SIDES[1] - SIDES[0]) * rng.random() ** SKEW
    short = long * SHAPES[rng.integers(len(SHAPES))]
    width, height = (int(long), int(short)) if rng.random() < 0.7 else (int(short), int(long))
    median, spread = TEXTURE
    deviation = median * np.exp(spread * rng.standard_normal())
    luminance = np.asarray(_leaves(rng, width, height), np.float32) + deviation * _noise(rng, seed, width, height)
    luminance += GRAIN * rng.standard_normal((height, width), np.float32)
    chroma = [128 + 10 * _noise(rng, seed, width, height) + 10 * rng.standard_normal() for _ in range(2)]
    channels = [Image.fromarray(channel.clip(0, 255).astype(np.uint8)) for channel in (luminance, *chroma)]
    buffer = io.BytesIO()
    quality = int(rng.integers(QUALITIES[0], QUALITIES[1] + 1))
    Image.merge("YCbCr", channels).convert("RGB").save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return buffer.getvalue()


def _leaves(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Discs over a gradient, in grey; radii by the power law of things seen from any distance."""
    down = np.linspace(rng.uniform(30, 220), rng.uniform(30, 220), height, dtype=np.float32)
    across = np.linspace(-30, 30, width, dtype=np.float32) * rng.uniform(-1, 1)
    ground = Image.fromarray((down[:, None] + across).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(ground)
    largest = max(width, height) / 3
    for share, x, y, tall in rng.random((DISCS, 4)):
        radius = min(largest, 8 / (1.001 - share) ** 0.7)
        high = radius * (0.5 + tall)
        left, top = x * width - radius, y * height - high
        draw.ellipse((left, top, left + 2 * radius, top + 2 * high), fill=int(rng.integers(20, 236)))
    return ground


def _noise(rng: np.random.Generator, seed: int, width: int, height: int) -> np.ndarray:
    """Noise of deviation 1, float32 [height, width], cut from one of a few fields."""
    field = _field(seed, int(rng.integers(NUM_FIELDS)))
    top, left = (int(rng.integers(FIELD - side + 1)) for side in (height, width))
    return field[top : top + height, left : left + width]


@cache
def _field(seed: int, number: int) -> np.ndarray:
    rng = np.random.default_rng([seed, number, 2])
    spectrum = scipy.fft.rfft2(rng.standard_normal((FIELD, FIELD), np.float32))
    frequency = np.hypot(scipy.fft.fftfreq(FIELD)[:, None], scipy.fft.rfftfreq(FIELD)[None]).astype(np.float32)
    frequency[0, 0] = np.inf
    field = scipy.fft.irfft2(spectrum / frequency**SLOPE)
    return np.asarray(field / field.std(), np.float32)


def _commented(picture: bytes, comment: str) -> bytes:
    """A JPEG with one comment more."""
    text = comment.encode()
    return picture[:2] + b"\xff\xfe" + (2 + len(text)).to_bytes(2, "big") + text + picture[2:]


def _words() -> tuple[str, ...]:
    """The words of the bundled shards."""
    texts = [
        text
        for members in documents().values()
        for name, data in members.items()
        if name.endswith(".json")
        for text in json.loads(data)["texts"]
        if text is not None
    ]
    return tuple(sorted({word for text in texts for word in text.split() if word.isalpha()}))
