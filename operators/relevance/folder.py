"""Opens a local folder of SigLIP, SigLIP2 or CLIP as a dual encoder: safetensors alone, nothing from the network.

Pixels and texts are prepared as the family's own transformers processor prepares regions of the model's own size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch.nn import functional

from operators.relevance.batching import check_regions, in_batches, padded
from operators.relevance.located import MODELS, dtype_of, identity_of, read_config, read_json
from pipeline.errors import ConfigError

REGIONS = {"cuda": 128, "cpu": 16}
"""Regions per forward pass, always: the last pass is padded."""
TEXTS = 16
"""Texts per forward pass, likewise."""


class FolderEncoder:
    """Both towers of a folder, in bfloat16 on cuda and in float32 on the CPU, unless `dtype` says otherwise.

    Where memory runs out its batches are half as large from then on, which may move the last bits of cosines.
    ConfigError in one line says what a folder lacks.
    """

    def __init__(self, folder: Path, device: str, dtype: str | None = None) -> None:
        config = read_config(folder)
        if find_spec("transformers") is None:
            raise ConfigError(
                f"encoder {folder} needs transformers, which is not installed; pip install 'lodepack[encoders]'"
            )
        import transformers

        self.dtype = dtype or dtype_of(str(folder), device)
        self._dtype = getattr(torch, self.dtype)
        self._device = torch.device(device)
        self._kind = config["model_type"]
        self._regions, self._texts = REGIONS[self._device.type], TEXTS
        colours = _normalisation(folder)
        try:
            self._model, loaded = _load(getattr(transformers, MODELS[self._kind]), folder, self._dtype)
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, RuntimeError, ImportError, KeyError, SafetensorError) as error:
            first = " ".join(str(error).split())[:200]
            raise ConfigError(f"encoder {folder} does not open: {first}; download the whole folder again") from error
        if loaded["missing_keys"]:  # transformers draws those at random and goes on
            raise ConfigError(
                f"encoder {folder} lacks weights, {min(loaded['missing_keys'])} among them; download it again"
            )
        self._model.to(self._device).eval()
        vision = self._model.config.vision_config
        self._patch = vision.patch_size
        self.side = math.isqrt(vision.num_patches) * self._patch if self._kind == "siglip2" else vision.image_size
        self._width = self._model.config.projection_dim if self._kind == "clip" else vision.hidden_size
        self.sharpness = float(self._model.logit_scale.detach().float().exp())
        self.identity = identity_of(folder)
        self._mean, self._std = (torch.tensor(values, device=self._device).view(3, 1, 1) for values in colours)

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

    @torch.inference_mode()
    def seen(self, regions: np.ndarray, places: np.ndarray) -> np.ndarray:
        check_regions(regions, places, self.side, [""], np.zeros(len(regions), np.int64))

        def look(rows: slice, size: int) -> torch.Tensor:
            return self._seen(self._moved(padded(regions[rows], size)))[: rows.stop - rows.start]

        found, self._regions = in_batches(len(regions), self._regions, look)
        return np.asarray(torch.cat(found).cpu().numpy()) if found else np.zeros((0, self._width), np.float32)

    @torch.inference_mode()
    def said(self, texts: Sequence[str]) -> np.ndarray:
        return np.asarray(self._said(texts).cpu().numpy()) if texts else np.zeros((0, self._width), np.float32)

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
            patches = pixels.reshape(len(pixels), 3, count, self._patch, count, self._patch)
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


def _load(family: Any, folder: Path, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    """The model of a folder, and what its loading found."""
    found: tuple[Any, dict[str, Any]] = family.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
    )
    return found


def _normalisation(folder: Path) -> tuple[list[float], list[float]]:
    """Mean and deviation of each colour, from preprocessor_config.json or, as newer versions write, the processor's."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            found = read_json(folder / name)
            found = found.get("image_processor", found)
            if "image_mean" in found and "image_std" in found:
                return found["image_mean"], found["image_std"]
    raise ConfigError(
        f"encoder {folder} has no preprocessor_config.json with image_mean and image_std; download it with the weights"
    )
