"""Small shards of every format, made here in the layouts that their data sets are published in."""

from __future__ import annotations

import base64
import io
import json
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

GOLDEN = [[0.2436, 0.3176, 0.2769], [0.2233, 0.3235, 0.2612]]
"""MMC4's own example: the assignment is [2, 1], where the best of each row would be [1, 1]."""
Members = dict[str, bytes]


@cache
def picture(seed: int, form: str = "JPEG") -> bytes:
    """A picture of its own, 96 by 64 pixels."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).resize((96, 64)).save(out, form)
    return out.getvalue()


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _interleaved() -> Members:
    return {
        "0000.json": as_json({"texts": ["A page.", None, "Ends."], "images": [None, "0.png", None], "meta": {"a": 1}}),
        "0000.0.png": picture(1, "PNG"),
        "0001.json": as_json({"texts": [None, None, "Two."], "images": ["1.jpg", "0.jpg", None]}),
        "0001.0.jpg": picture(2),
        "0001.1.jpg": picture(3),
        "0002.json": as_json({"texts": ["Words alone."], "images": [None]}),
    }


def _conversations() -> Members:
    llava = [
        {"from": "human", "value": "<image>\nWhat is this?"},
        {"from": "gpt", "value": "A box."},
        {"from": "human", "value": "And <image><image>?"},
        {"from": "gpt", "value": "Two."},
    ]
    said = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "<image>Hi"}]
    alone = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    return {
        "0000.json": as_json({"id": "a/1", "image": ["x/1.jpg"], "conversations": llava}),
        **{f"0000.{number}.jpg": picture(10 + number) for number in range(3)},
        "0001.jpg": picture(13),
        "0001.json": as_json({"messages": [*said, {"role": "assistant", "content": "Ho"}]}),
        "0002.json": as_json({"conversations": alone}),
    }


def _mmc4() -> Members:
    """The first in OpenFlamingo's form, the others with members."""
    base = [{"image_name": f"{n}.jpg", "image_base64": base64.b64encode(picture(20 + n)).decode()} for n in range(2)]
    info = {"raw_url": "http://x/y.jpg", "matched_sim": 0.3}
    return {
        "0000.json": as_json(
            {"text_list": ["One.", "Two.", "Three."], "image_info": base, "similarity_matrix": GOLDEN, "url": "u"}
        ),
        "0001.json": as_json(
            {
                "text_list": ["One.", "Two."],
                "image_info": [
                    {"image_name": "b9040a.png", "matched_text_index": 1, **info},
                    {"image_name": "c1.jpg", "matched_text_index": 1, **info},
                ],
                "similarity_matrix": [[0.1, 0.2], [0.3, 0.1]],
            }
        ),
        "0001.b9040a.png": picture(22, "PNG"),
        "0001.1.jpg": picture(23),
        "0002.json": as_json({"text_list": ["Words alone."], "image_info": []}),
    }


def _comm() -> Members:
    def text(content: str) -> dict[str, str]:
        return {"type": "text", "content": content}

    def image(path: str) -> dict[str, str]:
        return {"type": "image", "url": f"http://x/{path}", "image_path": path}

    about = {"data_id": "w1", "dataset_type": "wikihow"}
    return {
        "0000.json": as_json(
            about
            | {
                "title": "How to boil an egg",
                "summary_info": [text("Boil it."), image("wiki/cover.jpg")],
                "step_info": [[text("Take water."), image("wiki/a.jpg")], [text("Boil."), image("wiki/b.png")]],
            }
        ),
        "0000.cover.jpg": picture(30),
        "0000.a.jpg": picture(31),
        "0000.b.png": picture(32, "PNG"),
        "0001.json": as_json(
            about | {"summary_info": [], "step_info": [[text("One."), image("q.jpg")], [text("Two.")]]}
        ),
        "0001.0.jpg": picture(33),
        "0002.json": as_json(about | {"title": "Words", "step_info": [[text("alone")]]}),
    }


def _energon() -> Members:
    return {
        "sample_000001.2345ew.jpg": picture(40),
        "sample_000001.json": as_json(
            {"images": [None, "2345ew.jpg", None], "texts": ["An image follows.", None, "More text."]}
        ),
        "sample_000002.json": as_json(
            {"texts": ["One.", "Two.", "Three."], "images": ["a.jpg", "b.png"], "similarity_matrix": GOLDEN}
        ),
        "sample_000002.a.jpg": picture(41),
        "sample_000002.b.png": picture(42, "PNG"),
    }


def _frames() -> Members:
    return {
        **{f"clip0.{number:03d}.jpg": picture(50 + number) for number in range(3)},
        "clip0.txt": b"A ball rolls.",
        **{f"clip1.{number:03d}.jpg": picture(54 + number) for number in range(1, 12)},
        "clip1.json": as_json({"caption": "Counted from one.", "fps": 2}),
    }


def _pairs() -> Members:
    about = {"url": "http://x/y.jpg", "status": "success", "width": 96}
    return {
        "000000000.jpg": picture(70),
        "000000000.json": as_json(about | {"caption": "in the json"}),
        "000000000.txt": b"in the txt",
        "000000001.webp": picture(71, "WEBP"),
        "000000001.json": as_json(about | {"caption": "A caption \u00e9."}),
        "000000002.png": picture(72, "PNG"),
        "000000002.txt": "né".encode(),
    }


def _text() -> Members:
    return {"a.txt": b"Words alone.", "b.json": as_json({"text": "As in a JSON.", "url": "u"})}


MAKERS = {
    "interleaved": _interleaved,
    "conversations": _conversations,
    "mmc4": _mmc4,
    "comm": _comm,
    "energon": _energon,
    "frames": _frames,
    "pairs": _pairs,
    "text": _text,
}


def made(name: str) -> Members:
    """The members of a small shard of that format: its published layout, pictures that decode, and a bare text."""
    return MAKERS[name]()
