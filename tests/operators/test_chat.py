"""Conversations are written as the template says, encoded in whole texts, and trained where the assistant speaks."""

from __future__ import annotations

import re

import pytest

from operators.chat import ChatTemplate, Turn, render_conversation
from operators.profiles import load_profile, profile_names
from pipeline.errors import InputError, Reason
from pipeline.types import SegmentKind

CHATML = load_profile("qwen2_5_vl").chat
VICUNA = load_profile("llava_1_5").chat
MARKS = ["<|im_start|>", "<|im_end|>", "<|im_end|>x", "<s>", "</s>", "[I]", "[/I]", "<e>"]


class Words:
    """A tokenizer of words, each with the space before it, and of runs of whatever else."""

    def __init__(self):
        self.special_ids = {mark: -1 - number for number, mark in enumerate(MARKS)}
        self.words = []

    def encode_with_ends(self, text):
        assert text, "no empty text is encoded"
        found = list(re.finditer(r" ?\w+|\s+(?=\s)|\s+|[^\w\s]+", text))
        self.words += [match.group() for match in found]
        return list(range(len(self.words) - len(found), len(self.words))), [match.end() for match in found]

    def show(self, ids):
        return [self.words[i] if i >= 0 else MARKS[-1 - i] for i in ids]


def talk(*turns):
    """Rows of a conversation: (role, text), `@` in a text standing for an image."""
    rows = []
    for number, (role, value) in enumerate(turns):
        for place, text in enumerate(value.split("@")):
            said = {"role": role, "turn": number, "member": "k.json", "offset": 512, "size": 9}
            rows += [said | {"kind": SegmentKind.IMAGE, "text": None}] * (place > 0)
            rows.append(said | {"kind": SegmentKind.TEXT, "text": text})
    return rows


def render(template, *turns):
    """Words of each segment, a trained one in upper case."""
    tokenizer = Words()
    ids, trained = render_conversation(talk(*turns), template, tokenizer)
    assert [len(segment) for segment in ids] == [len(segment) for segment in trained]
    return [
        [word.upper() if kept else word for word, kept in zip(tokenizer.show(segment), flags, strict=True)]
        for segment, flags in zip(ids, trained, strict=True)
    ]


def template(**parts):
    """Bare turns where nothing is said."""
    return ChatTemplate(**({"system": Turn(), "user": Turn(), "assistant": Turn()} | parts))


def test_default_system_comes_first_unless_the_system_speaks():
    spoken = render(CHATML, ("system", "be brief"), ("user", "hi"))
    assert spoken[0] == ["<|im_start|>", "system", "\n", "be", " brief", "<|im_end|>", "\n"]
    silent = render(CHATML, ("user", "hi"))[0]
    assert silent[:8] == ["<|im_start|>", "system", "\n", "You", " are", " a", " helpful", " assistant"]
    assert silent[9:] == ["<|im_end|>", "\n", "<|im_start|>", "user", "\n", "hi", "<|im_end|>", "\n"]
    assert render(load_profile("qwen3_vl").chat, ("user", "hi"))[0][:2] == ["<|im_start|>", "user"]


def test_assistant_turn_and_its_end_are_trained_and_nothing_else():
    *_, user, assistant = render(CHATML, ("system", "s"), ("user", "hi"), ("assistant", "hello you"))
    assert user == ["<|im_start|>", "user", "\n", "hi", "<|im_end|>", "\n"]
    assert assistant == ["<|im_start|>", "assistant", "\n", "HELLO", " YOU", "<|IM_END|>", "\n"]


def test_what_follows_the_end_is_not_trained():
    def flags(name):
        rows = talk(("user", "hi"), ("assistant", "yo"))
        return render_conversation(rows, load_profile(name).chat, Words())[1][-1]

    assert flags("internvl") == [False, False, False, True, True, False]
    assert flags("qwen2_5_vl") == [False, False, False, True, True, True]


def test_every_assistant_turn_is_trained():
    shown = render(VICUNA, ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    assert [segment[-2:] for segment in shown[1::2]] == [[" B", "</S>"], [" D", "</S>"]]


def test_texts_without_a_special_token_between_them_are_one_text():
    user, assistant = render(VICUNA, ("user", "hi"), ("assistant", "hello"))
    assert user[-4:] == [".", " USER", ":", " hi"]
    assert assistant == [" ASSISTANT", ":", " HELLO", "</S>"]


def test_what_follows_a_turn_is_counted_with_the_text_that_it_opens():
    joined = template(user=Turn(after="-"), assistant=Turn(before="=", end="<e>"))
    assert render(joined, ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")) == [
        ["a"],
        ["-=", "B", "<E>"],
        ["c"],
        ["-=", "D", "<E>"],
    ]
    apart = template(user=Turn(after="-"), assistant=Turn(before="<s>=", end="<e>"))
    assert render(apart, ("user", "a"), ("assistant", "b"), ("user", "c")) == [
        ["a", "-"],
        ["<s>", "=", "B", "<E>"],
        ["c", "-"],
    ]


def test_token_across_two_turns_belongs_to_the_later_and_is_trained_if_a_character_is():
    assert render(template(), ("user", "ab"), ("assistant", "cd"), ("user", "ef")) == [[], [], ["ABCDEF"]]
    assert render(template(), ("user", "ab"), ("user", "ef")) == [[], ["abef"]]


def test_images_part_texts_and_have_no_ids():
    assert render(template(user=Turn(before="<s>")), ("user", "a@b"), ("assistant", "c@")) == [
        ["<s>", "a"],
        [],
        [],
        ["BC"],
        [],
        [],
    ]


def test_turn_that_begins_with_an_image_may_have_another_mark():
    marks = template(user=Turn(before="U: ", before_image="U:"))
    assert render(marks, ("user", "@hi")) == [["U", ":"], [], ["hi"]]
    assert render(marks, ("user", "hi@")) == [["U", ":", " hi"], [], []]
    assert render(marks, ("user", "")) == [["U", ":", " "]]
    assert render(template(user=Turn(before="U", before_image="")), ("user", "@hi")) == [[], [], ["hi"]]


def test_words_of_a_speaker_are_never_special():
    shown = render(CHATML, ("system", ""), ("user", "<|im_end|>"), ("assistant", "x</s>"))
    assert "".join(shown[1]) == "<|im_start|>user\n<|im_end|><|im_end|>\n"
    assert shown[1].count("<|im_end|>") == 1
    assert "<|" in shown[1]
    assert "</S>" not in shown[2]


def test_longest_special_token_wins():
    assert render(template(user=Turn(end="<|im_end|>x")), ("user", "a")) == [["a", "<|im_end|>x"]]


def test_empty_turns_keep_their_marks():
    assert render(CHATML, ("system", ""), ("assistant", "")) == [
        ["<|im_start|>", "system", "\n", "<|im_end|>", "\n"],
        ["<|im_start|>", "assistant", "\n", "<|IM_END|>", "\n"],
    ]


MISTRAL = template(
    start="<s>",
    system_in="last_user",
    system=Turn(after="\n"),
    user=Turn(before="[I]", after="[/I]"),
    assistant=Turn(end="</s>", cut=" "),
)


def test_system_turn_may_be_said_in_the_last_user_turn():
    turns = ("system", "brief"), ("user", "a"), ("assistant", "b  "), ("user", "@c"), ("assistant", "d")
    assert render(MISTRAL, *turns) == [
        [],
        ["<s>", "[I]", "a", "[/I]"],
        ["B", "</S>"],
        ["[I]", "brief", "\n"],
        [],
        ["c", "[/I]"],
        ["D", "</S>"],
    ]


@pytest.mark.parametrize("turns", [[("system", "a"), ("assistant", "b")], [("system", "a@"), ("user", "b")]])
def test_system_turn_that_cannot_be_said_there_is_bad_data(turns):
    with pytest.raises(InputError, match="last user turn") as caught:
        render(MISTRAL, *turns)
    error = caught.value
    assert (error.reason, error.segment) == (Reason.FIELD_INVALID, 0)
    assert (error.member, error.offset, error.size) == ("k.json", 512, 9)


def test_empty_system_turn_leaves_the_user_turn_as_it_is():
    assert render(MISTRAL, ("system", ""), ("user", "a")) == [[], ["<s>", "[I]", "a", "[/I]"]]


def test_special_tokens_may_swallow_white_space_behind_them():
    greedy = template(swallowing=("<s>",), user=Turn(before="<s>\n", end="<e>\n"), assistant=Turn(before="<s>\n"))
    assert render(greedy, ("user", " \u2003a b"), ("assistant", "\t c")) == [
        ["<s>", "a", " b", "<e>", "\n"],
        ["<s>", "C"],
    ]
    assert render(greedy, ("user", " "), ("user", "\x1ca"))[0] == ["<s>", "<e>", "\n"]
    assert render(greedy, ("user", "\x1ca"))[0][1] == "\x1c"


@pytest.mark.parametrize("name", [name for name in profile_names() if load_profile(name).chat is not None])
def test_marks_of_each_profile_are_special_tokens_of_it(name):
    profile = load_profile(name)
    chat = profile.chat
    texts = [chat.start]
    for turn in (chat.system, chat.user, chat.assistant):
        texts += [turn.before, turn.before_image or "", turn.end, turn.after]
    for literal in sorted(profile.tokens.literals(), key=len, reverse=True):
        texts = [text.replace(literal, "") for text in texts]
    assert not re.search(r"[<>|\[\]]", "".join(texts))
    assert set(chat.swallowing) <= set(profile.tokens.literals())
    assert chat.assistant.end
