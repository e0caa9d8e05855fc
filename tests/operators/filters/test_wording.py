"""Words and characters are counted in any script."""

import pytest

from operators.filters.wording import REMEMBERED_CHARS, count_punctuation, count_special, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't read well-known books, (please)!", ["don't", "read", "well-known", "books", "please"]),
        ("It’s 3.14 and v2 of 1999 —", ["it's", "and", "v", "of"]),
        ("这是一个句子。", ["这", "是", "一", "个", "句", "子"]),
        ("ニンジンを2本", ["ニ", "ン", "ジ", "ン", "を", "本"]),
        ("GIMPは無料です", ["gimp", "は", "無", "料", "で", "す"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("", []),
        (" \n… 12 ", []),
    ],
)
def test_words_of_several_scripts(text, expected):
    assert list(words(text)) == expected


def test_composed_and_decomposed_letters_are_one_word():
    assert words("cafe\u0301") == words("café")


def test_special_characters_are_all_that_is_no_letter():
    assert count_special("Ab c, 12!") == 6
    assert count_special("नमस्ते") == 0
    assert count_punctuation("Ab, c… (12)! + $") == 5


def test_a_long_text_is_cut_as_a_short_one():
    text = "two words " * (REMEMBERED_CHARS // 5)
    assert words(text) == ("two", "words") * (REMEMBERED_CHARS // 5)
