"""The command line as a user meets it: what it prints, its exit codes, and one clear line for every mistake."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from jobs.build import run_job
from jobs.bundled import write_samples
from jobs.chain import resolve_job
from jobs.cli import main
from jobs.progress import Screen
from jobs.spec import load_job
from jobs.train import train_tokenizer
from pipeline.errors import ConfigError
from pipeline.planning import Plan
from pipeline.types import Shard, Source, Unit
from tests.support import QUICKSTART, ROOT, SAMPLES, tree, write_small_shards

Result = subprocess.CompletedProcess[str]


def lodepack(*arguments: object, cwd: Path = ROOT) -> Result:
    command = [sys.executable, "-m", "jobs", *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COLUMNS": "200", "HOME": str(Path.home())}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def called(*arguments: object) -> Result:
    """As `lodepack`, in this process: another one takes two seconds before it reads its arguments."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(), redirect_stdout(out), redirect_stderr(err):
        patch.chdir(ROOT)
        patch.setenv("COLUMNS", "200")
        patch.setattr(sys, "argv", ["lodepack", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    return Result(arguments, int(ended.value.code or 0), out.getvalue(), err.getvalue())


def run_small(output: Path, *options: object) -> Result:
    return lodepack("run", QUICKSTART, "--local", "--limit", 6, "--output", output, *options)


def summary(result: Result) -> dict[str, Any]:
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


def test_a_run_prints_packs_tokens_fill_and_rejects(tmp_path: Path) -> None:
    result = run_small(tmp_path / "out")
    assert result.returncode == 0, result.stderr
    for word in ("packs", "tokens", "fill", "6 packed", "0 rejected"):
        assert word in result.stdout


def test_json_is_one_object_on_standard_output_and_nothing_else(tmp_path: Path) -> None:
    result = run_small(tmp_path / "out", "--json")
    counts = summary(result)["totals"]["samples"]
    assert (counts["packed"], counts["withheld"]) == (6, counts["read"] - 6)
    assert result.stderr == ""


def test_a_finished_job_says_so_and_a_changed_recipe_is_refused_with_the_difference(tmp_path: Path) -> None:
    output = tmp_path / "out"
    run_small(output)
    before = tree(output)
    assert "nothing to do" in run_small(output).stdout
    refused = run_small(output, "--set", "sequence_length=4096")
    assert refused.returncode == 2
    assert "job.sequence_length: 8192 -> 4096" in refused.stderr
    assert "--rebuild" in refused.stderr
    assert tree(output) == before
    rebuilt = summary(run_small(output, "--set", "sequence_length=4096", "--rebuild", "--json"))
    assert rebuilt["version"] == 2
    assert before.items() <= tree(output).items()


def test_fields_that_change_no_byte_are_not_part_of_the_recipe(tmp_path: Path) -> None:
    run_small(tmp_path / "out")
    again = run_small(
        tmp_path / "out",
        "--set",
        "name=other",
        "--set",
        "resources.decode.cpus=3",
        "--set",
        "limits.max_reject_ratio=0.5",
    )
    assert "nothing to do" in again.stdout


def test_an_added_shard_is_an_update_that_keeps_the_other_units(tmp_path: Path) -> None:
    write_small_shards(tmp_path / "in", 6, 3)
    late = tmp_path / "in" / "small-000005.tar"
    late.rename(tmp_path / "late.tar")
    call = ("run", QUICKSTART, "--local", "--json", "--input", tmp_path / "in" / "*.tar", "--output", tmp_path / "out")
    first = summary(lodepack(*call, "--set", "unit.target_shards=1"))
    (tmp_path / "late.tar").rename(late)
    second = summary(lodepack(*call, "--set", "unit.target_shards=1"))
    assert second["version"] == 2
    assert second["units"]["kept"] >= first["units"]["built"] - 1
    assert second["units"]["built"] <= 2
    assert second["totals"]["samples"]["packed"] == 18


MISTAKES: dict[str, tuple[tuple[object, ...], str]] = {
    "no such job": (("run", "gone.yaml"), "no job file at gone.yaml"),
    "not YAML": (("run", ROOT / "README.md"), "is no YAML"),
    "not a job": (("run", ROOT / "jobs/samples/README.md"), "no"),
    "unknown field": (("run", QUICKSTART, "--set", "sequence_lenght=1"), "sequence_lenght: unknown field"),
    "rules that are no section": (
        ("run", QUICKSTART, "--set", "filters=obelics"),
        "filters: a section is expected, {field: value} (found 'obelics')",
    ),
    "a rule that is no section": (
        ("run", QUICKSTART, "--set", "filters={aspect: 3}"),
        "filters.aspect: a section is expected, {field: value} (found 3)",
    ),
    "one view that is no list": (
        ("run", QUICKSTART, "--set", "derive=continue"),
        "derive: a list is expected, [value, value] (found 'continue')",
    ),
    "unknown profile": (("run", QUICKSTART, "--set", "profile=gpt"), "choose one of"),
    "unknown format": (("run", QUICKSTART, "--set", "input.format=x"), "choose one of"),
    "no shard": (("run", QUICKSTART, "--local", "--input", "gone-{0..3}.tar"), "no such file: "),
    "empty glob": (("run", QUICKSTART, "--local", "--input", "gone-*.tar"), "matches no file"),
    "empty pattern": (("run", QUICKSTART, "--input", ""), "input.shards.0: empty; a path or URL is expected"),
    "no pattern": (("run", QUICKSTART, "--set", "input.shards=[]"), "input.shards: empty; a path or URL is expected"),
    "folder of shards": (
        ("run", QUICKSTART, "--input", "jobs/samples"),
        f"folder; write {SAMPLES[0].parent}/*.tar",
    ),
    "glob of folders": (("run", QUICKSTART, "--input", "jobs/samp*"), "matches no file"),
    "unknown scheme": (("run", QUICKSTART, "--input", "foo://bucket/{0..3}.tar"), "use a local path, file:// or s3://"),
    "unknown tokenizer scheme": (
        ("run", QUICKSTART, "--set", "tokenizer=foo://t"),
        "use a local path, file:// or s3://",
    ),
    "one shard twice": (("run", QUICKSTART, "--input", SAMPLES[0], "--input", SAMPLES[0]), "leave one of its patterns"),
    "no tokenizer": (("run", QUICKSTART, "--set", "tokenizer=gone.model"), "lodepack tokenizer train"),
    "relative tokenizer": (
        ("run", QUICKSTART, "--set", "tokenizer=gone.model"),
        f"no tokenizer at {ROOT}/gone.model (relative paths start at the current folder)",
    ),
    "relative shards": (
        ("run", QUICKSTART, "--input", "gone.tar"),
        f"no such file: {ROOT}/gone.tar (relative paths start at the current folder)",
    ),
    "tokenizer is a folder": (("run", QUICKSTART, "--set", "tokenizer=jobs"), f"tokenizer {ROOT}/jobs: Is a directory"),
    "no such home": (("run", QUICKSTART, "--set", "tokenizer=~nobody-here/t.model"), "write the folder out"),
    "more tokens than the rule knows": (("run", QUICKSTART, "--set", "budget.max_tokens=500"), "say 400 or fewer"),
    "not a tokenizer": (("run", QUICKSTART, "--set", f"tokenizer={SAMPLES[0]}"), "is no SentencePiece model"),
    "budget on one square": (
        ("run", QUICKSTART, "--set", "profile=llava_1_5"),
        "profile llava_1_5 shows a picture as one view, which no budget can shrink: say budget: none",
    ),
    "budget on one view": (("run", QUICKSTART, "--set", "profile=pixtral"), "say budget: none"),
    "budget without score": (("run", QUICKSTART, "--set", "score=null"), "budget needs scores"),
    "two packers": (("run", QUICKSTART, "--set", "resources.pack.actors=[2, 2]"), "one actor"),
    "local on a cluster": (("run", QUICKSTART, "--local", "--address", "127.0.0.1:1"), "leave out --address"),
    "bad override": (("run", QUICKSTART, "--set", "name"), "field=value is expected"),
    "override that is no YAML": (("run", QUICKSTART, "--set", "name=["), "--set name=[: [ is no YAML: "),
    "override that is no date": (("run", QUICKSTART, "--set", "name=2026-13-01"), "2026-13-01 is no YAML: "),
    "override of no field": (("run", QUICKSTART, "--set", "pack..limits=1"), "field=value is expected"),
    "override within a list": (
        ("run", QUICKSTART, "--set", "resources.decode.actors.0.x=2"),
        "resources.decode.actors is a list; set it whole",
    ),
    "samples into a full folder": (("samples", ROOT), "is not empty"),
    "unknown tokenizer kind": (
        ("tokenizer", "train", QUICKSTART, "--kind", "magic"),
        "choose unigram, bpe or wordpiece",
    ),
    "tokenizer to a URL": (
        ("tokenizer", "train", QUICKSTART, "--output", "s3://b/t.model"),
        "a local path is expected",
    ),
    "samples to a URL": (("samples", "s3://bucket/try"), "a local path is expected"),
    "tokenizer in the way": (("tokenizer", "train", QUICKSTART), "exists"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_remedy_and_exit_code_2(mistake: str, tmp_path: Path) -> None:
    arguments, expected = MISTAKES[mistake]
    output = () if arguments[0] != "run" else ("--output", tmp_path / "out")
    result = called(*arguments, *output)
    assert result.returncode == 2
    assert expected in result.stderr
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_all_mistakes_of_a_job_are_named_at_once() -> None:
    fields = ("profile=gpt", "budget.min_tokens=0", "nonsense=1", "unit.target_shards=0", "output=foo://b")
    result = lodepack("run", QUICKSTART, *(part for field in fields for part in ("--set", field)))
    for name in ("profile", "budget.min_tokens", "nonsense", "unit.target_shards", "output"):
        assert f"\n  {name}: " in result.stderr


def test_all_files_that_are_not_there_are_named_at_once(tmp_path: Path) -> None:
    patterns = (f"{tmp_path}/none-{{0..3}}.tar", f"{tmp_path}/*.tar", str(tmp_path))
    inputs = (part for pattern in patterns for part in ("--input", pattern))
    result = run_small(tmp_path / "out", "--set", "tokenizer=gone.model", *inputs)
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("error: ") for line in lines)
    for word in ("gone.model", "none-0.tar", "*.tar", "is a folder"):
        assert word in result.stderr
    assert not (tmp_path / "out").exists()


def test_shards_of_one_name_in_two_folders_come_in_through_one_pattern(tmp_path: Path) -> None:
    for folder in "pq":
        write_small_shards(tmp_path / folder, 1, 1)
    refused = run_small(tmp_path / "out", "--input", tmp_path / "p/*.tar", "--input", tmp_path / "q/*.tar")
    assert refused.returncode == 2
    assert "use one pattern for both, such as /data/{p,q}/*.tar" in refused.stderr
    assert run_small(tmp_path / "out", "--input", tmp_path / "{p,q}/*.tar").returncode == 0


@pytest.mark.parametrize("value", ["off", "none", "null", "'off'"])
def test_score_and_budget_can_be_switched_off_in_any_words(value: str) -> None:
    job = load_job(str(QUICKSTART), [f"score={value}", f"budget={value}"])
    assert job.score is None
    assert job.budget is None


def test_a_name_that_looks_like_markup_is_printed_as_it_is(tmp_path: Path) -> None:
    result = run_small(tmp_path / "o[", "--set", "name='a[/b] :smile:'")
    assert result.returncode == 0, result.stderr
    assert "a[/b] :smile: → " in result.stdout


def test_the_home_folder_can_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_samples("~/try")
    job = load_job(
        str(tmp_path / "try/quickstart.yaml"),
        ["tokenizer=~/try/tokenizer.model"],
        input__shards="~/try/gimp-sample-000000.tar",
        output="~/out",
        limit=1,
    )
    with Screen(quiet=True) as screen:
        run_job(resolve_job(job), local=True, workers=None, rebuild=False, progress=screen)
    with pytest.raises(ConfigError, match=f"{tmp_path}/try/tokenizer.model exists"):
        train_tokenizer(job, kind="bpe", vocab_size=300, target="~/try/tokenizer.model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "try"]


@pytest.mark.parametrize(
    "call", [("samples", "/proc/nowhere"), ("tokenizer", "train", QUICKSTART, "--output", "/proc/a/b.model")]
)
def test_a_target_that_cannot_be_written_is_one_line_and_exit_code_1(call: tuple[object, ...]) -> None:
    result = lodepack(*call)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(f"error: {call[-1]}: ")


def test_bars_are_ours_on_a_terminal_and_rays_on_a_cluster(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    plan = Plan({}, "", (), (Unit(0, (Shard("a", "/a"),), Source("pairs")),), (), {}, ())
    shown = {}
    for bars in (True, False):
        with Screen(quiet=False, bars=bars) as screen:
            screen.start(plan)
        shown[bars] = capsys.readouterr().err
        assert "to build" in shown[bars]
    assert "units" in shown[True]
    assert "units" not in shown[False]


def test_an_output_that_cannot_be_written_is_one_line_and_exit_code_1() -> None:
    result = run_small(Path("/proc/nowhere"))
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith("error: /proc/nowhere")


def test_debug_shows_the_traceback() -> None:
    assert "Traceback" in lodepack("run", "gone.yaml", "--debug").stderr
    assert "--debug" in lodepack("--help").stdout


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("run",),
        ("verify",),
        ("inspect",),
        ("samples",),
        ("tokenizer", "train"),
        ("relevance", "train"),
        ("requeue",),
        ("plan",),
    ],
)
def test_every_command_has_help_and_all_but_the_root_an_example(command: tuple[str, ...]) -> None:
    result = called(*command, "--help")
    assert result.returncode == 0
    assert not command or "Example" in result.stdout


def test_the_samples_run_where_they_were_written(tmp_path: Path) -> None:
    folder = tmp_path / "try"
    assert lodepack("samples", folder).returncode == 0
    result = lodepack("run", folder / "quickstart.yaml", "--local", "--limit", 3, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (folder / "build" / "versions" / "000001.json").exists()
    assert lodepack("verify", folder / "build", cwd=tmp_path).returncode == 0


def test_a_dry_run_has_its_report_unless_it_is_not_wanted(tmp_path: Path) -> None:
    result = run_small(tmp_path / "out")
    page = tmp_path / "out" / "report.html"
    assert f"look at it: {page}" in result.stdout
    assert "</html>" in page.read_text()
    assert "report" not in summary(run_small(tmp_path / "plain", "--no-report", "--json"))
    assert not (tmp_path / "plain" / "report.html").exists()


@pytest.mark.parametrize("kind", ["unigram", "bpe", "wordpiece"])
def test_a_tokenizer_can_be_trained_on_the_shards_and_used(kind: str, tmp_path: Path) -> None:
    model = tmp_path / "new.model"
    trained = summary(
        lodepack("tokenizer", "train", QUICKSTART, "--kind", kind, "--vocab-size", 700, "--output", model, "--json")
    )
    assert trained["pieces"] <= 700
    assert summary(run_small(tmp_path / "out", "--set", f"tokenizer={model}", "--json"))["added_embeddings"] == 0


def test_pairs_are_packed(tmp_path: Path) -> None:
    from tests.support import documents, write_shard

    pictures = [data for found in documents().values() for name, data in found.items() if name.endswith(".png")]
    members = {}
    for number, data in enumerate(pictures[:5]):
        members |= {f"pic.{number}.PNG": data, f"pic.{number}.txt": f"Picture {number}.".encode()}
    write_shard(tmp_path / "p.tar", members)
    fields = ("--set", "input.format=pairs", "--input", tmp_path / "p.tar")
    packed = summary(lodepack("run", QUICKSTART, "--local", "--json", "--output", tmp_path / "out", *fields))
    assert packed["totals"]["samples"]["packed"] == 5
    assert lodepack("verify", tmp_path / "out").returncode == 0
