"""SentencePiece ids are the package's own, decode to the text they came from, and are never special by accident."""

import hashlib
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st

from operators.tokenizers.sentencepiece import SentencePieceTokenizer, train
from pipeline.errors import ConfigError

MODEL = (Path(__file__).resolve().parents[3] / "jobs/samples/tokenizer.model").read_bytes()
CONTROLS = ("<|image_pad|>", "<|vision_start|>", "<|vision_end|>", "<|endoftext|>")
TOKENIZER = SentencePieceTokenizer(MODEL, CONTROLS)
SPACE_MARK = "\u2581"
"""SentencePiece writes a space as this letter, so it alone cannot come back as itself."""

CORPUS = [f"word {i} of a small text about pictures, layers and brushes; number {i * 7919}" for i in range(300)]


def trained(path, **options):
    options = {"kind": "unigram", "vocab_size": 400, "control_symbols": CONTROLS} | options
    size = train(CORPUS, path, **options)
    return size, path.read_bytes()


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_characters=SPACE_MARK, exclude_categories=["Cs"]), max_size=60))
@example("")
@example(" ")
@example("  two  spaces  ")
@example("line\nline\n\n\r\n\ttab\t\t")
@example("a\0b\0")
@example("👨‍👩‍👧‍👦 🏳️‍🌈")
@example("שלום עולם مرحبا \u200f\u200e")
@example("日本語の文章、漢字。한국어")
@example("e\u0301 \u00e9 \ufb01 \u2028 \ufeff \u00a0")
@example("\U0010ffff\ue000\x7f\x80")
@example("</s><s><unk><pad><0x41>")
@example(" ⁇ ")
def test_decode_undoes_encode_on_any_text(text):
    (ids,) = TOKENIZER.encode([text])
    assert TOKENIZER.decode(ids) == text
    assert not set(TOKENIZER.special_ids.values()) & set(ids)


@settings(max_examples=50, deadline=None)
@given(st.text(st.sampled_from(" \n\tab<>|/_s\u2581"), max_size=40))
def test_only_the_space_mark_decodes_as_a_space(text):
    assert TOKENIZER.decode(TOKENIZER.encode([text])[0]) == text.replace(SPACE_MARK, " ")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=5))
def test_ids_are_those_of_the_sentencepiece_package(texts):
    package = sentencepiece.SentencePieceProcessor(model_proto=MODEL)
    assert TOKENIZER.encode(texts) == [package.encode(text) for text in texts]


def test_empty_text_gives_no_ids():
    assert TOKENIZER.encode([""]) == [[]]
    assert TOKENIZER.encode([]) == []


def test_control_symbols_are_taken_from_the_model():
    assert TOKENIZER.num_added == 0
    assert TOKENIZER.special_ids == {literal: 4 + i for i, literal in enumerate(CONTROLS)}
    assert TOKENIZER.size == sentencepiece.SentencePieceProcessor(model_proto=MODEL).get_piece_size()


def test_special_tokens_that_the_model_lacks_are_appended_in_order():
    base = TOKENIZER.size
    tokenizer = SentencePieceTokenizer(MODEL, ["<image>", "</s>", "<row>", "<|image_pad|>"])
    assert tokenizer.special_ids == {"<image>": base, "</s>": 2, "<row>": base + 1, "<|image_pad|>": 4}
    assert (tokenizer.num_added, tokenizer.size) == (2, base + 2)


@pytest.mark.parametrize("literal", ["<unk>", "<0x41>", "e", SPACE_MARK])
def test_pieces_that_are_no_control_symbols_are_not_trusted(literal):
    tokenizer = SentencePieceTokenizer(MODEL, [literal])
    assert tokenizer.special_ids[literal] == TOKENIZER.size
    assert tokenizer.num_added == 1


def test_user_defined_symbol_of_the_same_letters_is_not_trusted(tmp_path):
    prefix = tmp_path / "user"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_prefix=str(prefix),
        vocab_size=300,
        hard_vocab_limit=False,
        user_defined_symbols=["<|image_pad|>"],
        minloglevel=2,
    )
    model = prefix.with_suffix(".model").read_bytes()
    package = sentencepiece.SentencePieceProcessor(model_proto=model)
    forged = package.piece_to_id("<|image_pad|>")
    assert forged in package.encode("x <|image_pad|> y")
    tokenizer = SentencePieceTokenizer(model, ["<|image_pad|>"])
    assert tokenizer.special_ids["<|image_pad|>"] == package.get_piece_size()
    assert tokenizer.special_ids["<|image_pad|>"] not in tokenizer.encode(["x <|image_pad|> y"])[0]


def test_decode_leaves_special_tokens_out():
    (ids,) = TOKENIZER.encode(["some text"])
    added = SentencePieceTokenizer(MODEL, ["<new>"])
    mixed = [1, ids[0], *TOKENIZER.special_ids.values(), *ids[1:], added.special_ids["<new>"], 2]
    assert added.decode(mixed) == "some text"


@pytest.mark.parametrize("data", [b"", b"not a model", MODEL[: len(MODEL) // 2]])
def test_other_files_are_no_model(data):
    with pytest.raises(ConfigError, match=r"here\.model is no SentencePiece model"):
        SentencePieceTokenizer(data, CONTROLS, "here.model")


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_training_twice_gives_the_same_bytes(tmp_path, kind):
    size, first = trained(tmp_path / "a.model", kind=kind)
    assert trained(tmp_path / "b.model", kind=kind) == (size, first)
    tokenizer = SentencePieceTokenizer(first, CONTROLS)
    assert tokenizer.num_added == 0
    assert tokenizer.size == size
    for text in ("layers  of\nbrushes\t12345", "日本語 👨‍👩‍👧 \0", "<|image_pad|></s>"):
        (ids,) = tokenizer.encode([text])
        assert tokenizer.decode(ids) == text
        assert not set(tokenizer.special_ids.values()) & set(ids)


def test_failed_training_names_the_remedy_and_keeps_the_old_model(tmp_path):
    path = tmp_path / "old.model"
    path.write_bytes(MODEL)
    with pytest.raises(ConfigError, match="another --vocab-size"):
        trained(path, kind="bpe", vocab_size=100)
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(MODEL).digest()
    with pytest.raises(ConfigError):
        train([], tmp_path / "none.model", kind="unigram", vocab_size=400, control_symbols=())
    assert not (tmp_path / "none.model").exists()
