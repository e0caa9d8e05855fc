"""WordPiece matches greedily from the left; trained or from a vocab.txt, its special tokens are guarded."""

import json

import pytest

from operators.tokenizers.opening import open_tokenizer
from operators.tokenizers.wordpiece import train_wordpiece
from pipeline.errors import ConfigError
from tests.operators.tokenizers.shipped import CORPUS
from tests.operators.tokenizers.trained_elsewhere import train_elsewhere

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "runn", "##ing", ",", "a", "\u2028"]
VOCAB = "\n".join([*PIECES, ""]).encode()
SPECIAL = ["<|image_pad|>", "<|endoftext|>"]


def pieces_of(text, vocab=VOCAB):
    return [PIECES[i] for i in open_tokenizer(vocab, []).encode([text])[0]]


def test_words_fall_into_the_longest_pieces_from_the_left():
    assert pieces_of("unaffable") == ["un", "##aff", "##able"]
    assert pieces_of("running, a") == ["runn", "##ing", ",", "a"]
    assert pieces_of("unknown a") == ["[UNK]", "a"]


def test_lines_may_end_as_on_windows():
    assert pieces_of("unaffable", VOCAB.replace(b"\n", b"\r\n")) == ["un", "##aff", "##able"]
    assert open_tokenizer(VOCAB, []).size == len(PIECES)


def test_a_vocabulary_without_capitals_lower_cases():
    assert pieces_of("UNÁFFable") == ["un", "##aff", "##able"]
    cased = open_tokenizer(VOCAB + b"B\n", [])
    assert cased.encode(["Unaffable B"]) == [[1, len(PIECES)]]


def test_berts_special_tokens_keep_their_ids_and_the_unknown_token_is_not_special():
    tokenizer = open_tokenizer(VOCAB, ["[CLS]", "[PAD]", "[UNK]", "un"])
    size = len(PIECES)
    assert tokenizer.special_ids == {"[CLS]": 2, "[PAD]": 0, "[UNK]": size, "un": size + 1}
    assert set(tokenizer.encode(["[CLS] [PAD]"])[0]) == {1}


def test_ends_follow_dropped_blanks_and_accents():
    ids, ends = open_tokenizer(VOCAB, []).encode_with_ends("  una\u0301ffable  , ")
    assert [PIECES[i] for i in ids] == ["un", "##aff", "##able", ","]
    assert ends == [4, 8, 12, 16]


def test_the_same_texts_give_the_same_file_in_any_process_and_number_of_threads():
    here = train_wordpiece(CORPUS, vocab_size=400, special=SPECIAL)
    for threads in (1, 2):
        assert train_elsewhere("wordpiece", "train_wordpiece", threads) == here


def test_trained_words_are_pieces_and_special_tokens_come_first():
    tokenizer = open_tokenizer(train_wordpiece(CORPUS, vocab_size=200, special=SPECIAL).encode(), SPECIAL)
    assert (tokenizer.special_ids, tokenizer.num_added) == ({"<|image_pad|>": 0, "<|endoftext|>": 1}, 0)
    assert tokenizer.size <= 200
    assert len(tokenizer.encode(["pictures"])[0]) == 1
    assert tokenizer.decode(tokenizer.encode(["Small pictures, \n layers"])[0]) == "Small pictures, layers"


def test_case_is_kept_unless_it_is_to_go():
    kept, dropped = (
        json.loads(train_wordpiece(CORPUS, vocab_size=300, special=[], lowercase=lowercase))["model"]["vocab"]
        for lowercase in (False, True)
    )
    assert "Layers" in kept
    assert "layers" in dropped
    assert not any(letter.isupper() for piece in set(dropped) - {"[UNK]"} for letter in piece)


def test_rare_letters_are_left_out_of_the_alphabet():
    rare = [*CORPUS, "picture\u4e00"]
    assert "\u4e00" not in train_wordpiece(rare, vocab_size=400, special=[])
    assert "\u4e00" in train_wordpiece([*rare * 2, *["\u4e00"] * 500], vocab_size=400, special=[])


def test_no_text_and_too_few_pieces_are_refused():
    with pytest.raises(ConfigError, match="there is no text"):
        train_wordpiece(["", " "], vocab_size=400, special=[])
    with pytest.raises(ConfigError, match="its special tokens and alphabet are"):
        train_wordpiece(CORPUS, vocab_size=20, special=[])
