"""What every kind of tokenizer promises, on files that model families ship and on trained ones."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.operators.tokenizers.shipped import BYTE_COMPLETE, KINDS, MODELS, SPECIAL, opened

SPACE_MARK = "\u2581"
"""SentencePiece writes a space as this letter, so it alone cannot come back as itself."""

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
written = st.text(st.sampled_from("ab eé漢<|>/s[]\n 1\t\u200d👩"), max_size=20)
injected = st.lists(st.one_of(written, st.sampled_from(SPECIAL)), max_size=8).map("".join)
MESSY = "e\u0301 \u00e9 \ufb01 \u2028 \ufeff \u00a0\x85 \0 \x1c 👨‍👩‍👧‍👦 🏳️‍🌈 日本語 한국어 \U0010ffff\ue000\x7f"

every = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize("kind", BYTE_COMPLETE)
@settings(max_examples=150, deadline=None)
@given(text=st.one_of(texts, injected))
@example(text="")
@example(text="  two  spaces \n\n\r\n\t end  ")
@example(text=MESSY)
@example(text="".join(SPECIAL))
def test_decode_undoes_encode_on_any_text(kind, text):
    tokenizer = opened(kind)
    is_marked = kind in MODELS or kind == "unigram"
    assert tokenizer.decode(tokenizer.encode([text])[0]) == (text.replace(SPACE_MARK, " ") if is_marked else text)


@every
@settings(max_examples=150, deadline=None)
@given(text=injected)
@example(text="".join(SPECIAL))
@example(text=" ".join(SPECIAL))
@example(text=" ".join(f"a{literal}b" for literal in SPECIAL))
def test_letters_of_special_tokens_in_text_never_become_their_ids(kind, text):
    tokenizer = opened(kind)
    ids = tokenizer.encode([text])[0]
    assert not set(tokenizer.special_ids.values()) & set(ids)
    assert all(0 <= i < tokenizer.size for i in ids)


@every
@settings(max_examples=150, deadline=None)
@given(text=st.one_of(texts, injected))
@example(text="")
@example(text="   ")
@example(text=MESSY)
def test_ends_belong_to_the_ids_never_fall_and_close_at_the_end_of_the_text(kind, text):
    tokenizer = opened(kind)
    ids, ends = tokenizer.encode_with_ends(text)
    assert ids == tokenizer.encode([text])[0]
    assert len(ends) == len(ids)
    assert ends == sorted(ends)
    assert not ends or (ends[0] >= 0 and ends[-1] == len(text))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "wordpiece"])
def test_a_token_with_part_of_a_character_covers_it(kind):
    tokenizer = opened(kind)
    text = "a\U0001f3fbb"
    ids, ends = tokenizer.encode_with_ends(text)
    before = [i for i, end in zip(ids, ends, strict=True) if end < 2]
    assert tokenizer.decode(before) == "a"
    assert len(before) < len(ids)


@every
def test_texts_are_encoded_each_alone(kind):
    tokenizer = opened(kind)
    together = tokenizer.encode(["one text", "", " and another "])
    assert together == [tokenizer.encode([text])[0] for text in ("one text", "", " and another ")]
    assert tokenizer.encode([]) == []


@every
def test_special_tokens_have_ids_of_their_own_and_are_left_out_of_the_text(kind):
    tokenizer = opened(kind)
    ids = tokenizer.special_ids
    assert list(ids) == list(SPECIAL)
    assert len(set(ids.values())) == len(SPECIAL)
    assert tokenizer.size == max(max(ids.values()) + 1, tokenizer.size - tokenizer.num_added)
    assert [i for i in ids.values() if i >= tokenizer.size - tokenizer.num_added] == list(
        range(tokenizer.size - tokenizer.num_added, tokenizer.size)
    )
    text = tokenizer.encode(["some text"])[0]
    assert tokenizer.decode([*ids.values(), *text, *ids.values()]) == tokenizer.decode(text)


@every
def test_a_million_blanks_are_encoded(kind):
    tokenizer = opened(kind)
    text = "a" + " " * 1_000_000 + "b"
    ids, ends = tokenizer.encode_with_ends(text)
    assert ends[-1] == len(text)
    assert kind not in BYTE_COMPLETE or tokenizer.decode(ids) == text
