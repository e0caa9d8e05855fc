"""No key in a job, an address or a message: keys belong in the environment or to the machine's role.

A job is copied into the record of its run and an address into every error that names it, so what holds a secret is
refused before any work, by the name of its field and never by its value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

from pipeline.errors import ConfigError

WHERE = (
    "keys and tokens belong in the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, "
    "RAY_AUTH_TOKEN) or to the machine's role"
)
LEAST_CHARS = 8
"""Shorter values of the environment are found by chance in any text, and would be no secret."""
_WORDS = frozenset(
    {
        *("key", "keys", "apikey", "accesskey", "secret", "secrets", "token", "password", "passwd", "passphrase"),
        *("pat", "auth", "credential", "credentials", "authorization", "signature", "sig", "sas"),
        *("storageoptions", "clientkwargs", "accountkey", "connectionstring"),
    }
)
_ENDINGS = ("password", "passwd", "pass")
_USER_INFO = re.compile(r"://[^/?#]*@")
_USER_AND_SECRET = re.compile(r"://[^/@?#\[\]]*:(?!\d*(?:[/?#]|$))[^?#]*@|s3a?://[^/@?#]*:[^?#]*@")
"""A colon that begins no port, and an @ further on: a secret may hold slashes. A bucket has no port at all."""
_PLACES = ("PATH", "FILE", "DIR", "URL", "URI")
"""Ends of variables' names that say where a secret is, not what."""


def is_secret_name(name: str) -> bool:
    """Whether a field, a parameter or a variable of this name holds a secret: `AWS_SECRET_ACCESS_KEY`, `sasToken`."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]
    pairs = [one + other for one, other in pairwise(words)]
    is_ending = any(word.endswith(_ENDINGS) for word in words)  # PGPASSWORD, SSHPASS
    return not _WORDS.isdisjoint([*words, *pairs]) or is_ending or (len(words) > 1 and "pwd" in words)


def fault_of_url(text: str) -> str | None:
    """What secret an address holds: `user info` or `a signature or token in its query`; None if none."""
    if "://" not in text:
        return None
    if _USER_INFO.search(text) or _USER_AND_SECRET.search(text):
        return "user info"
    query = text.partition("?")[2].partition("#")[0]
    if any(is_secret_name(name) for name, _ in parse_qsl(query, keep_blank_values=True)):
        return "a signature or token in its query"
    return None


def refuse_secrets(value: Any, where: str) -> None:
    """ConfigError, a line a field, for each address with a secret anywhere in parsed YAML."""
    faults = [f"{field or 'job'}: an address with {fault}; {WHERE}" for field, fault in _faults(value, "")]
    if faults:
        raise ConfigError("\n".join([f"{where} holds secrets:", *(f"  {line}" for line in faults)]))


def _faults(value: Any, field: str) -> list[tuple[str, str]]:
    if isinstance(value, str):
        fault = fault_of_url(value)
        return [(field, fault)] if fault else []
    parts: list[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        parts = list(value.items())
    elif isinstance(value, list | tuple):
        parts = list(enumerate(value))
    return [found for name, part in parts for found in _faults(part, f"{field}.{name}" if field else f"{name}")]


def refuse_secret_arguments(arguments: list[str]) -> None:
    """ConfigError for an argument of the command line that is, or sets a field to, an address with a secret."""
    for number, argument in enumerate(arguments, 1):
        fault = fault_of_url(argument)
        if fault is None:
            continue
        before = arguments[number - 2] if number > 1 else ""
        name = f"{before} " if before.startswith("--") else f"argument {number}: "
        name += f"{argument.partition('=')[0]}: " if before == "--set" else ""
        name = argument.partition("=")[0] + ": " if argument.startswith("--") else name
        raise ConfigError(f"{name}an address with {fault}; {WHERE}")


def redact(text: str) -> str:
    """`text` without the secrets that the environment holds, should a library have put one into its message."""
    for name, secret in os.environ.items():
        if len(secret) >= LEAST_CHARS and is_secret_name(name) and not name.endswith(_PLACES):
            text = text.replace(secret, f"<{name}>")
    return text
