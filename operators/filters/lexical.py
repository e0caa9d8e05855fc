"""Whether texts follow from each other, by their words alone: a stand-in for what CoMM asks a language model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from operators.filters.word_lists import LISTS, read_words
from operators.filters.wording import words


def lexical_score(texts: Sequence[str]) -> float | None:
    """0 to 1, in thousandths: the harmonic mean of coherence and development. None for fewer than two texts with words.

    Coherence: mean cosine of neighbouring texts' words, each word by its count times ln((1 + n) / (1 + d)) + 1, with d
    of the n texts holding it. Development: mean share of a text's different words that no earlier text has. English
    stopwords count for nothing. So texts that have nothing to do with each other get 0, and so does one text said
    again and again.
    """
    counts = [one for one in (_counted(text) for text in texts) if one]
    if len(counts) < 2:
        return None
    held = Counter(word for one in counts for word in one)
    weighted = [
        {word: times * (math.log((1 + len(counts)) / (1 + held[word])) + 1) for word, times in one.items()}
        for one in counts
    ]
    steps = len(counts) - 1
    coherence = math.fsum(_cosine(weighted[i], weighted[i + 1]) for i in range(steps)) / steps
    said: set[str] = set(counts[0])
    development = 0.0
    for one in counts[1:]:
        development += sum(word not in said for word in one) / len(one) / steps
        said.update(one)
    both = coherence + development
    return round(2 * coherence * development / both, 3) if both else 0.0


def _counted(text: str) -> Counter[str]:
    skipped = read_words(str(LISTS / "stopwords.txt"))
    return Counter(word for word in words(text) if word not in skipped)


def _cosine(one: dict[str, float], other: dict[str, float]) -> float:
    shared = math.fsum(weight * other[word] for word, weight in one.items() if word in other)
    return shared / math.sqrt(_squares(one) * _squares(other))


def _squares(weights: dict[str, float]) -> float:
    return math.fsum(weight * weight for weight in weights.values())
