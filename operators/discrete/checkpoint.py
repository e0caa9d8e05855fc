"""The VQ encoders of Chameleon and Emu3 from a local folder: config.json and safetensors, nothing from the network.

The folder is that of the VQ model alone (save_pretrained), or of the whole model, of which its part is read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from operators.discrete.located import KINDS, read_vq_config
from operators.discrete.patches import LEVELS, Codes
from pipeline.errors import ConfigError

PART = "vqmodel."
"""What the names of its weights have before theirs in a whole model."""
EMU3_MIDDLE = 0.5
"""Emu3's processor has this mean and deviation; Chameleon's maps 0..255 to -1..1 by the same formula."""


class VQCoder:
    """Codes pictures by the encoder of a folder, in float32 on one device.

    Convolutions differ in their last bits from device to device, so codes may, too: the recipe names the device.
    """

    def __init__(self, folder: Path, device: str) -> None:
        self._kind, config = read_vq_config(folder)
        import transformers

        self._device = torch.device(device)
        model, settings = (getattr(transformers, name) for name in KINDS[self._kind])
        try:
            self._model = model(settings(**{k: v for k, v in config.items() if k != "model_type"}))
            lacking, unknown = self._model.load_state_dict(_weights(folder), strict=False)
        except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
            said = " ".join(str(error).split())[:200]
            raise ConfigError(f"codebook {folder} does not open: {said}; download the whole folder again") from error
        if lacking or unknown:
            wrong = f"lacks {lacking[0]}" if lacking else f"has {unknown[0]}, which its config does not know"
            raise ConfigError(f"codebook {folder} {wrong}; download the whole folder again")
        self._model.to(self._device).eval()

    @torch.inference_mode()
    def __call__(self, picture: np.ndarray) -> Codes:
        """int32 [rows, cols] of a picture uint8 [h, w, 3] whose sides are multiples of the encoder's downsampling."""
        levels = torch.from_numpy(picture.copy()).to(self._device).permute(2, 0, 1)[None].float()
        pixels = (levels / LEVELS - EMU3_MIDDLE) / EMU3_MIDDLE
        rows, cols = (side // self._downsample for side in picture.shape[:2])
        if self._kind == "emu3_vqgan":
            tokens = self._model.encode(pixels, torch.tensor([picture.shape[:2]])).image_tokens[0]
        else:
            tokens = self._model.encode(pixels).image_tokens
        found: Codes = tokens.reshape(rows, cols).cpu().numpy().astype(np.int32)
        return found

    @property
    def _downsample(self) -> int:
        return int(1 << (len(self._model.config.channel_multiplier) - 1))


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    """The VQ model's weights by its own names; nothing else of a whole model is read."""
    places: dict[str, Path] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            places |= dict.fromkeys(file.keys(), path)
    if any(PART in name for name in places):
        places = {name: path for name, path in places.items() if PART in name}
    found: dict[str, torch.Tensor] = {}
    for path in sorted({*places.values()}):
        with safe_open(path, "pt") as file:
            found |= {name.rpartition(PART)[2]: file.get_tensor(name) for name in places if places[name] == path}
    return found
