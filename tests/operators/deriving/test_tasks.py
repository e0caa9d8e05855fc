"""Tasks give one side of a document and ask for the other, and say each segment once."""

import pytest
from hypothesis import given
from letters import QUICKLY, document, documents, word

from operators.deriving.tasks import INSTRUCTIONS
from operators.deriving.views import TASKS, view_of_document

VIEWS = list(TASKS)
COMM = ("tsaAbBcC", "00112233")


def turns(view, found):
    said = TASKS[view](found)
    user, assistant = ([part for part, role in said if role == wanted] for wanted in ("user", "assistant"))
    assert user[0] == INSTRUCTIONS[view]
    return word(found, user[1:]), word(found, assistant)


@pytest.mark.parametrize(
    ("view", "letters", "numbers", "user", "assistant"),
    [
        ("images-to-texts", *COMM, "t\nsABC", "(1) a\n(2) b\n(3) c"),
        ("texts-to-images", *COMM, "t\ns\n(1) a\n(2) b\n(3) c", "ABC"),
        ("continue", *COMM, "t\ns\naAbB", "cC"),
        ("question-to-document", *COMM, "t\ns", "aAbBcC"),
        ("images-to-texts", "AabBCc", None, "ABC", "(1) a\nb\n(2) c"),
        ("texts-to-images", "AaBCcd", None, "(1) a\n(2) c\nd", "ABC"),
        ("continue", "AaBbCcDd", None, "AaBb", "CcDd"),
        ("continue", "AaBb", None, "Aa", "Bb"),
        ("question-to-document", "AaBb", None, "a", "ABb"),
        ("question-to-document", "TaAbB", "01122", "a", "TAbB"),
        ("images-to-texts", "AabB", "1122", "AB", "(1) a\n(2) b"),
        ("images-to-texts", "ABb", "122", "AB", "(1) b"),
    ],
)
def test_each_task_gives_and_asks_for_its_side(view, letters, numbers, user, assistant):
    assert turns(view, document(letters, numbers)) == (user, assistant)


@QUICKLY
@given(documents())
def test_every_segment_is_said_once_and_a_turn_begins_and_ends_with_text(found):
    for said in (view_of_document(view, found) for view in VIEWS):
        assert (said is not None) == found.has_views
        if said is None:
            continue
        places = [part for part, _ in said if isinstance(part, int)]
        assert sorted(places) == list(range(len(found.contents)))
        roles = [role for _, role in said]
        assert roles == sorted(roles, reverse=True)
        assert set(roles) == {"user", "assistant"}
        for role in ("user", "assistant"):
            own = [part for part, other in said if other == role]
            assert not any(isinstance(end, int) and found.is_image(end) for end in (own[0], own[-1]))
