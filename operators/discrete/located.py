"""What a codebook is, by its file or its folder's config: for a recipe, whose reader must not wait for torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from operators.discrete.codebook import load_codebook
from operators.relevance.located import identity_of, read_json
from pipeline.errors import ConfigError

KINDS = {
    "chameleon_vqgan": ("ChameleonVQVAE", "ChameleonVQVAEConfig"),
    "emu3_vqgan": ("Emu3VQVAE", "Emu3VQVAEConfig"),
}
"""Classes of transformers by model_type of the VQ part."""
WHOLE = {"chameleon": "chameleon_vqgan", "emu3": "emu3_vqgan"}
"""The same by model_type of the whole model, whose config has it as `vq_config`."""


@dataclass(frozen=True, slots=True)
class Found:
    """A codebook before it is opened."""

    num_codes: int
    downsample: int
    """Pixels of a code's side."""
    identity: str
    """sha256 of the file, or of all files of the folder."""
    is_exact: bool
    """Whether every device gives a picture the same codes."""


def find_codebook(path: Path) -> Found:
    """The codebook of a safetensors file of patches, or of a folder of a VQ encoder. ConfigError says what is wrong."""
    if path.is_dir():
        return Found(*size_of(*read_vq_config(path)), identity_of(path), is_exact=False)
    if not path.is_file():
        raise ConfigError(
            f"no codebook at {path}; fit one with: lodepack codebook train JOB.yaml --output {path.name}, or give a "
            "folder of Chameleon or Emu3"
        )
    book = load_codebook(path)
    return Found(book.num_codes, book.downsample, identity_of(path), book.is_exact)


def read_vq_config(folder: Path) -> tuple[str, dict[str, Any]]:
    """The kind of KINDS and the config of its VQ model; ConfigError says what a folder lacks."""
    path = folder / "config.json"
    if not path.is_file():
        raise ConfigError(f"codebook {folder} has no config.json; give the folder of a Chameleon or Emu3 model")
    config = read_json(path)
    kind = config.get("model_type")
    if kind in WHOLE and isinstance(config.get("vq_config"), dict):
        kind, config = WHOLE[kind], config["vq_config"]
    if kind not in KINDS:
        known = ", ".join([*KINDS, *WHOLE])
        raise ConfigError(f"codebook {folder} has model_type {kind!r}; one of {known} is expected")
    if not any(folder.glob("*.safetensors")):
        held = "weights as pickles alone" if any(folder.glob("*.bin")) else "no weights"
        raise ConfigError(f"codebook {folder} holds {held}; safetensors are expected: save it with save_pretrained")
    if find_spec("transformers") is None:
        raise ConfigError(
            f"codebook {folder} needs transformers, which is not installed; pip install 'lodepack[encoders]'"
        )
    return kind, config


def size_of(kind: str, config: dict[str, Any]) -> tuple[int, int]:
    """(number of codes, pixels of a code's side) as a config has them, or its class by default."""
    default = (8192, 5) if kind == "chameleon_vqgan" else (32768, 4)
    num_codes = config.get("num_embeddings" if kind == "chameleon_vqgan" else "codebook_size", default[0])
    levels = len(config["channel_multiplier"]) if "channel_multiplier" in config else default[1]
    return int(num_codes), 1 << (levels - 1)
