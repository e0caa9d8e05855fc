"""WordPiece as tokenizer.json: from BERT's vocab.txt, or trained. It is not lossless, by its nature."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat

import tokenizers
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import WordPieceTrainer

from operators.tokenizers.hiding import File
from pipeline.errors import ConfigError

UNKNOWN = "[UNK]"
SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
"""BERT's special tokens; a vocab.txt marks none."""
COVERAGE = 0.9995
"""Share of the characters of a training text that stay in the alphabet; words with others become unknown."""


def read_vocab(text: str) -> File:
    """The tokenizer.json of a vocab.txt: one piece a line, `##` before those that continue a word.

    Words are cut, and greedily matched from the left, as BERT does it. The file does not say whether text is
    lower-cased: it is, and accents fall, if no piece has a capital letter, because capitals would all be unknown.
    """
    pieces = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    plain = (piece for piece in pieces if not (piece.startswith("[") and piece.endswith("]")))
    is_cased = any(letter.isupper() for piece in plain for letter in piece)
    vocab = {piece: index for index, piece in enumerate(pieces)}
    return _to_file(vocab, [token for token in SPECIAL if token in vocab], lowercase=not is_cased)


def train_wordpiece(texts: Iterable[str], *, vocab_size: int, special: Sequence[str], lowercase: bool = False) -> str:
    """The tokenizer.json of a WordPiece model of at most `vocab_size` pieces, special tokens and [UNK] first.

    Spacing, control characters, unknown words and, if `lowercase`, case and accents are lost in decoding. The same
    texts give the same file. ConfigError if there is no text, or the alphabet alone needs more pieces.
    """
    words = _without_rare(_count_words(texts, lowercase=lowercase))
    first = sorted({word[0] for word in words})
    following = sorted({f"##{letter}" for word in words for letter in word[1:]})
    # Registered up front and in order, because the trainer numbers letters in the order of a randomly seeded table.
    fixed = list(dict.fromkeys([*special, UNKNOWN, *first, *following]))
    if not words or len(fixed) > vocab_size:
        found = f"its special tokens and alphabet are {len(fixed)}" if words else "there is no text"
        raise ConfigError(f"cannot train a wordpiece model of {vocab_size} pieces: {found}; try more pieces or text")
    model = tokenizers.Tokenizer(WordPiece(unk_token=UNKNOWN))
    trainer = WordPieceTrainer(vocab_size=vocab_size, special_tokens=fixed, show_progress=False)
    repeated = (copy for word, count in sorted(words.items()) for copy in repeat(word, count))
    model.train_from_iterator(repeated, trainer)
    vocab = dict(sorted(model.get_vocab().items(), key=lambda piece: piece[1]))
    return json.dumps(_to_file(vocab, [*special, UNKNOWN], lowercase=lowercase), ensure_ascii=False)


def _count_words(texts: Iterable[str], *, lowercase: bool) -> Counter[str]:
    normalizer, cutter = BertNormalizer(lowercase=lowercase), BertPreTokenizer()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in cutter.pre_tokenize_str(normalizer.normalize_str(text)))
    return counts


def _without_rare(words: Counter[str]) -> dict[str, int]:
    """The words that the most frequent COVERAGE of all characters spell."""
    letters: Counter[str] = Counter()
    for word, count in words.items():
        for letter in word:
            letters[letter] += count
    alphabet = set(_most_frequent(letters))
    return {word: count for word, count in words.items() if alphabet.issuperset(word)}


def _most_frequent(letters: Mapping[str, int]) -> Iterator[str]:
    left = COVERAGE * sum(letters.values())
    for letter, count in sorted(letters.items(), key=lambda item: (-item[1], item[0])):
        if left <= 0:
            return
        yield letter
        left -= count


def _to_file(vocab: Mapping[str, int], special: Iterable[str], *, lowercase: bool) -> File:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added = [{"id": vocab[literal], "content": literal, "special": True} | flags for literal in dict.fromkeys(special)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(added, key=lambda token: token["id"]),
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": UNKNOWN,
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": dict(vocab),
        },
    }
