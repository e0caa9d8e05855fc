"""Special tokens of a tokenizer.json keep their ids, and no model finds their letters in a text."""

import json

import pytest

from operators.tokenizers.tokenizer_json import JsonTokenizer
from pipeline.errors import ConfigError
from tests.operators.tokenizers.shipped import added, bpe


def file_of(model, *tokens, **fields):
    return {"version": "1.0", "added_tokens": list(tokens), "model": model} | fields


def bpe_of(pieces, merges, **fields):
    return {"type": "BPE", "vocab": {piece: i for i, piece in enumerate(pieces)}, "merges": merges} | fields


def test_merges_that_end_in_a_special_token_are_dropped():
    model = bpe_of(["<", "s", ">", "s>", "<s>", "ss"], ["s >", "< s>", "s s"])
    tokenizer = JsonTokenizer(file_of(model, added(4, "<s>", special=True)), ["<s>"])
    assert (tokenizer.special_ids, tokenizer.num_added) == ({"<s>": 4}, 0)
    assert tokenizer.encode(["<s>ss>"]) == [[0, 3, 1, 3]]


def test_merges_may_be_pairs_and_have_a_prefix():
    model = bpe_of(["a", "##b", "ab"], [["a", "##b"]], continuing_subword_prefix="##")
    tokenizer = JsonTokenizer(file_of(model, added(2, "ab", special=True)), ["ab"])
    assert tokenizer.encode(["ab"]) == [[0, 1]]


def test_words_that_skip_merges_are_not_special_tokens():
    model = bpe_of(["a", "b", "ab"], [], ignore_merges=True)
    assert JsonTokenizer(file_of(model), ["ab"]).encode(["ab"]) == [[2]]
    assert JsonTokenizer(file_of(model, added(2, "ab", special=True)), ["ab"]).encode(["ab"]) == [[0, 1]]


@pytest.mark.parametrize("literal", ["a", "ab", "<0x41>", "<unk>"])
def test_pieces_that_text_needs_are_not_trusted(literal):
    pieces = ["<unk>", "<0x41>", "a", "b", "ab", "abb"]
    model = bpe_of(pieces, ["a b", "ab b"], unk_token="<unk>", byte_fallback=True)
    tokenizer = JsonTokenizer(file_of(model, added(pieces.index(literal), literal, special=True)), [literal])
    assert (tokenizer.special_ids, tokenizer.num_added) == ({literal: 6}, 1)
    assert tokenizer.encode(["abb"]) == [[5]]


def test_pieces_that_are_no_added_tokens_are_not_trusted():
    model = bpe_of(["a", "b", "<image>"], [])
    assert JsonTokenizer(file_of(model), ["<image>"]).special_ids == {"<image>": 3}


def test_unigram_finds_no_control_piece_in_text():
    vocab = [["<unk>", 0.0], ["</s>", 0.0], ["a", -1.0], ["</", -2.0], ["s>", -2.0], ["<image>", 0.0]]
    tokens = [added(0, "<unk>", special=True), added(1, "</s>", special=True), added(5, "<image>", special=True)]
    plain = added(6, "a a", special=False)
    model = {"type": "Unigram", "unk_id": 0, "vocab": vocab}
    tokenizer = JsonTokenizer(file_of(model, *tokens, plain), ["</s>", "<image>", "<new>"])
    assert tokenizer.special_ids == {"</s>": 1, "<image>": 5, "<new>": 7}
    assert tokenizer.encode(["a</s>a a"]) == [[2, 3, 4, 6]]
    assert not {1, 5} & set(tokenizer.encode(["<image>"])[0])
    assert tokenizer.decode([1, 6, 5, 7]) == "a a"


def test_word_pieces_of_the_same_letters_are_hidden():
    vocab = {"[UNK]": 0, "IMAGE": 1, "IM": 2, "##AGE": 3}
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "vocab": vocab}
    fields = model | {"max_input_chars_per_word": 100}
    tokenizer = JsonTokenizer(file_of(fields, added(1, "IMAGE", special=True)), ["IMAGE"])
    assert tokenizer.encode(["IMAGE"]) == [[2, 3]]
    assert tokenizer.special_ids == {"IMAGE": 1}


def test_other_added_tokens_stay_and_keep_their_ids_beside_gaps():
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1, "<": 2, "z": 4}, "merges": []}
    tokens = [added(3, "<pad>", special=True), added(7, "<think>", special=False), added(12, "  ", special=False)]
    tokenizer = JsonTokenizer(file_of(model, *tokens), ["<pad>"])
    assert tokenizer.encode(["a<think>b  z"]) == [[0, 7, 1, 12, 4]]
    assert (tokenizer.size, tokenizer.special_ids) == (13, {"<pad>": 3})


def test_an_added_token_that_the_profile_names_is_special():
    model = bpe_of(["a", "<", "t", ">"], [])
    file = file_of(model, added(4, "<t>", special=False))
    assert JsonTokenizer(file, []).encode(["a<t>"]) == [[0, 4]]
    assert JsonTokenizer(file, ["<t>"]).encode(["a<t>"]) == [[0, 1, 2, 3]]
    assert JsonTokenizer(file, ["<t>"]).special_ids == {"<t>": 4}


def test_nothing_is_added_cut_or_padded():
    template = {"type": "BertProcessing", "sep": ["<s>", 0], "cls": ["<s>", 0]}
    cut = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    pad = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "<s>"}
    pad |= {"pad_to_multiple_of": None}
    file = file_of(bpe_of(["<s>", "a"], []), post_processor=template, truncation=cut, padding=pad)
    assert JsonTokenizer(file, []).encode(["aaaa"]) == [[1, 1, 1, 1]]


def test_the_file_that_was_given_is_left_alone():
    file = json.loads(bpe())
    before = json.dumps(file)
    JsonTokenizer(file, ["word"])
    assert json.dumps(file) == before


@pytest.mark.parametrize(
    "model",
    [
        {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]},
        {"type": "Unigram", "unk_id": None, "vocab": [["a", -1.0]]},
        {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"},
        {"type": "Unigram", "unk_id": 9, "vocab": [["a", -1.0]]},
        {"type": "BPE", "vocab": {}, "merges": []},
        {"type": "Magic", "vocab": {"a": 0}},
        {"vocab": 3},
    ],
)
def test_files_that_cannot_encode_every_text_are_refused(model):
    with pytest.raises(ConfigError, match=r"^here\.json is no tokenizer\.json that tokenizers .* reads") as error:
        JsonTokenizer(file_of(model), [], "here.json")
    assert "\n" not in str(error.value)
