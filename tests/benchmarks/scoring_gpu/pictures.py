"""Resize and JPEG on a device against the CPU's way of a build: images a second, with the way there and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from operators.encode import JPEG_QUALITY, encode_view
from operators.pictures import full_raster, open_picture
from operators.profiles import load_profile
from operators.raster import Raster
from operators.slicing.resizing_torch import resize_by_torch
from operators.threads import one_thread
from tests.benchmarks.end_to_end.photographs import Photographs
from tests.benchmarks.scoring_gpu.timing import NOT_MEASURED, seconds_of

PROFILE = load_profile("qwen2_5_vl")
LIMIT = 10**8
JPEG_BATCH = 32
"""Pictures that the device decodes or encodes together."""


def measure_resize(photographs: Photographs, count: int, device: str) -> dict[str, Any]:
    """torch's antialiased resize, of floats on the device and of integers in one thread of the CPU."""
    rasters = [_raster(data) for data in _pictures(photographs, count)]
    sizes = [_size(raster) for raster in rasters]
    pairs = list(zip(rasters, sizes, strict=True))

    def there() -> list[np.ndarray]:
        return [resized_on(raster, size, device) for raster, size in pairs]

    def here() -> list[Raster]:
        return [resize_by_torch(raster, size, "bicubic") for raster, size in pairs]

    differences = [
        np.abs(a.astype(np.int16) - b[..., :3].astype(np.int16)) for a, b in zip(there(), here(), strict=True)
    ]
    return {
        "images_a_second_on_the_device": _rate(there, count, device),
        "images_a_second_of_a_core": _rate(here, count, device),
        "largest_difference": int(max(map(np.max, differences))),
        "share_of_values_that_differ": round(
            sum(int((one > 0).sum()) for one in differences) / sum(one.size for one in differences), 5
        ),
    }


def resized_on(raster: Raster, size: tuple[int, int], device: str) -> np.ndarray:
    """uint8 [height, width, 3] of a raster that goes to the device and comes back; no device resizes integers there."""
    pixels = torch.from_numpy(np.ascontiguousarray(raster[..., :3])).to(device)
    planes = pixels.permute(2, 0, 1)[None].float()
    found = interpolate(planes, size=size[::-1], mode="bicubic", antialias=True)
    return np.asarray(found[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy())


def measure_jpeg(photographs: Photographs, count: int, device: str) -> dict[str, Any] | str:
    """torchvision on the device, nvJPEG on a GPU, against a core; why not where torchvision cannot do it."""
    try:
        from torchvision.io import ImageReadMode, decode_jpeg, encode_jpeg
    except (ImportError, RuntimeError) as error:  # the latter from a build that is not for this torch
        return f"{NOT_MEASURED}: torchvision does not import: {error}"
    pictures = _pictures(photographs, count)
    buffers = [torch.from_numpy(np.frombuffer(data, np.uint8).copy()) for data in pictures]
    rasters = [_raster(data) for data in pictures]
    views = [resize_by_torch(raster, _size(raster), "bicubic") for raster in rasters]
    planes = [torch.from_numpy(np.ascontiguousarray(view[..., :3])).permute(2, 0, 1).contiguous() for view in views]

    def decode_there() -> None:
        for some in _batches(buffers):
            decode_jpeg(some, mode=ImageReadMode.RGB, device=device)

    def encode_there() -> None:
        for some in _batches(planes):
            for one in encode_jpeg([plane.to(device) for plane in some], quality=JPEG_QUALITY):
                one.cpu()

    def decode_here() -> None:
        for data in pictures:
            _raster(data)

    def encode_here() -> None:
        for view in views:
            encode_view(view, from_jpeg=True)

    try:
        decode_there()
        encode_there()
    except RuntimeError as error:  # torchvision was built without nvJPEG
        return f"{NOT_MEASURED}: {' '.join(str(error).split())[:200]}"
    works: dict[str, Callable[[], object]] = {
        "decodes_a_second_on_the_device": decode_there,
        "decodes_a_second_of_a_core": decode_here,
        "encodes_a_second_on_the_device": encode_there,
        "encodes_a_second_of_a_core": encode_here,
    }
    return {name: _rate(work, count, device) for name, work in works.items()}


def _rate(work: Callable[[], object], count: int, device: str) -> float:
    with one_thread():
        return round(count / seconds_of(work, device), 1)


def _pictures(photographs: Photographs, count: int) -> list[bytes]:
    return list(islice(cycle([data for data, _ in photographs.pairs]), count))


def _raster(data: bytes) -> Raster:
    return full_raster(open_picture(data, LIMIT), data)


def _size(raster: Raster) -> tuple[int, int]:
    """Of the picture's view."""
    (view,) = PROFILE.slicing.plan(raster.shape[1], raster.shape[0], PROFILE.tokens.by_role()).views
    return view.width, view.height


def _batches(values: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
    return [list(values[start : start + JPEG_BATCH]) for start in range(0, len(values), JPEG_BATCH)]
