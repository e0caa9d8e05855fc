"""Mistral's tekken.json: tiktoken ranks behind a block of special tokens."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any

from operators.tokenizers.ranks import RankTokenizer
from pipeline.errors import ConfigError

UNLISTED = (
    *("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]"),
    *("[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]"),
    *("[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"),
)
"""Special tokens 0 to 19 of files that list none. Source: mistral-common 1.13, tokens/tokenizers/tekken.py."""
UNLISTED_VERSIONS = frozenset({"v1", "v2", "v3", "v7"})
"""Later files list theirs."""


def open_tekken(file: Mapping[str, Any], special: Iterable[str], name: str = "the tokenizer") -> RankTokenizer:
    """A tekken.json as mistral-common reads it; `file` is the parsed JSON.

    Ids 0 to default_num_special_tokens are special tokens by name, `<SPECIAL_n>` where no name is given, and all can
    be trusted: text becomes ranks alone, whose ids follow. The vocabulary is cut to default_vocab_size.
    ConfigError if a part is missing or does not fit.
    """
    try:
        config = file["config"]
        names = _names(file)
        num_special: int = config["default_num_special_tokens"]
        trusted = {names.get(i, f"<SPECIAL_{i}>"): i for i in range(num_special)}
        tokens = file["vocab"][: config["default_vocab_size"] - num_special]
        ranks = {b64decode(token["token_bytes"], validate=True): int(token["rank"]) for token in tokens}
        pattern: str = config["pattern"]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{name} is no whole tekken.json: {type(error).__name__}: {error}; take the file as Mistral ships it"
        ) from error
    if len(trusted) < num_special or max(names, default=0) >= num_special:
        raise ConfigError(f"{name} has special tokens without an id of their own under {num_special}; take another")
    return RankTokenizer(ranks, pattern, special, name, trusted=trusted, shift=num_special)


def _names(file: Mapping[str, Any]) -> dict[int, str]:
    listed = file.get("special_tokens")
    if listed is not None:
        return {int(token["rank"]): str(token["token_str"]) for token in listed}
    version = file["config"]["version"]
    if version not in UNLISTED_VERSIONS:
        raise ValueError(f"no special_tokens, which files of version {version} list")
    return dict(enumerate(UNLISTED))
