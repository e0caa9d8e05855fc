"""Documents for the tests of filters: a text, or an image by what a rule looks at."""

from __future__ import annotations

import hashlib
import io

import numpy as np
from PIL import Image

from operators.filters.document import Document, Node

PROSE = (
    "The river rises in the hills to the north, and it has been used by the people of the valley for as long as anyone "
    "can remember. In the spring, when the snow melts, it is wide and brown; by the end of the summer you can cross it "
    "on foot. There was once a mill at the bend, of which only the walls are left."
)
"""Passes every rule of a text that OBELICS has."""


def image(**given):
    """An image of 640x480, as far as nothing else is given."""
    return {"width": 640, "height": 480, "format": "jpeg", "digest": b"0", **given}


def document(*parts, key="k"):
    """A text for each string and an image for each dict; one that is None is a text or image dropped before."""
    found = []
    for number, part in enumerate(parts):
        if part is not None:
            found.append(Node(number, part) if isinstance(part, str) else Node(number, None, **part))
    return Document(key, tuple(found))


def dropped(rule, *parts, key="k"):
    """Numbers of the nodes that a node rule drops."""
    faults = list(rule.faults(document(*parts, key=key)))
    assert all(fault.detail and "\n" not in fault.detail for fault in faults)
    return [fault.node for fault in faults]


def rejects(rule, *parts, key="k"):
    """Whether a document rule rejects the document."""
    faults = list(rule.faults(document(*parts, key=key)))
    assert len(faults) <= 1
    assert all(fault.detail and "\n" not in fault.detail and fault.node is None for fault in faults)
    return bool(faults)


def unit(*values):
    """An embedding: the values, of length 1."""
    row = np.array(values, np.float32)
    return row / np.linalg.norm(row)


def grey(picture):
    return np.asarray(picture.convert("L"))


def recompressed(picture, quality, scale):
    """A JPEG of the picture, resized."""
    size = (round(picture.width * scale), round(picture.height * scale))
    file = io.BytesIO()
    picture.resize(size, Image.Resampling.LANCZOS).save(file, "JPEG", quality=quality)
    return Image.open(file)


def landscape(seed, size=(320, 240)):
    """Soft random shades, like a photograph's from afar."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:8], "big"))
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)
