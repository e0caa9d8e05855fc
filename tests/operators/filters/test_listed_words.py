"""Shares of listed words, on both sides of the published thresholds, in the language of the list alone."""

import pytest
from pydantic import ValidationError

from operators.filters.listed_words import (
    CommonWords,
    FlaggedWords,
    NodeCommonWords,
    NodeFlaggedWords,
    NodeStopwords,
    Spam,
    Stopwords,
)
from tests.operators.filters.making import PROSE, document, dropped, rejects

GERMAN = "Der Werkzeugkasten hat für jedes Werkzeug einen Knopf, und man kann wählen, welche davon gezeigt werden."
REASONS = {
    Stopwords: "filter-stopwords",
    FlaggedWords: "filter-flagged-words",
    CommonWords: "filter-common-words",
    Spam: "filter-spam",
}


def of(listed, all_words, word):
    """So many words, of which the first so many are on the list."""
    return " ".join([word] * listed + ["zebra"] * (all_words - listed))


@pytest.fixture
def common(tmp_path):
    (tmp_path / "common.txt").write_text("# two words of a corpus\nThe\nhouse\n")
    return str(tmp_path / "common.txt")


def test_each_has_its_reason():
    assert {rule: rule.reason for rule in REASONS} == REASONS
    assert all(issubclass(one, other) for one, other in ((NodeStopwords, Stopwords), (NodeFlaggedWords, FlaggedWords)))


@pytest.mark.parametrize(
    ("rule", "word", "kept", "gone"),
    [(Stopwords, "the", 35, 34), (FlaggedWords, "porn", 1, 2), (Spam, "cookie", 12, 13)],
)
def test_documents_on_both_sides_of_the_published_threshold(rule, word, kept, gone):
    assert not rejects(rule(language=None), of(kept, 100, word))
    assert rejects(rule(language=None), of(gone, 100, word))


def test_texts_on_both_sides_of_the_published_threshold(common):
    assert dropped(NodeStopwords(language=None), of(3, 10, "the"), of(2, 10, "the")) == [1]
    assert dropped(NodeFlaggedWords(language=None), of(1, 100, "xxx"), of(2, 100, "xxx")) == [1]
    assert dropped(NodeCommonWords(words=common, language=None), of(8, 10, "House,"), of(7, 10, "the")) == [1]


def test_common_words_are_the_users_own(common):
    assert not rejects(CommonWords(words=common, language=None), of(9, 10, "the"))
    assert rejects(CommonWords(words=common, language=None), of(8, 10, "the"))
    assert CommonWords(words=common).files() == (common,)
    with pytest.raises(ValidationError, match="no list of common words ships; give a text file"):
        CommonWords()


def test_prose_has_enough_stopwords_and_a_list_of_names_has_not():
    assert not rejects(Stopwords(), PROSE)
    assert dropped(NodeStopwords(), PROSE, "Paris London Rome Berlin Madrid Vienna") == [1]
    assert rejects(Spam(), PROSE[:110], "Login. Subscribe to our newsletter! Accept cookies. Privacy policy.")


def test_documents_in_another_language_than_the_lists_are_not_judged():
    assert not rejects(Stopwords(), GERMAN)
    assert rejects(Stopwords(language=None), GERMAN)
    assert list(Stopwords(language="de").faults(document(GERMAN)))


def test_a_list_of_the_users_takes_the_place_of_the_one_that_ships(tmp_path):
    (tmp_path / "german.txt").write_text("der hat für und man kann welche davon werden")
    rule = Stopwords(words=str(tmp_path / "german.txt"), language="de")
    assert not rejects(rule, GERMAN)
    assert not rejects(rule, PROSE)  # English


def test_texts_without_words_are_not_judged():
    assert dropped(NodeStopwords(language=None), "", "1 2 3") == []
