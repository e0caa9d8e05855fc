"""Where an encoder's files are, and what they are by content: for a recipe, whose reader must not wait for torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError

SHIPPED = Path(__file__).with_name("encoder.safetensors")
MODELS = {"siglip": "SiglipModel", "siglip2": "Siglip2Model", "clip": "CLIPModel"}
"""Classes by model_type. Most SigLIP2 checkpoints are `siglip`; `siglip2` are those of any aspect (NaFlex)."""
READ = (".safetensors", ".json", ".model", ".txt")
"""Suffixes of the files of a folder that a model, its processor or its tokenizer may be read from."""


def located(path: str | None) -> Path:
    """The file of a small encoder, or the folder of a SigLIP, SigLIP2 or CLIP; None: the one that ships.

    ConfigError says in one line what is wrong with it, as far as its names and its config.json tell.
    """
    if path is None:
        return SHIPPED
    where = Path(path)
    if where.is_dir():
        read_config(where)
    elif not where.is_file():
        raise ConfigError(f"no encoder at {path}; give a folder of SigLIP or CLIP, a .safetensors file, or null")
    elif where.suffix != ".safetensors":
        raise ConfigError(f"{path} is no encoder; a folder of SigLIP or CLIP, or a .safetensors file, is expected")
    return where


def dtype_of(path: str | None, device: str) -> str:
    """What the encoder at a path computes in on `cpu` or `cuda`."""
    return "bfloat16" if device == "cuda" and located(path).is_dir() else "float32"


def identity_of(where: Path) -> str:
    """sha256 of a file; of a folder that of the names and contents of all files that are read."""
    if where.is_file():
        return hashlib.sha256(where.read_bytes()).hexdigest()
    whole = hashlib.sha256()
    for path in sorted(path for path in where.iterdir() if path.suffix in READ):
        with path.open("rb") as file:
            whole.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a folder that holds one of MODELS in safetensors; ConfigError says what it lacks."""
    path = folder / "config.json"
    if not path.is_file():
        raise ConfigError(f"encoder {folder} has no config.json; give the folder of a SigLIP, SigLIP2 or CLIP model")
    config = read_json(path)
    kind = config.get("model_type")
    if kind not in MODELS:
        raise ConfigError(f"encoder {folder} has model_type {kind!r}; one of {', '.join(MODELS)} is expected")
    if not any(folder.glob("*.safetensors")):
        held = "weights as pickles alone" if any(folder.glob("*.bin")) else "no weights"
        raise ConfigError(f"encoder {folder} holds {held}; model.safetensors is expected: save it with save_pretrained")
    return config


def read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON: {error}; download it again") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds no JSON object; download it again")
    return found
