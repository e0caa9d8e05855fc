"""A row that kills or stalls the process that works on it costs itself alone, whatever it does, wherever it is."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import guard
from pipeline.errors import InputError, StorageError
from pipeline.guard import Guard, TaskSpec, run_here
from tests.poison import Trying

CRASHES = {"exit": "exit code 3", "crash": "SIGSEGV", "kill": "SIGKILL"}
STALLS = ("sleep", "hold", "spin")


def guarded(folder: Path, timeout_seconds: float = 20, max_bytes: int = 1 << 30) -> Guard:
    return Guard(TaskSpec(Trying, {"notes": str(folder)}, timeout_seconds, max_bytes), lambda: None)


def words(*names: str) -> pa.Table:
    return pa.table({"word": list(names)})


def told(result: guard.Result) -> object:
    if isinstance(result, InputError):
        return str(result.reason)
    return result["letters"] if isinstance(result, dict) else type(result)


def tried(folder: Path) -> Counter[str]:
    """How often each word was begun, in all children."""
    return Counter(word for path in folder.iterdir() for word in path.read_text().split())


def test_sound_rows_give_their_results_in_order_in_one_child(tmp_path: Path) -> None:
    ask = guarded(tmp_path)
    for _ in range(3):
        assert [told(found) for found in ask(words("a", "bcd", "ef"))] == [1, 3, 2]
    assert ask(words()) == []
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("deed", CRASHES)
def test_a_row_that_kills_its_child_is_named_after_two_deaths_and_all_others_have_their_results(
    tmp_path: Path, deed: str
) -> None:
    found = guarded(tmp_path)(words("a", "bcd", deed, "ef"))
    assert [told(one) for one in found] == [1, 3, "decode-crash", 2]
    assert CRASHES[deed] in str(found[2])
    times = tried(tmp_path)
    assert (times[deed], times["ef"]) == (2, 1)
    assert max(times["a"], times["bcd"]) <= 2  # results that were not handed over yet are made again


@pytest.mark.parametrize("deed", STALLS)
def test_a_row_that_stalls_in_python_or_in_c_is_named_after_its_time(tmp_path: Path, deed: str) -> None:
    begun = time.monotonic()
    found = guarded(tmp_path, timeout_seconds=2)(words("a", deed, "ef"))
    assert [told(one) for one in found] == [1, "decode-timeout", 2]
    assert "limits.decode_timeout_seconds" in str(found[1])
    assert time.monotonic() - begun < 60


def test_a_child_that_was_stopped_is_ended_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "GRACE_SECONDS", 1)
    found = guarded(tmp_path, timeout_seconds=2)(words("a", "stop", "ef"))
    assert [told(one) for one in found] == [1, "decode-timeout", 2]


def test_a_row_that_needs_too_much_memory_is_refused_it(tmp_path: Path) -> None:
    found = guarded(tmp_path)(words("a", "devour", "ef"))
    assert [told(one) for one in found] == [1, "decode-crash", 2]
    assert "memory" in str(found[1])
    assert tried(tmp_path)["devour"] == 1


def test_a_row_that_was_hit_by_chance_or_by_another_ones_harm_is_not_rejected(tmp_path: Path) -> None:
    assert [told(one) for one in guarded(tmp_path)(words("seed", "a", "late", "b"))] == [4, 1, 4, 1]


def test_large_values_stay_as_they_are_while_somebody_holds_them(tmp_path: Path) -> None:
    ask = guarded(tmp_path)
    found = [*ask(words("abc", "bad", "de")), *ask(words("xyz", "crash", "w"))]
    echoes = [one["echo"] for one in found if isinstance(one, dict)]
    assert [bytes(echo) for echo in echoes] == [1000 * word for word in (b"abc", b"de", b"xyz", b"w")]


def child_of(folder: Path) -> int:
    (pid,) = (int(path.name) for path in folder.iterdir())
    return pid


def test_a_child_that_was_killed_between_two_tables_leaves_no_result_behind(tmp_path: Path) -> None:
    ask = guarded(tmp_path)
    assert [told(one) for one in ask(words("a", "bcd", "ef"))] == [1, 3, 2]
    os.kill(child_of(tmp_path), signal.SIGKILL)
    time.sleep(0.2)
    assert [told(one) for one in ask(words("abcde", "a", "b", "c"))] == [5, 1, 1, 1]


def test_a_child_that_was_left_in_the_middle_of_a_table_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise StorageError("nothing has moved")

    monkeypatch.setattr(guard, "BEAT_SECONDS", 0.05)
    ask = Guard(TaskSpec(Trying, {"notes": str(tmp_path)}, 20, 1 << 30), interrupt)
    with pytest.raises(StorageError, match="nothing has moved"):
        ask(words("a", "nap", "nap"))
    ask._beat = lambda: None
    assert [told(one) for one in ask(words("abcde", "bcd"))] == [5, 3]


@pytest.mark.parametrize("options", [{"notes": "/", "unknown": 1}, {}])
def test_a_child_that_cannot_start_rejects_nothing_and_says_why(options: dict[str, object]) -> None:
    with pytest.raises(StorageError, match=r"cannot be kept alive \(exit code 1: TypeError: .*\); run again"):
        Guard(TaskSpec(Trying, options, 20, 1 << 30), lambda: None)(words("a", "bcd"))


def test_errors_are_handed_back_in_the_place_of_their_row(tmp_path: Path) -> None:
    found = guarded(tmp_path)(words("bad", "moved", "a"))
    assert [told(one) for one in found] == ["decode-error", StorageError, 1]
    assert str(found[0]) == "a bad word"


def test_a_mistake_in_the_task_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="KeyError"):
        guarded(tmp_path)(words("a", "bug"))


def test_what_a_library_prints_is_no_result(tmp_path: Path) -> None:
    assert [told(one) for one in guarded(tmp_path)(words("print", "a", "b"))] == [5, 1, 1]


def test_the_child_ends_with_its_guard(tmp_path: Path) -> None:
    ask = guarded(tmp_path)
    ask(words("a"))
    (pid,) = (int(path.name) for path in tmp_path.iterdir())
    del ask
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_child_ends_when_whoever_asked_is_killed(tmp_path: Path) -> None:
    asker = os.fork()
    if not asker:
        guarded(tmp_path)(words("a"))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(asker, 0)
    (pid,) = (int(path.name) for path in tmp_path.iterdir())
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.05)
    raise AssertionError(pid)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["a", "bcd", "exit", "crash", "bad"]), min_size=1, max_size=6))
def test_any_mix_of_rows_gives_what_each_gives_alone(tmp_path: Path, names: list[str]) -> None:
    expected = {"a": 1, "bcd": 3, "exit": "decode-crash", "crash": "decode-crash", "bad": "decode-error"}
    assert [told(one) for one in guarded(tmp_path)(words(*names))] == [expected[name] for name in names]


def test_without_a_child_the_results_are_the_same(tmp_path: Path) -> None:
    table = words("a", "bad", "moved", "ef")
    here = run_here(Trying(notes=str(tmp_path)), table)
    assert [told(one) for one in here] == [told(one) for one in guarded(tmp_path)(table)]
