"""Finds what an older build left that a new one may start from: the measured samples of a unit, and its packs.

An index holds what decoding and scoring found. Where only settings behind them are others, a unit of the same shards
is packed anew from its index; `write` copies the views that did not change out of the older packs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline import storage
from pipeline.errors import Reason
from pipeline.types import Older, Unit

Hashes = tuple[tuple[str, str], ...]
"""(name, sha256) of each shard of a unit, in order."""
MayReplan = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]
"""Whether the units of an older recipe can be re-planned for a newer one; both are those of a source."""


class OlderUnits:
    """The units of a version, by the shards that they were built from."""

    def __init__(self, output: str, manifests: Sequence[Mapping[str, Any]], may_replan: MayReplan) -> None:
        self._output = output
        self._may_replan = may_replan
        self._units: dict[Hashes, Mapping[str, Any]] = {}
        self._closings: dict[str, Mapping[str, Any]] = {}
        for manifest in manifests:
            self._closings |= dict.fromkeys(manifest.get("closes", ()), manifest)
            if "closes" not in manifest:
                self._units[tuple((entry["shard"], entry["sha256"]) for entry in manifest["inputs"])] = manifest

    def found(self, unit: Unit, hashes: Sequence[tuple[str, str]], recipe: Mapping[str, Any]) -> Unit:
        """The unit with what it can be re-planned from, or as it is. recipe: of its source, that it is to have.

        Samples that were withheld are in no index, and too-long is what another length may decide otherwise: a unit
        that has either is built from its shards. So is one whose index or rejects are not what its manifest says.
        """
        manifest = self._units.get(tuple(hashes))
        if manifest is None or not self._may_replan(manifest["recipe"], recipe):
            return unit
        takes = [entry.get("take") for entry in manifest["inputs"]]
        if takes != list(unit.take or [None] * len(takes)):
            return unit
        if manifest["counts"]["samples"]["withheld"] or Reason.TOO_LONG in manifest["reasons"]:
            return unit
        (index,) = _files(manifest, "index")
        (rejects,) = _files(manifest, "rejects")
        if not (self._is_sound(index) and self._is_sound(rejects)):
            return unit
        closing = self._closings.get(manifest["unit"])
        packs = [*_files(manifest, "data"), *(_files(closing, "data") if closing else [])]
        urls = [self._url(file) for file in packs]
        ends = (
            {"rows": entry["samples"], **{name: entry[name] for name in ("sha256", "bytes", "ignored")}}
            for entry in manifest["inputs"]
        )
        older = Older(
            index=self._url(index),
            rejects=self._url(rejects),
            packs=tuple(filter(storage.exists, urls)),
            ends=tuple(ends),
            recipe=manifest["recipe"],
        )
        return replace(unit, older=older)

    def _is_sound(self, file: Mapping[str, Any]) -> bool:
        return storage.exists(self._url(file)) and storage.hash_file(self._url(file)) == file["sha256"]

    def _url(self, file: Mapping[str, Any]) -> str:
        return storage.join(self._output, file["path"])


def _files(manifest: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    return [file for file in manifest["files"] if file["kind"] == kind]
