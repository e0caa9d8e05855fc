"""Draws that depend on a seed and a name alone: the same on every machine, whoever drew before."""

from __future__ import annotations

import hashlib

DRAWN_BITS = 64


def draw(seed: int, purpose: str, name: str) -> int:
    """A number of 0 .. 2^64 - 1, uniform over names. purpose: what it is for, so that two draws of one name differ."""
    drawn = hashlib.blake2b(f"{purpose}\0{seed}\0{name}".encode("utf-8", "surrogatepass"), digest_size=DRAWN_BITS // 8)
    return int.from_bytes(drawn.digest(), "big")


def draw_below(limit: int, seed: int, purpose: str, name: str) -> int:
    """A number of 0 .. limit - 1; its bias is under limit / 2^64."""
    return draw(seed, purpose, name) * limit >> DRAWN_BITS
