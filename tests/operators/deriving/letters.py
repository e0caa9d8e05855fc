"""Documents as words: capitals are images, other letters texts, equal letters equal contents."""

from hypothesis import settings
from hypothesis import strategies as st

from operators.deriving.document import Document

QUICKLY = settings(max_examples=50)
WORDS = st.text("abcABC", max_size=12)


def document(letters, turns=None, name="s.tar/k"):
    """turns: a digit for each letter, the number of its step."""
    contents = tuple(letter.encode() if letter.isupper() else letter for letter in letters)
    return Document(name, contents, tuple(map(int, turns or "0" * len(letters))))


def word(document, said):
    """The same of a view, with texts of ours as they are."""
    parts = (part if isinstance(part, str) else document.contents[part] for part in said)
    return "".join(part.decode() if isinstance(part, bytes) else part for part in parts)


@st.composite
def documents(draw):
    """Documents with and without numbered steps, some of which have something before the first."""
    letters = draw(WORDS)
    lengths = draw(st.lists(st.integers(1, 3), min_size=len(letters), max_size=len(letters)))
    first = draw(st.sampled_from([0, 1]))
    turns = [step for step, length in enumerate(lengths, first) for _ in range(length)][: len(letters)]
    numbers = "".join(str(min(turn, 9)) for turn in turns)
    return document(letters, draw(st.sampled_from([None, numbers])), draw(st.text("ab/", min_size=1, max_size=3)))
