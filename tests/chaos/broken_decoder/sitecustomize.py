"""A Pillow with a bug: pictures that carry a deed in a text chunk do it when their pixels are decoded.

On the PYTHONPATH of a process, and so of its children, it stands for the codecs whose bugs nobody knows yet.
"""

from __future__ import annotations

import ctypes
import os
import re
import time

from PIL import ImageFile

DEEDS = {
    b"exit": lambda: os._exit(3),
    b"crash": lambda: ctypes.string_at(0),
    b"sleep": lambda: time.sleep(3600),
    b"hold": lambda: ctypes.PyDLL(None).usleep(3_600_000_000),
}
_load = ImageFile.ImageFile.load


def load(picture):
    """What `load` does, after the deed that the picture's bytes ask for."""
    data = picture.fp.getvalue() if hasattr(picture.fp, "getvalue") else b""
    found = re.search(rb"poison:([a-z]+);", data)
    if found:
        DEEDS[found[1]]()
    return _load(picture)


ImageFile.ImageFile.load = load
