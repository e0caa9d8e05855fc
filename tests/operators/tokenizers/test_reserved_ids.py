"""With a family's rank file its special tokens have the ids that the family's own tokenizer gives them."""

import pytest
from llama_models.llama4.tokenizer import Tokenizer as Llama4
from shipped import read_kind

from operators.profiles import load_profile, profile_names
from operators.tokenizers.opening import open_tokenizer
from pipeline.errors import ConfigError

RESERVED = {"llama4": "llama4", "qwen2_vl": "qwen", "qwen2_5_vl": "qwen", "qwen3_vl": "qwen"}


def opened_for(name):
    profile = load_profile(name)
    data, pattern = read_kind(RESERVED[name])
    assert profile.tokenizer_pattern == pattern
    return open_tokenizer(data, profile.tokens.literals(), name, profile.tokenizer_pattern, profile.reserved_ids)


def test_a_profile_that_takes_ranks_reserves_all_of_its_special_tokens():
    profiles = {name: load_profile(name) for name in profile_names()}
    assert {name for name, profile in profiles.items() if profile.tokenizer_pattern} == RESERVED.keys()
    for name in RESERVED:
        assert set(profiles[name].reserved_ids) == set(profiles[name].tokens.literals())


@pytest.mark.parametrize("name", RESERVED)
def test_every_special_token_of_the_profile_is_reserved(name):
    tokenizer = opened_for(name)
    assert tokenizer.special_ids == load_profile(name).reserved_ids
    assert tokenizer.num_added == 0
    assert tokenizer.size == max(tokenizer.special_ids.values()) + 1
    assert tokenizer.decode(tokenizer.encode(["a <|image_pad|> b"])[0]) == "a <|image_pad|> b"


def test_ids_of_llama4_are_those_of_its_own_tokenizer():
    theirs = Llama4.get_instance().special_tokens
    assert {literal: theirs[literal] for literal in opened_for("llama4").special_ids} == load_profile(
        "llama4"
    ).reserved_ids


def test_a_token_without_a_reserved_id_stands_behind_them_all():
    data, pattern = read_kind("qwen")
    tokenizer = open_tokenizer(data, ["<a>", "<b>"], "it", pattern, {"<a>": 151643, "<z>": 151700})
    assert tokenizer.special_ids == {"<a>": 151643, "<b>": 151701}
    assert (tokenizer.num_added, tokenizer.size) == (1, 151702)


def test_reserved_ids_in_the_ranks_of_another_family_are_refused():
    data, pattern = read_kind("llama4")
    with pytest.raises(ConfigError, match="reserved_ids begin at 151700"):
        open_tokenizer(data, ["<a>"], "it", pattern, {"<a>": 151700})
