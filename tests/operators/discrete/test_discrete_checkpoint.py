import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import ChameleonVQVAE, ChameleonVQVAEConfig, Emu3VQVAE, Emu3VQVAEConfig

from operators.discrete.checkpoint import VQCoder
from operators.discrete.located import read_vq_config, size_of
from operators.discrete.quantise import Nearest
from pipeline.errors import ConfigError


def chameleon(folder):
    torch.manual_seed(0)
    model = ChameleonVQVAE(
        ChameleonVQVAEConfig(
            embed_dim=8, num_embeddings=64, latent_channels=8, base_channels=32, num_res_blocks=1, resolution=64
        )
    )
    model.save_pretrained(folder)
    return model


def emu3(folder):
    torch.manual_seed(0)
    model = Emu3VQVAE(
        Emu3VQVAEConfig(codebook_size=64, base_channels=32, num_res_blocks=1, hidden_size=128, attn_resolutions=())
    )
    with torch.no_grad():
        model.quantize.embedding.weight.normal_()
    model.save_pretrained(folder)
    return model


def picture(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_chameleon_codes_are_the_nearest_of_its_latents(tmp_path):
    model = chameleon(tmp_path)
    assert size_of(*read_vq_config(tmp_path)) == (64, 16)
    given = picture(64, 64)
    codes = VQCoder(tmp_path, "cpu")(given)
    assert (codes.shape, codes.dtype) == ((4, 4), np.int32)
    pixels = torch.from_numpy(given).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.inference_mode():
        latents = model.quant_conv(model.encoder(pixels))[0].permute(1, 2, 0).reshape(16, -1)
    nearest = Nearest(model.quantize.embedding.weight.detach().numpy())(latents.numpy())
    assert codes.ravel().tolist() == nearest.tolist()
    assert len(set(nearest.tolist())) > 1


def test_emu3_codes_follow_the_picture_s_shape(tmp_path):
    emu3(tmp_path)
    assert size_of(*read_vq_config(tmp_path)) == (64, 8)
    codes = VQCoder(tmp_path, "cpu")(picture(32, 48))
    assert codes.shape == (4, 6)
    assert len(set(codes.ravel().tolist())) > 1
    assert (codes == VQCoder(tmp_path, "cpu")(picture(32, 48))).all()


def test_the_part_of_a_whole_model_is_read(tmp_path):
    chameleon(tmp_path / "part")
    whole = tmp_path / "whole"
    whole.mkdir()
    config = json.loads((tmp_path / "part" / "config.json").read_text())
    (whole / "config.json").write_text(json.dumps({"model_type": "chameleon", "vq_config": config}))
    weights = load_file(tmp_path / "part" / "model.safetensors")
    save_file(
        {f"model.vqmodel.{name}": value for name, value in weights.items()} | {"model.norm.weight": torch.ones(3)},
        whole / "model.safetensors",
    )
    given = picture(32, 32)
    assert (VQCoder(whole, "cpu")(given) == VQCoder(tmp_path / "part", "cpu")(given)).all()


def test_what_a_folder_lacks_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"no config\.json"):
        VQCoder(tmp_path, "cpu")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ConfigError, match="model_type 'llama'"):
        VQCoder(tmp_path, "cpu")
    (tmp_path / "config.json").write_text('{"model_type": "emu3_vqgan"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ConfigError, match="pickles alone"):
        VQCoder(tmp_path, "cpu")
    chameleon(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("quantize.embedding.weight")
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match=r"lacks quantize\.embedding\.weight"):
        VQCoder(tmp_path, "cpu")
