"""Training byte-level BPE: the same texts give the same file, and special tokens are guarded in it."""

import pytest

from operators.tokenizers.bytelevel import train_bytelevel
from operators.tokenizers.opening import open_tokenizer
from pipeline.errors import ConfigError
from tests.operators.tokenizers.shipped import CORPUS
from tests.operators.tokenizers.trained_elsewhere import train_elsewhere

SPECIAL = ["<|image_pad|>", "<|endoftext|>"]


def test_the_same_texts_give_the_same_file_in_any_process_and_number_of_threads():
    here = train_bytelevel(CORPUS, vocab_size=400, special=SPECIAL)
    for threads in (1, 2):
        assert train_elsewhere("bytelevel", "train_bytelevel", threads) == here


def test_special_tokens_come_first_and_text_does_not_reach_them():
    file = train_bytelevel([*CORPUS, *["<|image_pad|>"] * 500], vocab_size=400, special=SPECIAL)
    tokenizer = open_tokenizer(file.encode(), SPECIAL)
    assert tokenizer.special_ids == {"<|image_pad|>": 0, "<|endoftext|>": 1}
    assert tokenizer.num_added == 0
    assert 2 + 256 < tokenizer.size <= 400
    assert 0 not in tokenizer.encode(["<|image_pad|>"])[0]


def test_digits_stand_alone_and_frequent_words_do_not_fall_apart():
    tokenizer = open_tokenizer(train_bytelevel(CORPUS, vocab_size=400, special=[]).encode(), [])
    assert [tokenizer.decode([i]) for i in tokenizer.encode(["pictures 2024"])[0]][-4:] == ["2", "0", "2", "4"]
    assert len(tokenizer.encode([" pictures"])[0]) == 1


def test_no_text_and_too_few_pieces_are_refused():
    with pytest.raises(ConfigError, match="there is no text"):
        train_bytelevel(["", ""], vocab_size=400, special=[])
    with pytest.raises(ConfigError, match="256 bytes and 2 special tokens must fit; try more pieces"):
        train_bytelevel(CORPUS, vocab_size=257, special=SPECIAL)
