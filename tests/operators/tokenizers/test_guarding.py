"""Special tokens get the ids that can be trusted, or new ones in order; ends cover the text."""

from operators.tokenizers.guarding import cover, give_ids


def test_tokens_without_a_trusted_id_follow_the_vocabulary_in_order():
    ids = give_ids(["<b>", "<a>", "<c>", "<b>"], {"<a>": 3, "<z>": 4}, 10)
    assert ids == {"<b>": 10, "<a>": 3, "<c>": 11}
    assert list(ids) == ["<b>", "<a>", "<c>"]


def test_ends_never_fall_and_the_last_closes_the_text():
    assert cover([3, 1, 4], 6) == [3, 3, 6]
    assert cover([], 6) == []
