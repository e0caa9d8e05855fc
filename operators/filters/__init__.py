"""Which documents, texts and images are worth packing: the rules of a job by name, in one order of their own."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from operators.filters.aspect import Aspect
from operators.filters.blur import Blur
from operators.filters.document import Rule
from operators.filters.format import Format
from operators.filters.image_sequence import ImageSequence
from operators.filters.image_text import ImageText
from operators.filters.images import Images
from operators.filters.language import Language
from operators.filters.listed_words import (
    CommonWords,
    FlaggedWords,
    NodeCommonWords,
    NodeFlaggedWords,
    NodeStopwords,
    Spam,
    Stopwords,
)
from operators.filters.near_duplicate import NearDuplicate
from operators.filters.perplexity import Perplexity
from operators.filters.presets import PRESETS, Preset
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

FILTER_VERSION = 1
"""Raised whenever a rule judges otherwise: it is part of the recipe."""
NEEDS = ("text", "pixels", "encoder")
"""What a rule may need, each with all before it."""
OTHERS = frozenset({"preset", "without", "encoder", "dedup"})
"""Fields of a FilterConfig that are no rules."""


class DedupConfig(BaseModel):
    """What may stand in a unit once, or so many times: by the digests of texts and files, exactly."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    documents: bool = True
    """Documents of the same texts and images in the same order: the first of a unit stays."""
    images: int | None = Field(None, ge=1)
    """Most documents of a unit that one image may stand in (OBELICS: 10, of its whole corpus); null: any number."""


class FilterConfig(BaseModel):
    """Rules by name: with their thresholds, `true` for the published ones, `false` to switch one of the preset off.

    Rules of single texts and images come first, then those of documents, in the order of these fields.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Preset | None = None
    """A published set: obelics, mm_interleaved or comm. A rule given by name takes the place of the set's."""
    without: tuple[str, ...] = ()
    """Rules of the preset that are switched off; `aspect: false` says the same."""
    encoder: str | None = None
    """A local folder with SigLIP or CLIP, or a file of `lodepack relevance train`, for rules that compare images and
    texts; absent: the small one that ships, which knows scenes of coloured shapes and few words."""
    dedup: DedupConfig | None = None
    """What may stand in a unit once."""

    format: Format | None = None
    size: Size | None = None
    aspect: Aspect | None = None
    blur: Blur | None = None
    repeated_image: RepeatedImage | None = None
    near_duplicate: NearDuplicate | None = None
    node_words: NodeWords | None = None
    node_character_repetition: NodeCharacterRepetition | None = None
    node_word_repetition: NodeWordRepetition | None = None
    node_special_characters: NodeSpecialCharacters | None = None
    node_stopwords: NodeStopwords | None = None
    node_flagged_words: NodeFlaggedWords | None = None
    node_common_words: NodeCommonWords | None = None
    image_text: ImageText | None = None
    selection: Selection | None = None

    images: Images | None = None
    single_image: SingleImage | None = None
    words: Words | None = None
    character_repetition: CharacterRepetition | None = None
    word_repetition: WordRepetition | None = None
    special_characters: SpecialCharacters | None = None
    punctuation: Punctuation | None = None
    language: Language | None = None
    stopwords: Stopwords | None = None
    flagged_words: FlaggedWords | None = None
    common_words: CommonWords | None = None
    spam: Spam | None = None
    perplexity: Perplexity | None = None
    text_sequence: TextSequence | None = None
    image_sequence: ImageSequence | None = None

    @model_validator(mode="before")
    @classmethod
    def _switches(cls, raw: Any) -> Any:
        """`true` as a rule's defaults, and the names of `false` ones as `without`."""
        if not isinstance(raw, dict):
            return raw
        names = [name for name in raw if name in cls.rule_names() or name == "dedup"]
        given = raw | {name: {} for name in names if raw[name] is True} | {n: None for n in names if raw[n] is False}
        off = [name for name in names if raw[name] is False and name != "dedup"]
        if off and isinstance(raw.get("without", ()), list | tuple):
            given["without"] = [*raw.get("without", ()), *off]
        return given

    @field_validator("without")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in cls.rule_names():
                raise ValueError(f"{name!r} is no rule; choose of {', '.join(cls.rule_names())}")
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _says_one_thing(self) -> FilterConfig:
        both = [name for name in self.without if getattr(self, name) is not None]
        if both:
            raise ValueError(f"{both[0]} is both given and left out; say one of them")
        return self

    @classmethod
    def rule_names(cls) -> tuple[str, ...]:
        """All rules by name, in the order in which they judge."""
        return tuple(name for name in cls.model_fields if name not in OTHERS)

    def named_rules(self) -> dict[str, Rule]:
        """The rules in force by name, in the order in which they judge."""
        given = {name: rule for name in self.rule_names() if (rule := getattr(self, name)) is not None}
        chosen = {**(PRESETS[self.preset] if self.preset else {}), **given}
        return {name: chosen[name] for name in self.rule_names() if name in chosen and name not in self.without}

    def rules(self) -> tuple[Rule, ...]:
        """The rules in force: those of single texts and images, then those of documents."""
        return tuple(self.named_rules().values())

    def needs(self) -> Literal["text", "pixels", "encoder"]:
        """What the rules in force need: texts, sizes and digests, small copies of pictures too, or embeddings too."""
        return max((rule.needs for rule in self.rules()), key=NEEDS.index, default="text")

    def files(self) -> tuple[str, ...]:
        """Paths of the user's files that decide verdicts, sorted, each once: their content belongs to the recipe."""
        return tuple(sorted({path for rule in self.rules() for path in rule.files()}))
