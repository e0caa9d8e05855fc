"""What other thresholds, limits or lengths leave of an older build is used again, and not a byte tells."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobs import chain as jobs_chain
from jobs.verify import verify
from operators.write import Write
from pipeline import chain
from pipeline.errors import StorageError
from tests.support import build, documents, tree, write_pairs, write_shard, write_small_shards
from tests.test_conversations_end_to_end import MEMBERS
from tests.test_damage import members, picture

PATIENT = "limits.max_reject_ratio=1"
SMALL = ("unit.target_shards=2", "sequence_length=2048", PATIENT)
THRIFTY = "budget.max_tokens=100"
NO_MAPS = ("score=null", "budget=none")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Documents with pictures large and small, one with a picture that is none, and a shard that was cut."""
    pattern = write_small_shards(tmp_path_factory.mktemp("shards"), 4, 6)
    damaged = members(3) | {"0001.0.png": picture(1)[:50]}
    large = {name: data for found in list(documents().values())[:2] for name, data in found.items()}
    write_shard(Path(pattern).parent / "small-000001.tar", damaged | large)
    last = Path(pattern).parent / "small-000003.tar"
    last.write_bytes(last.read_bytes()[:-11_000])
    return pattern


@pytest.fixture(scope="module")
def older(shards: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("older") / "out"
    summary = build(output, shards, *SMALL)
    assert summary["reasons"].keys() == {"decode-error", "tar-truncated", "field-missing"}
    assert summary["replanned"] == {
        "units": 0,
        "views": {"copied": 0, "rendered": summary["totals"]["tokens"]["views"]},
    }
    return output


@contextmanager
def nothing_read() -> Iterator[None]:
    """Inside, reading a shard from its start is an error."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a shard was read")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "read_shard", refuse)
        yield


def is_fresh(output: Path, fresh: Path) -> bool:
    """Whether the newest version of `output` has the bytes of the only one of `fresh`."""
    newest = max((output / "versions").iterdir()).read_bytes()
    found, wanted = tree(output), tree(fresh)
    files = {path: digest for path, digest in wanted.items() if not path.startswith("versions/")}
    return newest == (fresh / "versions" / "000001.json").read_bytes() and files.items() <= found.items()


def replanned(output: Path, shards: str | None, *options: str, **more: Any) -> dict[str, Any]:
    """The output built anew by a run that must not read a shard; what it says of re-planning."""
    with nothing_read():
        return dict(build(output, shards, *options, rebuild=True, **more)["replanned"])


@pytest.mark.parametrize(
    ("changes", "copies_all"),
    [
        ((THRIFTY,), False),
        pytest.param(("budget.max_tokens=200", "score.propositional=0.1"), False, marks=pytest.mark.slow),
        pytest.param(("sequence_length=4096",), True, marks=pytest.mark.slow),
        (("sequence_length=1024", "pack.limits.patches=4096", "pack.align=8"), True),
        pytest.param(("loss_weights=square", "pack.closing=true"), True, marks=pytest.mark.slow),
    ],
)
def test_other_settings_give_the_bytes_of_a_fresh_build_without_a_shard_being_read(
    shards: str, older: Path, tmp_path: Path, changes: tuple[str, ...], copies_all: bool
) -> None:
    shutil.copytree(older, tmp_path / "out")
    found = replanned(tmp_path / "out", shards, *SMALL, *changes)
    fresh = build(tmp_path / "fresh", shards, *SMALL, *changes)
    assert is_fresh(tmp_path / "out", tmp_path / "fresh")
    assert found["units"] == 2
    assert sum(found["views"].values()) == fresh["totals"]["tokens"]["views"]
    assert found["views"]["copied"] > 0
    assert (found["views"]["rendered"] == 0) == copies_all
    assert verify(str(tmp_path / "out")).findings == []


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_ray_replans_to_the_same_bytes(shards: str, older: Path, tmp_path: Path) -> None:
    changes = (*SMALL, THRIFTY, "pack.closing=true")
    shutil.copytree(older, tmp_path / "out")
    summary = build(tmp_path / "out", shards, *changes, rebuild=True, local=False)
    build(tmp_path / "fresh", shards, *changes)
    assert is_fresh(tmp_path / "out", tmp_path / "fresh")
    assert (summary["units"]["built"], summary["replanned"]["units"]) == (3, 2)
    assert min(summary["replanned"]["views"].values()) > 0


def test_a_run_that_stopped_half_way_goes_on_from_the_older_build(shards: str, older: Path, tmp_path: Path) -> None:
    shutil.copytree(older, tmp_path / "out")
    written = 0

    class Stopping(Write):
        def __call__(self, table):  # type: ignore[no-untyped-def]
            nonlocal written
            written += 1
            if written > 4:
                raise StorageError("no space left")
            return super().__call__(table)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs_chain, "Write", Stopping)
        with pytest.raises(StorageError):
            build(tmp_path / "out", shards, *SMALL, THRIFTY, rebuild=True)
    assert replanned(tmp_path / "out", shards, *SMALL, THRIFTY)["units"] == 1
    build(tmp_path / "fresh", shards, *SMALL, THRIFTY)
    assert is_fresh(tmp_path / "out", tmp_path / "fresh")


def test_a_closing_unit_is_replanned_from_one(shards: str, tmp_path: Path) -> None:
    closing = (*SMALL, "pack.closing=true")
    build(tmp_path / "out", shards, *closing)
    found = replanned(tmp_path / "out", shards, *closing, "loss_weights=token")
    fresh = build(tmp_path / "fresh", shards, *closing, "loss_weights=token")
    assert is_fresh(tmp_path / "out", tmp_path / "fresh")
    assert found["views"] == {"copied": fresh["totals"]["tokens"]["views"], "rendered": 0}


def test_copies_of_a_mixture_and_another_weight_are_replanned(tmp_path: Path) -> None:
    sources: dict[str, dict[str, Any]] = {
        "docs": {"shards": write_small_shards(tmp_path / "a", 2, 5), "weight": 1.5},
        "photos": {"shards": write_pairs(tmp_path / "b", 2, 4), "format": "pairs"},
    }

    def given() -> str:
        return f"input={json.dumps({'sources': sources})}"

    build(tmp_path / "out", None, given(), *SMALL)
    sources["photos"]["weight"] = 2.5
    found = replanned(tmp_path / "out", None, given(), *SMALL, THRIFTY)
    fresh = build(tmp_path / "fresh", None, given(), *SMALL, THRIFTY)
    assert is_fresh(tmp_path / "out", tmp_path / "fresh")
    assert found["units"] == fresh["units"]["built"] > 1
    assert sum(found["views"].values()) == fresh["totals"]["tokens"]["views"]
    assert fresh["totals"]["samples"]["repeated"] > 5


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("pixels=patches", *NO_MAPS), id="patches"),
        pytest.param(("pixels=source",), id="source", marks=pytest.mark.slow),
        pytest.param(("profile=llava_next_hf", *NO_MAPS), id="tiles without maps"),
        pytest.param(("profile=smolvlm", "budget=none"), id="tiles with maps", marks=pytest.mark.slow),
        pytest.param(("placement.images=prefix",), id="pictures first", marks=pytest.mark.slow),
    ],
)
def test_every_kind_of_pixels_and_of_views_is_replanned(shards: str, tmp_path: Path, options: tuple[str, ...]) -> None:
    options = (*SMALL, *options, "sequence_length=8192")
    build(tmp_path / "out", shards, *options)
    found = replanned(tmp_path / "out", shards, *options, "sequence_length=16384")
    build(tmp_path / "fresh", shards, *options, "sequence_length=16384")
    assert is_fresh(tmp_path / "out", tmp_path / "fresh")
    assert found["units"] == 2
    assert found["views"]["rendered"] == 0


def test_a_document_in_parts_is_replanned(tmp_path: Path) -> None:
    shards = write_small_shards(tmp_path / "in", 2, 12)
    changes = ("sequence_length=512", "pack.long_documents=split")
    build(tmp_path / "out", shards, *SMALL)
    assert replanned(tmp_path / "out", shards, *SMALL, *changes)["views"]["rendered"] == 0
    fresh = build(tmp_path / "fresh", shards, *SMALL, *changes)
    assert is_fresh(tmp_path / "out", tmp_path / "fresh")
    assert fresh["totals"]["packs"]["split"] > 3


def test_conversations_are_replanned_with_what_they_train(tmp_path: Path) -> None:
    shard = str(write_shard(tmp_path / "talk.tar", MEMBERS))
    talk = (*SMALL, "input.format=conversations")
    assert build(tmp_path / "out", shard, *talk)["reasons"]["no-loss"] == 1
    assert replanned(tmp_path / "out", shard, *talk, "loss_weights=sample")["units"] == 1
    build(tmp_path / "fresh", shard, *talk, "loss_weights=sample")
    assert is_fresh(tmp_path / "out", tmp_path / "fresh")


def test_damage_that_only_writing_finds_is_found_again(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((200, 160), 80).convert("RGB").save(buffer, "JPEG")
    found = members(4)
    index = {"texts": ["a page", None, None], "images": [None, "0.jpg", "1.jpg"]}
    whole = buffer.getvalue()
    found |= {"x.json": json.dumps(index).encode(), "x.0.jpg": whole, "x.1.jpg": whole[: len(whole) // 2]}
    shard = str(write_shard(tmp_path / "s.tar", found))
    assert build(tmp_path / "out", shard, *SMALL, *NO_MAPS)["reasons"] == {"decode-error": 1}
    again = replanned(tmp_path / "out", shard, *SMALL, *NO_MAPS, "sequence_length=1024")
    build(tmp_path / "fresh", shard, *SMALL, *NO_MAPS, "sequence_length=1024")
    assert is_fresh(tmp_path / "out", tmp_path / "fresh")
    assert again["views"]["copied"] == 4


def test_a_changed_shard_is_read_and_the_other_units_are_replanned(shards: str, older: Path, tmp_path: Path) -> None:
    shutil.copytree(older, tmp_path / "out")
    shutil.copytree(Path(shards).parent, tmp_path / "in")
    write_shard(tmp_path / "in" / "small-000003.tar", members(5))
    changed = str(tmp_path / "in" / Path(shards).name)
    summary = build(tmp_path / "out", changed, *SMALL, THRIFTY, rebuild=True)
    build(tmp_path / "fresh", changed, *SMALL, THRIFTY)
    assert is_fresh(tmp_path / "out", tmp_path / "fresh")
    assert (summary["units"]["built"], summary["replanned"]["units"]) == (2, 1)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Small documents, as each of them is scored three times."""
    return write_small_shards(tmp_path_factory.mktemp("few"), 2, 4)


def lengths_refused(output: Path, shards: str) -> tuple[str, ...]:
    build(output, shards, *SMALL, "sequence_length=128")
    return ("sequence_length=4096",)


def samples_withheld(output: Path, shards: str) -> tuple[str, ...]:
    build(output, shards, *SMALL, "input.weight=0.5")
    return ("input.weight=0.5", THRIFTY)


def index_damaged(output: Path, shards: str) -> tuple[str, ...]:
    build(output, shards, *SMALL)
    for path in (output / "index").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    return (THRIFTY,)


def rejects_lost(output: Path, shards: str) -> tuple[str, ...]:
    build(output, shards, *SMALL)
    shutil.rmtree(output / "rejects")
    return (THRIFTY,)


def budget_new(output: Path, shards: str) -> tuple[str, ...]:
    build(output, shards, *SMALL, "budget=none")
    return ()


def pixels_otherwise(output: Path, shards: str) -> tuple[str, ...]:
    build(output, shards, *SMALL, "pixels=none")
    return ()


FURTHER = (lengths_refused, samples_withheld, rejects_lost, pixels_otherwise)


@pytest.mark.parametrize(
    "built", [index_damaged, budget_new, *(pytest.param(way, marks=pytest.mark.slow) for way in FURTHER)]
)
def test_what_an_index_does_not_hold_is_built_from_its_shards(few: str, tmp_path: Path, built: Any) -> None:
    changes = built(tmp_path / "out", few)
    summary = build(tmp_path / "out", few, *SMALL, *changes, rebuild=True)
    build(tmp_path / "fresh", few, *SMALL, *changes)
    assert summary["replanned"]["units"] == 0
    assert is_fresh(tmp_path / "out", tmp_path / "fresh")


def test_packs_that_are_gone_are_rendered_again(shards: str, older: Path, tmp_path: Path) -> None:
    shutil.copytree(older, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "data")
    found = replanned(tmp_path / "out", shards, *SMALL, THRIFTY)
    build(tmp_path / "fresh", shards, *SMALL, THRIFTY)
    assert is_fresh(tmp_path / "out", tmp_path / "fresh")
    assert found["views"]["copied"] == 0
