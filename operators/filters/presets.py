"""The published sets of rules, by name. What they leave out needs something that does not ship."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from operators.filters.aspect import Aspect
from operators.filters.document import Rule
from operators.filters.format import Format
from operators.filters.image_sequence import ImageSequence
from operators.filters.image_text import ImageText
from operators.filters.images import Images
from operators.filters.language import Language
from operators.filters.listed_words import FlaggedWords, NodeFlaggedWords, NodeStopwords, Spam, Stopwords
from operators.filters.punctuation import Punctuation
from operators.filters.repeated_image import RepeatedImage
from operators.filters.repetition import (
    CharacterRepetition,
    NodeCharacterRepetition,
    NodeWordRepetition,
    WordRepetition,
)
from operators.filters.selection import Selection
from operators.filters.single_image import SingleImage
from operators.filters.size import Size
from operators.filters.special_characters import NodeSpecialCharacters, SpecialCharacters
from operators.filters.text_sequence import TextSequence
from operators.filters.words import NodeWords, Words

Preset = Literal["obelics", "mm_interleaved", "comm"]

PRESETS: Mapping[Preset, Mapping[str, Rule]] = {
    # Without common_words and node_common_words, which need a list from a corpus, and perplexity, which needs a model.
    "obelics": {
        "format": Format(),
        "size": Size(),
        "aspect": Aspect(),
        "repeated_image": RepeatedImage(),
        "node_words": NodeWords(),
        "node_character_repetition": NodeCharacterRepetition(),
        "node_word_repetition": NodeWordRepetition(),
        "node_special_characters": NodeSpecialCharacters(),
        "node_stopwords": NodeStopwords(),
        "node_flagged_words": NodeFlaggedWords(),
        "images": Images(),
        "words": Words(),
        "character_repetition": CharacterRepetition(),
        "word_repetition": WordRepetition(),
        "special_characters": SpecialCharacters(),
        "punctuation": Punctuation(),
        "language": Language(),
        "stopwords": Stopwords(),
        "flagged_words": FlaggedWords(),
        "spam": Spam(),
    },
    # Packing never cuts an image, so that needs no rule.
    "mm_interleaved": {
        "selection": Selection(),
        "images": Images(min=1, max=None),
        "single_image": SingleImage(),
    },
    # Texts by their words alone; CoMM asks language models, of texts and once more of images with their texts.
    "comm": {
        "image_text": ImageText(),
        "text_sequence": TextSequence(),
        "image_sequence": ImageSequence(),
    },
}
