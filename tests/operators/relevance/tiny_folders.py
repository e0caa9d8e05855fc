"""Folders of SigLIP, SigLIP2 and CLIP with random weights and a tokenizer of a few words, as save_pretrained writes."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    PreTrainedTokenizerFast,
    Siglip2Config,
    Siglip2ImageProcessorPil,
    Siglip2Model,
    Siglip2Processor,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipProcessor,
)

SIDE, PATCH, LENGTH = 32, 8, 16
WORDS = ("<pad>", "<bos>", "<eos>", "<unk>", "a", "the", "red", "blue", "star", "square", "on", "left")


def save_tiny(kind: str, folder: Path) -> Path:
    """A folder of the family `kind`, with numbers of its own for mean and deviation."""
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = tower | {"vocab_size": len(WORDS), "max_position_embeddings": LENGTH}
    text |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    vision = tower | {"patch_size": PATCH}
    vision |= {"num_patches": (SIDE // PATCH) ** 2} if kind == "siglip2" else {"image_size": SIDE}
    colours = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]}
    tokenizer = tiny_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "clip":
            model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24))
            size = {"shortest_edge": SIDE}
            images = CLIPImageProcessorPil(size=size, crop_size={"height": SIDE, "width": SIDE}, **colours)
            processor = CLIPProcessor(images, tokenizer)
        elif kind == "siglip":
            model = SiglipModel(SiglipConfig(text_config=text | {"projection_size": 32}, vision_config=vision))
            images = SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}, **colours)
            processor = SiglipProcessor(images, tokenizer)
        else:
            model = Siglip2Model(Siglip2Config(text_config=text | {"projection_size": 32}, vision_config=vision))
            images = Siglip2ImageProcessorPil(patch_size=PATCH, max_num_patches=(SIDE // PATCH) ** 2, **colours)
            processor = Siglip2Processor(images, tokenizer)
        # As initialised, all texts and all regions lie within a thousandth of each other.
        for name, value in model.named_parameters():
            if name.endswith("weight") and value.dim() > 1:
                torch.nn.init.normal_(value, std=0.25)
    model.save_pretrained(folder)
    if kind == "siglip":  # as the checkpoints on the hub have it
        processor.image_processor.save_pretrained(folder)
        processor.tokenizer.save_pretrained(folder)
    else:
        processor.save_pretrained(folder)
    return folder


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Whole words between marks."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = [("<bos>", 1), ("<eos>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A <eos>", special_tokens=marks)
    names = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LENGTH, **names)
