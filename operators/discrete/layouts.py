"""How the families that write pictures as ids size them and set their ids: Chameleon, Emu3 and LlamaGen.

The ids lie behind the tokenizer's vocabulary: first those of the codes, then the family's marks. Their names in the
families' own tokenizers (IMGIMG..., <|visual token 000123|>) are not looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np
from PIL import Image

from operators.discrete.patches import Codes
from operators.slicing.qwen import MAX_ASPECT, smart_resize
from pipeline.errors import InputError, Reason
from pipeline.types import Modality

LayoutName = Literal["chameleon", "emu3", "llamagen"]
CHAMELEON_SIDE, LLAMAGEN_SIDE = 512, 256
EMU3_FACTOR = 8
EMU3_PIXELS = 512 * 512, 1024 * 1024
EMU3_ASPECT = 5

Encode = Callable[[str], Sequence[int]]
"""Ids of a text by the job's tokenizer."""
Piece = tuple[int, Modality]


@dataclass(frozen=True, slots=True)
class Layout:
    """One family's."""

    downsamples: tuple[int, ...]
    """Pixels of a code's side that it knows."""
    marks: tuple[str, ...]
    """Its marks by what they do, in the order of their ids."""
    prepare: Callable[[Image.Image], Image.Image]
    """A picture (RGB, upright) at the size at which it is coded. InputError image-sliver where that is none."""
    size: Callable[[int, int], tuple[int, int]]
    """(width, height) of what `prepare` makes of a picture of this width and height."""


@dataclass(frozen=True, slots=True)
class DiscreteIds:
    """The range of ids of one job: codes first..first+num_codes-1, then the marks of the layout."""

    layout: LayoutName
    first: int
    """The size of the tokenizer's vocabulary with all special tokens."""
    num_codes: int

    @property
    def marks(self) -> Mapping[str, int]:
        """Ids of the layout's marks by name."""
        return {name: self.first + self.num_codes + i for i, name in enumerate(LAYOUTS[self.layout].marks)}

    @property
    def size(self) -> int:
        """How many ids there are in all."""
        return self.num_codes + len(LAYOUTS[self.layout].marks)


def sequence(codes: Codes, ids: DiscreteIds, encode: Encode) -> list[Piece]:
    """(id, modality) of each token of a picture's codes [rows, cols].

    chameleon: boi, codes, eoi. emu3: boi, the text `rows*cols`, img, the rows with eol behind each, eof, eoi.
    llamagen: the codes alone. All of the range are DISCRETE, the text is MARKER.
    Source: `<racm3:break>` and `<eoss>` of facebookresearch/chameleon; processing_emu3.py of baaivision/Emu3, which
    names its marks image start, image token, extra_200, extra_201 and image end.
    """
    rows = [[(int(code) + ids.first, Modality.DISCRETE) for code in row] for row in codes]
    marks = {name: (i, Modality.DISCRETE) for name, i in ids.marks.items()}
    if ids.layout == "llamagen":
        return [piece for row in rows for piece in row]
    if ids.layout == "chameleon":
        return [marks["boi"], *(piece for row in rows for piece in row), marks["eoi"]]
    text = [(i, Modality.MARKER) for i in encode(f"{codes.shape[0]}*{codes.shape[1]}")]
    lines = [piece for row in rows for piece in (*row, marks["eol"])]
    return [marks["boi"], *text, marks["img"], *lines, marks["eof"], marks["eoi"]]


def discrete_runs(codes: Codes, ids: DiscreteIds, encode: Encode) -> list[dict[str, int]]:
    """The same as RUN rows: no view's features replace them."""
    return [
        {"id": i, "modality": int(modality), "view": -1, "count": len(list(same))}
        for (i, modality), same in groupby(sequence(codes, ids, encode))
    ]


def codes_of(ids: np.ndarray, found: DiscreteIds, rows: int, cols: int) -> Codes:
    """The codes [rows, cols] among a picture's ids, marks and text left out. ValueError if there are others."""
    codes = ids[(ids >= found.first) & (ids < found.first + found.num_codes)] - found.first
    if len(codes) != rows * cols:
        raise ValueError(f"{len(codes)} codes; {rows} rows of {cols} expected")
    return codes.reshape(rows, cols).astype(np.int32)


def emu3_size(width: int, height: int) -> tuple[int, int]:
    """(width, height): multiples of 8 of 512² to 1024² pixels at nearly the picture's aspect, which is at most 5:1.

    Source: smart_resize of baaivision/Emu3-VisionTokenizer.
    """
    if max(width, height) > EMU3_ASPECT * min(width, height) or min(width, height) < EMU3_FACTOR:
        raise InputError(
            Reason.IMAGE_SLIVER,
            f"image of {width}x{height} pixels; at most {EMU3_ASPECT}:1 and at least {EMU3_FACTOR} a side expected by "
            "Emu3; crop or drop it",
        )
    return smart_resize(width, height, EMU3_FACTOR, *EMU3_PIXELS)


def _emu3(picture: Image.Image) -> Image.Image:
    return picture.resize(emu3_size(*picture.size), Image.Resampling.BICUBIC)


def _chameleon(picture: Image.Image) -> Image.Image:
    """The middle square with a short side of 512 pixels. Source: image_tokenizer.py of facebookresearch/chameleon."""
    return _middle(picture, CHAMELEON_SIDE, Image.Resampling.LANCZOS)


def _llamagen(picture: Image.Image) -> Image.Image:
    """The middle square of 256 pixels, halved as often as that goes first.

    Source: center_crop_arr of FoundationVision/LlamaGen, which is that of OpenAI's guided-diffusion.
    """
    _refuse_slivers(picture)
    while min(picture.size) >= 2 * LLAMAGEN_SIDE:
        picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
    return _middle(picture, LLAMAGEN_SIDE, Image.Resampling.BICUBIC)


def _middle(picture: Image.Image, side: int, resample: Image.Resampling) -> Image.Image:
    """Resized so that the short side is `side`, and cut to a square in the middle."""
    _refuse_slivers(picture)
    scale = side / min(picture.size)
    width, height = round(picture.width * scale), round(picture.height * scale)
    left, top = (width - side) // 2, (height - side) // 2
    return picture.resize((width, height), resample).crop((left, top, left + side, top + side))


def _refuse_slivers(picture: Image.Image) -> None:
    """InputError above 200:1: resized to 512 pixels, its long side would have over 100,000."""
    if max(picture.size) > MAX_ASPECT * min(picture.size):
        size = f"{picture.width}x{picture.height}"
        raise InputError(
            Reason.IMAGE_SLIVER, f"image of {size} pixels; at most {MAX_ASPECT}:1 expected; crop or drop it"
        )


def _square(side: int) -> Callable[[int, int], tuple[int, int]]:
    return lambda _, __: (side, side)


LAYOUTS: Mapping[LayoutName, Layout] = {
    "chameleon": Layout((16,), ("boi", "eoi"), _chameleon, _square(CHAMELEON_SIDE)),
    "emu3": Layout((8,), ("boi", "img", "eol", "eof", "eoi"), _emu3, emu3_size),
    "llamagen": Layout((16, 8), (), _llamagen, _square(LLAMAGEN_SIDE)),
}
"""1,024 codes a picture, 4,096 to 16,384, and 256 (with 16 pixels a code)."""
