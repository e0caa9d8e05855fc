"""The stand-in for a language model: texts that share words and have new ones score, others do not."""

import numpy as np

from operators.filters.lexical import lexical_score

STORY = (
    "Mix the flour with the yeast and a little warm water.",
    "Knead the flour and water into a smooth dough, and cover the dough with a cloth.",
    "When the dough has risen under the cloth, form two loaves of it.",
    "Put the loaves into the hot oven and bake them until their crust is brown.",
    "Take the brown loaves out of the oven and let them cool on a rack.",
)
UNRELATED = (
    "Mix the flour with the yeast and a little warm water.",
    "Parliament adjourned without a vote on Tuesday.",
    "Glaciers carve valleys over thousands of years.",
    "Her violin was made in Cremona.",
)


def test_texts_that_follow_from_each_other_score_above_others():
    story, unrelated, again = (lexical_score(texts) for texts in (STORY, UNRELATED, [STORY[0]] * 5))
    assert story > 0.2
    assert unrelated == 0
    assert again == 0


def test_a_shuffled_story_scores_no_higher_and_mostly_lower():
    scores = [lexical_score([STORY[i] for i in np.random.default_rng(seed).permutation(5)]) for seed in range(20)]
    assert sum(score < lexical_score(STORY) for score in scores) >= 18


def test_fewer_than_two_texts_with_words_have_no_score():
    assert lexical_score([]) is None
    assert lexical_score([STORY[0], " ", "12", "and the"]) is None
    assert 0 <= lexical_score(["这是一个苹果", "苹果是红色的"]) <= 1
