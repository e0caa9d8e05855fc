"""torch's antialiased resize of 8-bit pictures, which torchvision calls: a module of its own, for torch's import."""

from __future__ import annotations

import warnings

import torch
from torch.nn.functional import interpolate

from operators.raster import Raster
from operators.slicing.resizing import resize_by_pillow
from operators.threads import one_thread

FILTERS = frozenset({"bicubic", "bilinear", "lanczos"})

warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # and nobody writes to it


def resize_by_torch(raster: Raster, size: tuple[int, int], resample: str) -> Raster:
    """By torch, or by Pillow where torch has not the filter. In integers: the same on every kind of CPU.

    MemoryError where there is too little memory.
    """
    if resample not in FILTERS:
        return resize_by_pillow(raster, size, resample)
    # Channels last takes two thirds of the time of planes; a batch made by [None] has strides that pass for planes.
    pixels = torch.from_numpy(raster).unsqueeze(0).permute(0, 3, 1, 2)
    try:
        with one_thread():
            found = interpolate(pixels, size=size[::-1], mode=resample, antialias=True)
    except RuntimeError as error:  # of a uint8 array and a size torch can say no more than that memory is out
        raise MemoryError(str(error)) from error
    resized: Raster = found[0].permute(1, 2, 0).numpy()
    return resized
