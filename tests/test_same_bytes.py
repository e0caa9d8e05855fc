"""Promise 4: output bytes depend on input bytes, recipe and numeric class alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import SPREAD, build, tree, write_small_shards

SMALL = ("unit.target_shards=2", "sequence_length=2048")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_small_shards(tmp_path_factory.mktemp("shards"), 6, 6)


@pytest.fixture(scope="module")
def expected(shards: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    output = tmp_path_factory.mktemp("expected") / "out"
    summary = build(output, shards, *SMALL)
    assert summary["totals"]["samples"]["packed"] == 36
    assert summary["units"]["built"] >= 2
    return tree(output)


def test_another_folder_gives_the_same_bytes(shards: str, expected: dict[str, str], tmp_path: Path) -> None:
    build(tmp_path / "elsewhere" / "deeper", shards, *SMALL)
    assert tree(tmp_path / "elsewhere" / "deeper") == expected


def test_a_copy_of_the_shards_with_other_times_gives_the_same_bytes(
    shards: str, expected: dict[str, str], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for shard in Path(shards).parent.glob("*.tar"):
        (copy / shard.name).write_bytes(shard.read_bytes())
    build(tmp_path / "out", str(copy / Path(shards).name), *SMALL)
    assert tree(tmp_path / "out") == expected


@pytest.mark.parametrize(
    "batch_size", [pytest.param(1, marks=pytest.mark.slow), 5, pytest.param(64, marks=pytest.mark.slow)]
)
def test_batch_size_changes_no_byte(shards: str, expected: dict[str, str], tmp_path: Path, batch_size: int) -> None:
    """Locally a batch is a table of `read`; on Ray it is what the job says. Here every table is cut to the size."""
    from pipeline import chain

    original = chain.read_shard

    def cut(*arguments: object, **options: object):  # type: ignore[no-untyped-def]
        return original(*arguments, **options, batch_rows=batch_size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "read_shard", cut)
        build(tmp_path / "out", shards, *SMALL)
    assert tree(tmp_path / "out") == expected


@pytest.mark.parametrize("processes", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_a_local_run_in_several_processes_gives_the_same_bytes(
    shards: str, expected: dict[str, str], tmp_path: Path, processes: int
) -> None:
    build(tmp_path / "out", shards, *SMALL, workers=processes)
    assert tree(tmp_path / "out") == expected


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize(
    ("workers", "batch_size"),
    [pytest.param(1, 32, marks=pytest.mark.slow), (2, 3), pytest.param(4, 1, marks=pytest.mark.slow)],
)
def test_ray_with_any_number_of_actors_and_any_batch_gives_the_bytes_of_a_local_run(
    shards: str, expected: dict[str, str], tmp_path: Path, workers: int, batch_size: int
) -> None:
    batches = [f"resources.{name}.batch_size={batch_size}" for name in ("decode", "score", "pack")]
    build(tmp_path / "out", shards, *SMALL, *batches, local=False, workers=workers)
    assert tree(tmp_path / "out") == expected


@pytest.mark.usefixtures("ray_session")
def test_ray_with_a_pool_per_operator_gives_the_bytes_of_a_local_run(shards: str, tmp_path: Path) -> None:
    """All operators: filters too, which drop segments, and derive, which adds rows that `pack` waits for."""
    rules = "filters={size: {min: 100}, near_duplicate: true, words: {min: 20}, dedup: {images: 2}}"
    settings = (*SMALL, rules, "derive=[shuffle-steps, images-to-texts]", "limits.max_reject_ratio=1")
    build(tmp_path / "here", shards, *settings)
    totals = build(tmp_path / "out", shards, *settings, *SPREAD, local=False)["totals"]
    assert tree(tmp_path / "out") == tree(tmp_path / "here")
    assert totals["samples"]["derived"] > 0
    assert totals["segments"]["rejected"] > 0


def test_a_finished_run_writes_nothing_when_it_is_run_again(
    shards: str, expected: dict[str, str], tmp_path: Path
) -> None:
    build(tmp_path, shards, *SMALL)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    again = build(tmp_path, shards, *SMALL)
    assert again["units"]["built"] == 0
    assert not again["new_version"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == before
    assert tree(tmp_path) == expected
