"""The page: one HTML file that asks no network, whose data can end neither its script nor its markup."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from jobs.terminal import printable

TEMPLATE, STYLE, SCRIPT = "page.html", "page.css", "page.js"
MAX_INPUTS = 200
"""Shards that are listed; the manifests have them all."""
# Of JSON these are never more than letters within strings, where \uXXXX says the same.
ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


def render(content: Mapping[str, Any]) -> bytes:
    """The page of what `collect` returns; the same bytes for the same content.

    Scripts and styles other than its own two, which the policy names by hash, do not run, whatever is in the data.
    """
    style, script = _resource(STYLE), _resource(SCRIPT)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"indented": _indented, "printable": printable}
    data = {name: content[name] for name in ("sequence_length", "bars", "whole", "text_missing")}
    page = environment.from_string(_resource(TEMPLATE)).render(
        **content,
        style=Markup(style),  # noqa: S704 - our own files
        script=Markup(script),  # noqa: S704
        style_hash=_digest(style),
        script_hash=_digest(script),
        data=Markup(embeddable(data)),  # noqa: S704 - escaped for where it stands
        max_inputs=MAX_INPUTS,
    )
    return page.encode("utf-8", "replace")


def embeddable(value: Any) -> str:
    """JSON that cannot end the script element that holds it, nor begin a comment in it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).translate(ESCAPES)


def _indented(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)


def _resource(name: str) -> str:
    return files("jobs.report").joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
