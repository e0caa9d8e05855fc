"""Opens a local folder of SigLIP, SigLIP2 or CLIP as a dual encoder: safetensors alone, nothing from the network.

Pixels and texts are prepared as the family's own transformers processor prepares regions of the model's own size.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from operators.relevance.batching import check_regions, in_batches, padded
from pipeline.errors import ConfigError

MODELS = {"siglip": "SiglipModel", "siglip2": "Siglip2Model", "clip": "CLIPModel"}
"""Classes by model_type. Most SigLIP2 checkpoints are `siglip`; `siglip2` are those of any aspect (NaFlex)."""
REGIONS = {"cuda": 128, "cpu": 16}
"""Regions per forward pass, always: the last pass is padded."""
TEXTS = 16
"""Texts per forward pass, likewise."""
READ = (".safetensors", ".json", ".model", ".txt")
"""Suffixes of the files that a model, its processor or its tokenizer may be read from."""


class FolderEncoder:
    """Both towers of a folder. In bfloat16 on cuda, in float32 on the CPU, unless `dtype` says otherwise."""

    def __init__(self, folder: Path, device: str, dtype: str | None = None) -> None:
        config = _read_config(folder)
        if find_spec("transformers") is None:
            raise ConfigError(
                f"encoder {folder} needs transformers, which is not installed; pip install 'lodepack[encoders]'"
            )
        import transformers

        self.dtype = dtype or ("bfloat16" if device == "cuda" else "float32")
        self._dtype = getattr(torch, self.dtype)
        self._device = torch.device(device)
        self._kind = config["model_type"]
        self._regions, self._texts = REGIONS[self._device.type], TEXTS
        try:
            self._model: Any = getattr(transformers, MODELS[self._kind]).from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=self._dtype
            )
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
            first = " ".join(str(error).split())[:200]
            raise ConfigError(f"encoder {folder} does not open: {first}; download the whole folder again") from error
        self._model.to(self._device).eval()
        vision = self._model.config.vision_config
        self._patch = vision.patch_size
        self.side = math.isqrt(vision.num_patches) * self._patch if self._kind == "siglip2" else vision.image_size
        self.sharpness = float(self._model.logit_scale.detach().float().exp())
        self.identity = _identity(folder)
        self._mean, self._std = (
            torch.tensor(values, device=self._device).view(3, 1, 1) for values in _normalisation(folder)
        )

    @torch.inference_mode()
    def cosines(
        self, regions: np.ndarray, places: np.ndarray, queries: Sequence[str], owners: np.ndarray
    ) -> np.ndarray:
        check_regions(regions, places, self.side, queries, owners)
        if not len(regions):
            return np.zeros(0, np.float32)
        said = self._said(queries)
        owner = owners.astype(np.int64)

        def fit(rows: slice, size: int) -> torch.Tensor:
            seen = self._seen(self._moved(padded(regions[rows], size)))
            asked = said[self._moved(padded(owner[rows], size))]
            return (seen * asked).sum(dim=1)[: rows.stop - rows.start]

        found, self._regions = in_batches(len(regions), self._regions, fit)
        return np.asarray(torch.cat(found).cpu().numpy())

    def _said(self, queries: Sequence[str]) -> torch.Tensor:
        """A row a query, float32 of length 1; each text goes through once. Zeros for a text without words."""
        numbers = {text: i for i, text in enumerate(dict.fromkeys(queries))}
        texts = list(numbers)

        def embed(rows: slice, size: int) -> torch.Tensor:
            part = texts[rows]
            tokens = self._tokenizer(
                part + [""] * (size - len(part)),
                padding="max_length",
                truncation=True,
                max_length=self._model.config.text_config.max_position_embeddings,
                return_tensors="pt",
            )
            inputs = {name: self._moved(value) for name, value in tokens.items()}
            has_words = self._moved(torch.tensor([bool(text.strip()) for text in part]))
            out = self._model.get_text_features(**inputs).pooler_output[: len(part)]
            return functional.normalize(out.float()) * has_words[:, None]

        found, self._texts = in_batches(len(texts), self._texts, embed)
        return torch.cat(found)[torch.tensor([numbers[text] for text in queries], device=self._device)]

    def _seen(self, regions: torch.Tensor) -> torch.Tensor:
        """A row a region, float32 of length 1. regions: uint8 [n, side, side, 3]."""
        pixels = ((regions.movedim(-1, 1).float() / 255 - self._mean) / self._std).to(self._dtype)
        inputs: dict[str, torch.Tensor] = {"pixel_values": pixels}
        if self._kind == "siglip2":
            count = self.side // self._patch
            patches = pixels.unflatten(3, (count, self._patch)).unflatten(2, (count, self._patch))
            shape = torch.full((len(pixels), 2), count, device=self._device)
            inputs = {
                "pixel_values": patches.permute(0, 2, 4, 3, 5, 1).reshape(len(pixels), count * count, -1),
                "pixel_attention_mask": torch.ones(len(pixels), count * count, dtype=torch.int32, device=self._device),
                "spatial_shapes": shape,
            }
        return functional.normalize(self._model.get_image_features(**inputs).pooler_output.float())

    def _moved(self, values: torch.Tensor) -> torch.Tensor:
        if self._device.type == "cuda":
            return values.pin_memory().to(self._device, non_blocking=True)
        return values


def _read_config(folder: Path) -> dict[str, Any]:
    """config.json of a folder that holds one of MODELS in safetensors; ConfigError says what it lacks."""
    path = folder / "config.json"
    if not path.is_file():
        raise ConfigError(f"encoder {folder} has no config.json; give the folder of a SigLIP, SigLIP2 or CLIP model")
    config = _read_json(path)
    kind = config.get("model_type")
    if kind not in MODELS:
        raise ConfigError(f"encoder {folder} has model_type {kind!r}; one of {', '.join(MODELS)} is expected")
    if not any(folder.glob("*.safetensors")):
        held = "weights as pickles alone" if any(folder.glob("*.bin")) else "no weights"
        raise ConfigError(f"encoder {folder} holds {held}; model.safetensors is expected: save it with save_pretrained")
    return config


def _normalisation(folder: Path) -> tuple[list[float], list[float]]:
    """Mean and deviation of each colour, from preprocessor_config.json or, as newer versions write, the processor's."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            found = _read_json(folder / name)
            found = found.get("image_processor", found)
            if "image_mean" in found and "image_std" in found:
                return found["image_mean"], found["image_std"]
    raise ConfigError(
        f"encoder {folder} has no preprocessor_config.json with image_mean and image_std; download it with the weights"
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON: {error}; download it again") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds no JSON object; download it again")
    return found


def _identity(folder: Path) -> str:
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in READ):
        with path.open("rb") as file:
            whole.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()
