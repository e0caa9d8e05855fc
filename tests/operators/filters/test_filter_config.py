"""A job names its rules; presets, switches and one fixed order."""

import pytest
from pydantic import ValidationError

from operators.filters import NEEDS, FilterConfig
from operators.filters.aspect import Aspect
from operators.filters.presets import PRESETS
from pipeline.errors import Reason
from tests.operators.filters.making import PROSE, document, image


def test_a_rule_is_given_by_name_with_thresholds_or_as_published():
    assert FilterConfig().rules() == ()
    assert FilterConfig(aspect={"max": 3}).rules() == (Aspect(max=3),)
    assert FilterConfig(aspect=True).rules() == FilterConfig(aspect={}).rules() == (Aspect(),)
    assert FilterConfig(aspect=False).rules() == ()


def test_named_rules_take_the_place_of_the_presets_and_false_switches_them_off():
    given = FilterConfig(preset="obelics", aspect={"max": 3}, spam=False, blur=True, without=["language"])
    expected = PRESETS["obelics"].keys() - {"spam", "language"} | {"blur"}
    assert given.named_rules().keys() == expected
    assert given.named_rules()["aspect"].max == 3
    assert given.without == ("language", "spam")
    assert FilterConfig.model_validate(given.model_dump()) == given


def test_the_order_of_the_file_decides_nothing_and_node_rules_come_first():
    names = ("words", "selection", "size", "image_sequence", "aspect")
    one, other = (FilterConfig(**dict.fromkeys(order, True)) for order in (names, reversed(names)))
    assert one.rules() == other.rules()
    levels = [FilterConfig.model_fields[name].annotation.__args__[0].level for name in FilterConfig.rule_names()]
    assert levels == sorted(levels, reverse=True)
    assert [rule.level for rule in one.rules()] == ["node", "node", "node", "document", "document"]


def test_sound_prose_with_a_picture_passes_all_that_obelics_asks():
    sound = document(PROSE, image(), "The mill can be seen on the left, and the hills behind it.")
    assert [fault for rule in FilterConfig(preset="obelics").rules() for fault in rule.faults(sound)] == []


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_hold_known_rules_of_the_right_kind(preset):
    for name, rule in PRESETS[preset].items():
        assert FilterConfig.model_fields[name].annotation.__args__[0] is type(rule)
    assert FilterConfig(preset=preset).named_rules().keys() == PRESETS[preset].keys()


def test_a_job_says_what_its_rules_need_and_which_files_they_read(tmp_path):
    assert FilterConfig(dedup=True).needs() == "text"
    assert FilterConfig(preset="obelics").needs() == "text"
    assert FilterConfig(preset="obelics", near_duplicate=True).needs() == "pixels"
    assert {FilterConfig(preset=name).needs() for name in ("comm", "mm_interleaved")} == {"encoder"}
    assert NEEDS.index("encoder") == 2
    (tmp_path / "w.txt").write_text("the")
    path = str(tmp_path / "w.txt")
    given = FilterConfig(common_words={"words": path}, node_common_words={"words": path})
    assert given.files() == (path,)


def test_dedup_has_its_own_two_reasons():
    assert (FilterConfig().dedup, FilterConfig(dedup=False).dedup) == (None, None)
    assert (FilterConfig(dedup=True).dedup.documents, FilterConfig(dedup={"images": 10}).dedup.images) == (True, 10)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        FilterConfig(dedup={"images": 0})


def test_every_reason_of_a_filter_has_a_rule_or_is_dedups():
    rules = {FilterConfig.model_fields[name].annotation.__args__[0].reason for name in FilterConfig.rule_names()}
    dedups = {Reason.FILTER_DUPLICATE_DOCUMENT, Reason.FILTER_DUPLICATE_IMAGE}
    assert rules | dedups == {reason for reason in Reason if reason.startswith("filter-")}


@pytest.mark.parametrize(
    ("given", "where", "fault"),
    [
        ({"aspct": True}, "aspct", "Extra inputs are not permitted"),
        ({"without": ["aspct"]}, "without", "'aspct' is no rule; choose of format, size, aspect"),
        ({"aspect": {"max": 0.5}}, "aspect.max", "greater than or equal to 1"),
        ({"aspect": {"most": 3}}, "aspect.most", "Extra inputs are not permitted"),
        ({"aspect": 3}, "aspect", "Input should be a valid dictionary or instance of Aspect"),
        ({"preset": "mmc4"}, "preset", "Input should be 'obelics', 'mm_interleaved' or 'comm'"),
        ({"stopwords": {"words": "/gone"}}, "stopwords.words", "no word list at /gone: No such file"),
        ({"aspect": True, "without": ["aspect"]}, "", "aspect is both given and left out; say one of them"),
        ({"size": {"min": 0}}, "size.min", "greater than or equal to 1"),
        ({"words": {"min": float("nan")}}, "words.min", "Input should be a finite number"),
        ({"stopwords": {"min": 1.5}}, "stopwords.min", "less than or equal to 1"),
    ],
)
def test_a_mistake_is_one_error_in_one_line(given, where, fault):
    with pytest.raises(ValidationError) as caught:
        FilterConfig(**given)
    (error,) = caught.value.errors()
    assert ".".join(map(str, error["loc"])) == where
    assert fault in error["msg"]
    assert "\n" not in error["msg"]
