"""The kind of a tokenizer file is found from its bytes; what is none is refused in one line."""

import base64
import json
import pickle

import pytest

from operators.tokenizers.opening import open_tokenizer
from operators.tokenizers.ranks import RankTokenizer
from operators.tokenizers.sentencepiece import SentencePieceTokenizer
from operators.tokenizers.tokenizer_json import JsonTokenizer
from pipeline.errors import ConfigError
from tests.operators.tokenizers.shipped import KINDS, MODELS, RANKS, TEKKENS, opened, read_kind

BYTES = b"".join(base64.b64encode(bytes([i])) + b" %d\n" % i for i in range(256))
TEKKEN = {
    "config": {"pattern": ".", "default_vocab_size": 260, "default_num_special_tokens": 4, "version": "v11"},
    "vocab": [{"rank": i, "token_bytes": base64.b64encode(bytes([i])).decode()} for i in range(256)],
    "special_tokens": [{"rank": i, "token_str": name} for i, name in enumerate(["<unk>", "<s>", "</s>"])],
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_told_from_its_bytes(kind):
    expected = RankTokenizer if kind in RANKS or kind in TEKKENS else JsonTokenizer
    assert type(opened(kind)) is (SentencePieceTokenizer if kind in MODELS or kind == "unigram" else expected)


def test_a_byte_order_mark_is_no_part_of_a_file():
    assert open_tokenizer(b"\xef\xbb\xbf" + read_kind("wordpiece")[0], []).size == opened("wordpiece").size


def test_tekken_files_may_list_their_special_tokens():
    tokenizer = open_tokenizer(json.dumps(TEKKEN).encode(), ["</s>", "<SPECIAL_3>", "<q>"])
    assert tokenizer.special_ids == {"</s>": 2, "<SPECIAL_3>": 3, "<q>": 260}
    assert tokenizer.encode(["</s>"]) == [[4 + byte for byte in b"</s>"]]
    assert tokenizer.decode([2, 3, 4 + ord("a"), 260]) == "a"


def changed(**fields):
    return json.dumps(TEKKEN | {"config": TEKKEN["config"] | fields}).encode()


WRONG = {
    "empty": (b"", "is empty"),
    "blank": (b" \n", "is empty"),
    "text": (b"no tokenizer at all", "is no SentencePiece model, tokenizer.json"),
    "binary": (bytes(range(1, 255)), "is no SentencePiece model, tokenizer.json"),
    "old pickle": (pickle.dumps({"a": 1}, 0), "is no SentencePiece model, tokenizer.json"),
    "pickle": (pickle.dumps({"a": 1}), "is a pickle"),
    "torch archive": (b"PK\x03\x04rest", "is a pickle"),
    "half a tokenizer.json": (b'{"model": {"vocab": {', "starts as JSON and is none"),
    "deep JSON": (b'{"a":' * 100_000, "starts as JSON and is none"),
    "vocab.json": (b'{"a": 1, "b": 2}', "an object with a, b"),
    "tokenizer_config.json": (b'{"model": "x", "vocab": []}', "tokenizer_config.json are not enough"),
    "list": (b'[{"a": 1}]', "but no tokenizer: a list"),
    "broken model": (b'{"model": {"vocab": {"a": "x"}}}', "is no tokenizer.json that"),
    "cut ranks": (b"".join(BYTES.splitlines(keepends=True)[:200]), "has no rank for byte 0xc8"),
    "same rank twice": (BYTES + b"YWI= 3\n", "has one rank for several tokens"),
    "rank that is none": (BYTES + b"YWI=\n", "line 257: b'YWI='; base64 and a rank expected"),
    "base64 that is none": (BYTES + b"YW\xff= 300\n", "line 257"),
    "vocab.txt of another encoding": (b"[UNK]\n\xff\n", "is no WordPiece vocab.txt"),
    "tekken without ranks": (json.dumps(TEKKEN | {"vocab": []}).encode(), "no rank for byte 0x00"),
    "tekken without config": (b'{"config": {}, "vocab": []}', "is no whole tekken.json: KeyError"),
    "tekken with too many special": (changed(default_num_special_tokens=2), "without an id of their own under 2"),
    "tekken without its special": (
        json.dumps({key: TEKKEN[key] for key in ("config", "vocab")}).encode(),
        "no special_tokens, which files of version v11 list",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_anything_else_is_refused_in_one_line(case):
    data, expected = WRONG[case]
    with pytest.raises(ConfigError) as error:
        open_tokenizer(data, ["<s>"], "there.file", pattern=r"\w+|\W")
    assert str(error.value).startswith("there.file")
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_ranks_need_a_pattern():
    with pytest.raises(ConfigError, match="set the profile's tokenizer_pattern"):
        open_tokenizer(BYTES, [], "there.file")
    with pytest.raises(ConfigError, match=r"the pattern '\(' is no regular expression"):
        open_tokenizer(BYTES, [], "there.file", pattern="(")
    assert open_tokenizer(BYTES, [], "there.file", pattern=r"\w+|\W").encode(["ab"]) == [[97, 98]]


def test_a_pickle_is_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(ConfigError):
            open_tokenizer(pickle.dumps(Trap(), protocol), [])
    assert not (tmp_path / "sprung").exists()
