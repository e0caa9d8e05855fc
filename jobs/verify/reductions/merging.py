"""Methods that arrange tokens, or decide which have a place: what their settings say of counts, blocks and pools."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import isqrt
from typing import Any

from jobs.verify.reductions.image import Check, Grid, Image

Method = Mapping[str, Any]
SUM_ERROR = 1e-3
"""Shares are float32, and a group may have a thousand."""


def _wico(method: Method, image: Image) -> Iterator[str]:
    high, wide = method["window"]
    blocks = _blocks(image.grids, high, wide)
    if image.num_kept * high * wide != image.num_tokens:
        yield f"keeps {image.num_kept} tokens; one of {high} x {wide}, {image.num_tokens / high / wide:g}, expected"
    elif image.reduction["window"] != blocks or image.reduction["kept"] != [block[0] for block in blocks]:
        yield f"joins other tokens than blocks of {high} x {wide}, each in the place of its first"


def _wico_plus(method: Method, image: Image) -> Iterator[str]:
    yield from _wico(method, image)
    asked = {"layer": method["layer"], "tokens": image.num_tokens}
    if image.reduction["expand"] != asked:
        yield f"is spread as {image.reduction['expand']}; {asked} expected"


def _self_mining(method: Method, image: Image) -> Iterator[str]:
    region = method["region"]
    blocks = _blocks(image.grids, region, region)
    if len(blocks) * region**2 != image.num_tokens or _members(image) != blocks:
        yield f"averages other tokens than regions of {region} x {region}"


def _hires_restore(_: Method, image: Image) -> Iterator[str]:
    """Tokens of slices in the order of their places in the picture; others where they stand."""
    slices = [i for i, view in enumerate(image.of_token) if image.views[view]["kind"] == "tile"]
    own: dict[int, int] = {}
    places: dict[int, Grid] = {}
    for i in slices:
        view, number = image.of_token[i], own.get(image.of_token[i], 0)
        own[view] = number + 1
        down, across = divmod(number, image.views[view]["cols"])
        places[i] = (image.views[view]["row"] << 16 | down, image.views[view]["col"] << 16 | across)
    is_whole = len(image.grids) == len(set(image.of_token))  # stitched tiles are one raster as they stand
    expected: list[int] | None = None
    if len(own) > 1 and is_whole:
        expected = list(range(image.num_tokens))
        for place, token in zip(slices, sorted(slices, key=places.__getitem__), strict=True):
            expected[place] = token
    if image.reduction["restore"] != expected:
        yield "has a raster that is not that of its slices"


def _tokenflex(method: Method, image: Image) -> Iterator[str]:
    name = image.document if method["draws"] == "sample" else f"{image.document}/{image.number}"
    chances = sorted((int(count), Fraction(weight)) for count, weight in method["probabilities"].items())
    drawn = Fraction(_drawn(method["seed"], "tokenflex", name), 1 << 64) * sum(weight for _, weight in chances)
    for count, weight in chances:
        if drawn < weight:
            yield from _pool_faults(image, [_squares(image.grids, isqrt(count))])
            return
        drawn -= weight


def _tokenflex_by_scores(method: Method, image: Image) -> Iterator[str]:
    yield from _pool_faults(image, [_squares(image.grids, isqrt(count)) for count in method["counts"]])


def _frame_pool(method: Method, image: Image) -> Iterator[str]:
    most = method["most"]
    if method["draw"]:
        choices = most - method["least"] + 1
        most = method["least"] + (_drawn(method["seed"], "frame_pool", image.document) * choices >> 64)
    of_view = min(method["total"] // image.count, most) // len(image.grids)
    pools = [
        (rows, cols) if rows * cols <= of_view else (min(rows, isqrt(of_view)), min(cols, isqrt(of_view)))
        for rows, cols in image.grids
    ]
    yield from _pool_faults(image, [pools])
    if image.num_kept * image.count > method["total"]:
        yield f"keeps {image.num_kept} tokens, as one of {image.count} images; {method['total']} in all allowed"


def _pool_faults(image: Image, choices: Sequence[list[Grid]]) -> Iterator[str]:
    """Pools are one of the choices, and a pooled token has the place of the first that it looks at."""
    pools = [(pool["rows"], pool["cols"]) for pool in image.reduction["pools"]]
    if pools not in choices:
        yield f"has pools {pools}; {' or '.join(map(str, choices))} expected"
        return
    kept, start = [], 0
    for (rows, cols), (high, wide) in zip(image.grids, pools, strict=True):
        kept += [start + i * rows // high * cols + j * cols // wide for i in range(high) for j in range(wide)]
        start += rows * cols
    if image.reduction["kept"] != kept:
        yield "has pooled tokens in other places than the first of each pool"


def _mustdrop_merge(method: Method, image: Image) -> Iterator[str]:
    side = method["window"]
    gone, step = image.num_tokens - image.num_kept, side**2 - 1
    if gone % step:
        yield f"has {gone} tokens fewer; a multiple of {step}, of windows of {side} x {side}, expected"
    windows = {tuple(block) for block in _blocks(image.grids, side, side)}
    members = _members(image)
    if image.reduction["kept"] != [own[0] for own in members]:
        yield "has a merged token in another place than that of its window's first"
    if any(len(own) > 1 and tuple(own) not in windows for own in members):
        yield f"merges other tokens than windows of {side} x {side}"


def _visionzip(method: Method, image: Image) -> Iterator[str]:
    num_tokens = image.num_tokens
    dominant = min(num_tokens, max(1, method["dominant"] * num_tokens // method["of"]))
    contextual = min(num_tokens - dominant, max(1, method["contextual"] * num_tokens // method["of"]))
    yield from _count_faults(image, dominant + contextual, dominant + contextual)
    members, shares = _members(image), image.reduction["shares"]
    if sum(len(own) > 1 for own in members) > contextual:
        yield f"has more than {contextual} tokens that take others in"
    for kept, own in zip(image.reduction["kept"], members, strict=True):
        taken = len(own) - 1
        half = 0.5 if taken and not method["sums"] else 1.0
        if any(abs(shares[i] - (half if i == kept else half / taken)) > SUM_ERROR for i in own):
            yield "has shares that do not weigh a target as much as all that it takes in"
            return


def _prumerge(method: Method, image: Image) -> Iterator[str]:
    num_tokens = image.num_tokens
    # Over Q3 + 1.5 (Q3 - Q1) are a quarter of the tokens at most; one more stands for what is like none of them.
    most = num_tokens if method["plus"] else -(-(num_tokens - 1) // 4) + 1
    least = len(range(num_tokens // 6, num_tokens - 1, max(1, num_tokens // 3))) if method["plus"] else 1
    yield from _count_faults(image, max(1, least), most)
    kept, shares = image.reduction["kept"], image.reduction["shares"]
    if method["sums"]:
        if sum(abs(shares[i] - 1) > SUM_ERROR for i in kept) > 1:
            yield "has more than one kept token that does not weigh 1"
    elif any(abs(sum(shares[i] for i in own) - 1) > SUM_ERROR for own in _members(image)):
        yield "has shares that do not add up to one in each group"


def _tome(method: Method, image: Image) -> Iterator[str]:
    layers, left = method["layers"], image.num_tokens
    for layer in range(layers):
        falling = 2 * method["merges"] * (max(1, layers - 1) - layer) // max(1, layers - 1)
        left -= min(falling if method["decreasing"] else method["merges"], left // 2)
    yield from _count_faults(image, left, left)


def _count_faults(image: Image, least: int, most: int) -> Iterator[str]:
    """Also that no token goes into none of those that are kept."""
    if not least <= image.num_kept <= most:
        expected = f"{least}" if least == most else f"{least} to {most}"
        yield f"keeps {image.num_kept} of {image.num_tokens} tokens; {expected} expected"
    if min(image.reduction["groups"]) < 0:
        yield "has a token that goes into none of those that are kept"


def _members(image: Image) -> list[list[int]]:
    """The tokens of each group, ascending."""
    found: list[list[int]] = [[] for _ in range(image.num_kept)]
    for token, group in enumerate(image.reduction["groups"]):
        if group >= 0:
            found[group].append(token)
    return found


def _blocks(grids: Sequence[Grid], high: int, wide: int) -> list[list[int]]:
    """The tokens of each whole block from the top left of each grid, both in raster order."""
    found, start = [], 0
    for rows, cols in grids:
        for top in range(0, rows - high + 1, high):
            for left in range(start + top * cols, start + top * cols + cols - wide + 1, wide):
                found.append([left + i * cols + j for i in range(high) for j in range(wide)])
        start += rows * cols
    return found


def _squares(grids: Sequence[Grid], side: int) -> list[Grid]:
    return [(min(rows, side), min(cols, side)) for rows, cols in grids]


def _drawn(seed: int, purpose: str, name: str) -> int:
    """64 bits of the seed and the name."""
    text = f"{purpose}\0{seed}\0{name}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


MERGING: dict[str, Check] = {
    "frame_pool": _frame_pool,
    "hires_restore": _hires_restore,
    "mustdrop_merge": _mustdrop_merge,
    "prumerge": _prumerge,
    "self_mining": _self_mining,
    "tokenflex": _tokenflex,
    "tokenflex_by_scores": _tokenflex_by_scores,
    "tome": _tome,
    "visionzip": _visionzip,
    "wico": _wico,
    "wico_plus": _wico_plus,
}
