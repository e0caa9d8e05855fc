"""An image is asked what users say or what stands beside it, and an answer's words never count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.relevance.query import BORDER_CHARS, NEAR_CHARS, NOTHING, Query, queries
from pipeline.types import SegmentKind

IMAGE = "<image>"


def rows(*parts):
    """Segments of (role, text); IMAGE instead of a text is an image."""
    return [
        {"kind": SegmentKind.IMAGE, "text": None, "role": role}
        if text == IMAGE
        else {"kind": SegmentKind.TEXT, "text": text, "role": role}
        for role, text in parts
    ]


def page(*texts):
    return rows(*((None, text) for text in texts))


def test_a_conversation_asks_with_all_user_words_up_to_the_images_first_answer():
    chat = rows(
        ("system", "Be short."),
        ("user", "Look at this."),
        ("user", IMAGE),
        ("user", " Where is the star? "),
        ("assistant", "On the left."),
        ("user", "And here?"),
        ("user", IMAGE),
        ("user", ""),
        ("assistant", "Nowhere."),
        ("user", "Thanks."),
    )
    assert queries(chat) == [
        Query("Look at this.\nWhere is the star?", "user", (1, 3)),
        Query("Look at this.\nWhere is the star?\nAnd here?", "user", (1, 3, 5)),
    ]


def test_an_image_inside_an_answer_is_asked_what_users_said_before_it_goes_on():
    chat = rows(("user", "Draw a star."), ("assistant", "Here:"), ("assistant", IMAGE), ("assistant", "A star."))
    assert queries(chat) == [Query("Draw a star.", "user", (0,))]
    later = [*chat[:3], *rows(("user", "Larger, please."))]
    assert queries(later) == [Query("Draw a star.\nLarger, please.", "user", (0, 3))]


def test_a_conversation_in_which_no_user_speaks_asks_nothing():
    chat = rows(("system", "Describe it."), ("user", ""), ("user", IMAGE), ("user", " \n"), ("assistant", "A star."))
    assert queries(chat) == [NOTHING]


TURNS = st.lists(
    st.tuples(st.sampled_from(["system", "user", "assistant"]), st.sampled_from([IMAGE, "", "red star", "blue"])),
    min_size=1,
    max_size=12,
)


@given(TURNS, st.lists(st.text(max_size=20), min_size=12, max_size=12))
def test_other_answers_and_other_words_of_the_system_change_no_query(turns, words):
    plain = rows(*turns)
    swapped = [
        row | {"text": words[i]} if row["role"] != "user" and row["kind"] == SegmentKind.TEXT else row
        for i, row in enumerate(plain)
    ]
    assert queries(swapped) == queries(plain)
    assert all(plain[i]["role"] == "user" for query in queries(plain) for i in query.segments)


def test_an_image_of_a_document_is_asked_the_nearest_words_on_either_side():
    document = page("far", "before", " ", IMAGE, IMAGE, "", "behind", "far behind")
    expected = Query("before\nbehind", "neighbours", (1, 6))
    assert queries(document) == [expected, expected]


@pytest.mark.parametrize(
    ("texts", "query"),
    [
        ((IMAGE, "a caption"), Query("a caption", "neighbours", (1,))),
        (("a title", IMAGE), Query("a title", "neighbours", (0,))),
        ((IMAGE,), NOTHING),
        (("\n", IMAGE, " "), NOTHING),
    ],
)
def test_one_side_is_enough_and_none_is_said_to_be_none(texts, query):
    assert queries(page(*texts)) == [query]


def test_long_neighbours_keep_the_whole_words_nearest_to_the_image():
    words = [f"w{i:03d}" for i in range(200)]
    (query,) = queries(page(" ".join(words), IMAGE, " ".join(words)))
    before, behind = query.text.split("\n")
    assert before.split() == words[-len(before.split()) :]
    assert behind.split() == words[: len(behind.split())]
    assert NEAR_CHARS - 5 <= len(before) <= NEAR_CHARS
    assert NEAR_CHARS - 5 <= len(behind) <= NEAR_CHARS


def test_a_border_at_the_very_end_keeps_the_last_word():
    text = "a" * 370 + " " + "b" * 29 + " " + "c" * 50
    (query,) = queries(page(IMAGE, text))
    assert query.text == "a" * 370 + " " + "b" * 29


def test_text_without_spaces_is_cut_where_the_room_ends():
    (query,) = queries(page("字" * 1000, IMAGE))
    assert query.text == "字" * NEAR_CHARS


@given(st.text(max_size=900) | st.text(" ab", min_size=380, max_size=900))
def test_a_neighbour_gives_its_end_that_touches_the_image(text):
    words = text.strip()
    for document, touches in ((page(IMAGE, text), words.startswith), (page(text, IMAGE), words.endswith)):
        (query,) = queries(document)
        assert touches(query.text)
        assert min(len(words), NEAR_CHARS - 2 * BORDER_CHARS) <= len(query.text) <= NEAR_CHARS


def test_a_document_without_images_asks_nothing():
    assert queries(page("only", "words")) == []
    assert queries([]) == []
