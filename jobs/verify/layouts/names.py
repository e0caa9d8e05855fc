"""Key and field of a member by its name alone, by the three rules that formats have."""

from __future__ import annotations

IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"})


def last_dot(name: str) -> tuple[str, str] | None:
    """Up to the last dot of the base name, and what follows it. None without an extension and for hidden files."""
    base = name.rsplit("/", 1)[-1]
    stem, dot, extension = base.rpartition(".")
    if not dot or not stem or not extension or base.startswith("."):
        return None
    return name[: -len(extension) - 1], extension.lower()


def numbered(name: str) -> tuple[str, str] | None:
    """The same, but a number before a picture's extension is of the field."""
    own = last_dot(name)
    if own is None or own[1] not in IMAGES:
        return own
    outer, _, number = own[0].rpartition(".")
    return (outer, f"{number}.{own[1]}") if outer and number.isascii() and number.isdigit() else own


def first_dot(name: str) -> tuple[str, str] | None:
    """Up to the first dot of the base name, and what follows it."""
    if last_dot(name) is None:
        return None
    start = name.index(".", name.rfind("/") + 1)
    return name[:start], name[start + 1 :].lower()
