"""A small input that claims, unpacks or makes much takes no more memory than its declared cap and 256 MB."""

from __future__ import annotations

import pytest

from tests.fuzz.bombing import Range
from tests.fuzz.bombs import Bomb, bombs

SMOKE = {
    "gzip named .tar",
    "pax size of 8 GB",
    "a sample of 43 members of 7 MiB",
    "iCCP of 200 MB",
    "JSON of empty lists",
}
ALL = bombs()
MOST_SECONDS = 60
"""A machine that does much else may take several times the 5 s that are the goal."""


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Range:
    return Range(tmp_path_factory.mktemp("bombs"))


def goes_off_harmlessly(field: Range, bomb: Bomb) -> None:
    blast = field.blast(bomb)
    assert blast.faults == []
    assert blast.seconds < MOST_SECONDS


@pytest.mark.parametrize("bomb", [bomb for bomb in ALL if bomb.name in SMOKE], ids=lambda bomb: bomb.name)
def test_bomb_stays_within_its_cap_and_its_neighbours_are_packed(field: Range, bomb: Bomb) -> None:
    goes_off_harmlessly(field, bomb)


@pytest.mark.slow
@pytest.mark.parametrize("bomb", [bomb for bomb in ALL if bomb.name not in SMOKE], ids=lambda bomb: bomb.name)
def test_every_further_bomb_stays_within_its_cap(field: Range, bomb: Bomb) -> None:
    goes_off_harmlessly(field, bomb)


def test_the_bombs_of_the_smoke_are_all_there() -> None:
    assert {bomb.name for bomb in ALL} >= SMOKE


def test_a_bomb_of_an_unexpected_fate_is_seen(field: Range) -> None:
    harmless = next(bomb for bomb in ALL if bomb.name == "EXIF of 2^29 values")
    wrong = Bomb("wrong", "tar", harmless.chunks, frozenset({"decode-error"}))
    assert field.blast(wrong).faults == ["came to ['packed']; ['decode-error'] expected"]
