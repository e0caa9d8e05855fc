"""A list of words is read once, as texts are cut, and refused in a line."""

import pytest

from operators.filters.word_lists import LISTS, read_words


def test_comments_and_blank_lines_are_no_words(tmp_path):
    (tmp_path / "list.txt").write_text("# a comment\n\nDon't  READ\nÜber\n")
    assert read_words(str(tmp_path / "list.txt")) == {"don't", "read", "über"}


def test_the_lists_that_ship_have_words():
    counts = {name: len(read_words(str(LISTS / f"{name}.txt"))) for name in ("stopwords", "flagged", "spam")}
    assert counts["stopwords"] > 250
    assert min(counts.values()) > 30
    assert not read_words(str(LISTS / "flagged.txt")) & read_words(str(LISTS / "stopwords.txt"))


@pytest.mark.parametrize(
    ("data", "fault"), [(None, "no word list at"), (b"\xff\xfe", "not UTF-8"), (b"# a", "is empty")]
)
def test_what_is_no_list_is_refused_in_a_line(tmp_path, data, fault):
    path = tmp_path / "list.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ValueError, match=fault) as caught:
        read_words(str(path))
    assert "\n" not in str(caught.value)
    assert "give a text file of words" in str(caught.value)
