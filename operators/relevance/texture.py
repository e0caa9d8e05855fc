"""The 13-channel texture array: colour, edges, place and grain of each picture, by itself.

After ARR-COC's array (RGB, L*, a*, Sobel, y, x, eccentricity), with two changes. Its last channels repeated the
magnitude and L*; here they are the gradient's orientation and the local contrast. And it stretched the Sobel channels
over the whole batch, so that a picture's values hung on its neighbours; here each picture is stretched alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional

CHANNELS = (
    "red", "green", "blue", "lightness", "green_red", "gradient_x", "gradient_y", "magnitude",
    "y", "x", "eccentricity", "orientation", "contrast",
)  # fmt: skip
SIDE = 32
LEAST = 1e-3
"""Smallest range that is stretched to 0..1, about a quarter of a grey level: below is rounding, and becomes 0."""
LUMA = (299, 587, 114)
"""Thousandths. Edges and grain are counted on whole shades, exactly: with shades in floats, the last bits turned edges
round (an angle of 0 is next to one of pi), and 1,435 of 48,560 8-bit scores hung on the library that convolves."""
XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750))
"""Linear sRGB to X and Y; L* and a* need no Z."""
WHITE_X = 0.9504700
CUBE_FROM = 216 / 24389
"""CIE's bound between the cube root and the line, which starts at 4/29 with slope 841/108."""


def texture(pictures: torch.Tensor, places: torch.Tensor | None = None, side: int = SIDE) -> torch.Tensor:
    """CHANNELS of each picture, float32 [n, 13, side, side].

    pictures: uint8 [n, h, w, 3]. places: float32 [n, 4], left, top, right and bottom of each within a larger picture,
    as shares of it; y, x and eccentricity (distance from the middle, 1 in the corners) are then those of the larger
    one. RGB, y, x, L*/100 and (a* + 128)/255 are 0..1 as they are, orientation is the angle over pi, where there is
    none 0, and gradients, magnitude and contrast (deviation of luminance in 3x3) run from each picture's least to
    its greatest. A channel without range is 0.
    """
    shades = pictures.movedim(-1, 1).to(torch.float32) / 255
    seen = _resized(torch.cat([shades, _lightness_and_red(shades), *_grain(pictures)], dim=1), side)
    colours, stretched, orientation = seen[:, :5], _stretched(seen[:, 5:9]), seen[:, 9:]
    return torch.cat([colours, stretched[:, :3], _where(places, seen, side), orientation, stretched[:, 3:]], dim=1)


def _grain(pictures: torch.Tensor) -> Iterator[torch.Tensor]:
    """Sobel x and y, magnitude and deviation in 3x3, as shares of white, and orientation; each [n, 1, h, w]."""
    red, green, blue = pictures.to(torch.int32).unbind(dim=-1)
    grey = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue + 500) // 1000
    padded = functional.pad(grey[:, None].to(torch.float32), (1, 1, 1, 1), mode="replicate")
    across = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    along = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    gx, gy = across[..., 2:] - across[..., :-2], along[:, :, 2:] - along[:, :, :-2]
    total, squares = (functional.avg_pool2d(values, 3, 1, divisor_override=1) for values in (padded, padded.square()))
    yield gx / (8 * 255)
    yield gy / (8 * 255)
    yield (gx.square() + gy.square()).sqrt() / (8 * 255)
    yield (9 * squares - total.square()).sqrt() / (9 * 255)
    # Zero for upright edges by decree: their angle is 0 or pi, and pi over pi may come out on either side of 1.
    yield torch.where(gy == 0, 0.0, torch.remainder(torch.atan2(gy, gx) / torch.pi, 1))


def _mix(shades: torch.Tensor, weights: tuple[float, ...]) -> torch.Tensor:
    return weights[0] * shades[:, :1] + weights[1] * shades[:, 1:2] + weights[2] * shades[:, 2:]


def _lightness_and_red(shades: torch.Tensor) -> torch.Tensor:
    """L*/100 and (a* + 128)/255 of sRGB under D65, [n, 2, h, w]."""
    linear = torch.where(shades <= 0.04045, shades / 12.92, ((shades + 0.055) / 1.055) ** 2.4)
    x, y = (_mix(linear, row) / white for row, white in zip(XYZ, (WHITE_X, 1.0), strict=True))
    fx, fy = (torch.where(t > CUBE_FROM, t.clamp(min=CUBE_FROM) ** (1 / 3), t * 841 / 108 + 4 / 29) for t in (x, y))
    return torch.cat([(116 * fy - 16) / 100, (500 * (fx - fy) + 128) / 255], dim=1)


def _resized(channels: torch.Tensor, side: int) -> torch.Tensor:
    if channels.shape[-2:] == (side, side):
        return channels
    return functional.interpolate(channels, (side, side), mode="bilinear", antialias=True)


def _stretched(channels: torch.Tensor) -> torch.Tensor:
    least, greatest = channels.amin(dim=(2, 3), keepdim=True), channels.amax(dim=(2, 3), keepdim=True)
    extent = greatest - least
    return torch.where(extent > LEAST, (channels - least) / extent.clamp(min=LEAST), torch.zeros_like(channels))


def _where(places: torch.Tensor | None, like: torch.Tensor, side: int) -> torch.Tensor:
    """y, x and eccentricity, [n, 3, side, side]; the first and last pixels stand on the edges."""
    if places is None:
        places = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device=like.device).expand(like.shape[0], 4)
    left, top, right, bottom = places[:, :, None].unbind(dim=1)
    steps = torch.linspace(0, 1, side, device=like.device)
    x = (left + (right - left) * steps)[:, None, :].expand(-1, side, side)
    y = (top + (bottom - top) * steps)[:, :, None].expand(-1, side, side)
    eccentricity = ((x - 0.5).square() + (y - 0.5).square()).sqrt() / 0.5**0.5
    return torch.stack([y, x, eccentricity], dim=1)
