"""A codebook of patches: what each id looks like, in a safetensors file that says how pictures are cut for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from operators.discrete.patches import LEVELS, Codes, joined
from pipeline.errors import ConfigError

KIND = "patches"
TENSOR = "codes"
CHANNELS = 3
FIELDS = {"kind", "downsample", "low", "high"}
METADATA = "codebook"
"""One entry that holds FIELDS as JSON: of several, safetensors writes another order every time."""


@dataclass(frozen=True, eq=False)
class PatchCodebook:
    """codes: float32 [K, downsample * downsample * 3], patches row by row, colours from `low` (black) to `high`."""

    codes: np.ndarray
    downsample: int
    """Pixels of a code's side."""
    low: float = 0.0
    high: float = float(LEVELS)

    @property
    def num_codes(self) -> int:
        return len(self.codes)

    @property
    def is_exact(self) -> bool:
        """Whether its codes are 8-bit levels: then every device finds the same ones."""
        return (self.low, self.high) == (0.0, LEVELS) and bool((self.codes == np.rint(self.codes)).all())

    def decode(self, codes: Codes) -> np.ndarray:
        """The picture of codes [rows, cols]: uint8 [rows * downsample, cols * downsample, 3]."""
        values = (self.codes[codes.ravel()].astype(np.float64) - self.low) * (LEVELS / (self.high - self.low))
        levels = np.rint(values).clip(0, LEVELS).astype(np.uint8)
        rows, cols = codes.shape
        return joined(levels, rows, cols, self.downsample)


def save_codebook(book: PatchCodebook, path: Path) -> None:
    """Writes the file; the same codebook gives the same bytes."""
    fields = {"kind": KIND, "downsample": book.downsample, "low": book.low, "high": book.high}
    path.write_bytes(save({TENSOR: book.codes.astype(np.float32)}, {METADATA: json.dumps(fields)}))


def load_codebook(path: Path) -> PatchCodebook:
    """The codebook of a file. ConfigError in one line where it holds none, or one that cannot tell codes apart."""
    try:
        with safe_open(path, "numpy") as file:
            fields = json.loads((file.metadata() or {}).get(METADATA, "{}"))
            names = list(file.keys())
            codes = file.get_tensor(TENSOR) if TENSOR in names else None
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        said = " ".join(str(error).split())[:200]
        raise ConfigError(f"codebook {path} does not open: {said}; a safetensors file is expected") from error
    if codes is None or not isinstance(fields, dict) or fields.keys() != FIELDS or fields["kind"] != KIND:
        raise ConfigError(
            f"codebook {path} has {', '.join(names) or 'nothing'} and says {fields or 'nothing'}; {TENSOR} with "
            f"{', '.join(sorted(FIELDS))} expected, as `lodepack codebook train` writes them"
        )
    side, low, high = fields["downsample"], fields["low"], fields["high"]
    if type(side) is not int or not isinstance(low, int | float) or not isinstance(high, int | float):
        raise ConfigError(f"codebook {path} says {fields}; numbers are expected")
    if codes.dtype != np.float32 or codes.ndim != 2 or not len(codes) or side < 1 or not low < high:
        raise ConfigError(f"codebook {path} is {codes.dtype} {list(codes.shape)}; float32 [codes, values] expected")
    if codes.shape[1] != side * side * CHANNELS or not np.isfinite(codes).all():
        raise ConfigError(
            f"codebook {path} has {codes.shape[1]} values a code; {side * side * CHANNELS} numbers expected, patches "
            f"of {side}x{side} pixels"
        )
    if len(np.unique(codes, axis=0)) < len(codes):
        raise ConfigError(f"codebook {path} has a code twice; train it again: the second is never the nearest")
    return PatchCodebook(codes, side, low, high)
