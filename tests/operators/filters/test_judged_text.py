"""What a document shows its rules is bounded, however long its texts are."""

from operators.filters.document import JUDGED_CHARS
from operators.filters.words import NodeWords, Words
from tests.operators.filters.making import document, dropped, image, rejects


def test_all_texts_stand_with_a_blank_line_between_them():
    assert document("one", image(), "two", None, "", "three").text == "one\n\ntwo\n\n\n\nthree"
    assert document(image()).text == ""


def test_nothing_behind_the_first_million_characters_is_judged():
    long = "a" * (JUDGED_CHARS - 4)
    found = [(node.number, len(text)) for node, text in document("ab", long, "cdef", "gh").judged()]
    assert found == [(0, 2), (1, JUDGED_CHARS - 4), (2, 2)]
    assert dropped(NodeWords(), long, "five words are in this", "one two three four") == [0, 1]
    assert rejects(Words(max=10), "word " * JUDGED_CHARS)
