"""What others wrote is data: job files name no code, member names no files, texts and keys steer no terminal."""

from __future__ import annotations

import io
import json
import tarfile
import typing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import BaseModel

from jobs.spec import Job, load_job
from operators.profiles import Profile
from pipeline.errors import ConfigError
from tests.calling import Result, call
from tests.support import QUICKSTART, ROOT, documents, write_shard

PLAIN = (str, int, float, bool, type(None))
CLEAR, RED = "\x1b[2J", "\x1b]0;gotcha\x07"
FIELDS = ("input.format=pairs", "score=null", "budget=none", "limits.max_reject_ratio=1", "limits.max_image_pixels=1000000", f"tokenizer={ROOT}/jobs/samples/tokenizer.model")  # fmt: skip # noqa: E501


def run(shard: Path, output: Path, *fields: str) -> Result:
    given = [part for field in (*FIELDS, *fields) for part in ("--set", field)]
    return call("run", QUICKSTART, "--local", "--input", shard, "--output", output, *given)


def leaves(kind: Any) -> set[Any]:
    """The types of values that a field of this type can hold, models walked through."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {leaf for field in kind.model_fields.values() for leaf in leaves(field.annotation)}
    if typing.get_origin(kind) is typing.Literal:
        return {type(value) for value in typing.get_args(kind)}
    if arguments := typing.get_args(kind):
        return {leaf for argument in arguments if argument is not ... for leaf in leaves(argument)}
    return {kind}


@pytest.mark.parametrize("model", [Job, Profile])
def test_no_field_of_a_job_or_a_profile_can_name_code(model: type[BaseModel]) -> None:
    found = {leaf for leaf in leaves(model) if isinstance(leaf, type)}
    assert {str, int, float, bool} <= found
    assert found <= set(PLAIN), f"a field may hold {found - set(PLAIN)}: data alone is expected"


@pytest.mark.parametrize("tag", ["object/apply:os.system", "name:os.system", "object:x.Y", "module:os"])
def test_a_job_with_a_python_tag_is_refused_in_one_line(tag: str, tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(f"name: !!python/{tag} [touch {tmp_path}/made]\n")
    with pytest.raises(ConfigError, match="is no YAML: could not determine a constructor for the tag") as found:
        load_job(str(job), [])
    assert "\n" not in str(found.value)
    with pytest.raises(ConfigError, match=r"--set name=.*is no YAML"):
        load_job(str(QUICKSTART), [f"name=!!python/{tag} [touch {tmp_path}/made]"])
    assert not (tmp_path / "made").exists()


def picture(number: int) -> bytes:
    found = {data for members in documents().values() for name, data in members.items() if name.endswith(".png")}
    return sorted(found, key=len)[number]


def huge() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (1200, 1000)).save(stream, "PNG")
    return stream.getvalue()


def write_hostile_shard(path: Path, target: Path) -> None:
    """Names that lead elsewhere, links that point there, and letters that steer a terminal; some samples too large."""
    keys = ("../../x", "/abs/x", f"{target}/y", "a/../../x", "..\\x", f"esc{CLEAR}{RED}", "[bold red]m[/bold red] :x:")
    members: dict[str, bytes] = {}
    for number, key in enumerate(keys):
        members |= {f"{key}{number}.png": picture(number), f"{key}{number}.txt": f"text {CLEAR}{RED} [b]".encode()}
        members |= {f"{key}{number}big.png": huge(), f"{key}{number}big.txt": b"large"}
    members |= {f"{CLEAR}bad.png": b"no picture", f"{CLEAR}bad.txt": b"t", f"noext{CLEAR}": b"", "p.pkl": b"cos\n"}
    write_shard(path, members)
    with tarfile.open(path, "a", format=tarfile.GNU_FORMAT) as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            link = tarfile.TarInfo(f"../link{kind.decode()}{CLEAR}.png")
            link.type, link.linkname = kind, f"{target}/stolen"
            archive.addfile(link)


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_member_names_are_never_paths_and_reach_no_terminal_raw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "parent" / "home"
    shard, output, again = home / "in" / "hostile.tar", home / "out", home / "again"
    write_hostile_shard(shard, home / "aim")
    monkeypatch.chdir(home)
    before, around = below(tmp_path), (set(Path("/").iterdir()), set(ROOT.iterdir()))
    formats = ("energon", "mds", "webdataset")
    results = [
        run(shard, output),
        call("verify", output),
        call("verify", output, "--json"),
        call("verify", output, "--orphans"),
        call("inspect", output),
        call("inspect", output, "--pack", 0),
        call("inspect", output, "--explain", f"esc{CLEAR}{RED}5"),
        call("inspect", output, "--explain", f"esc{CLEAR}{RED}5big"),
        call("inspect", output, "--explain", "../../x0"),
        *(call("export", output, "--to", to, "--output", home / to) for to in formats),
        call("requeue", output, "--to", again),
        call("run", again / "requeue.yaml", "--local", "--set", "limits.max_image_pixels=2000000"),
        call("verify", again / "out"),
    ]
    assert [result for result in results if result.code or "\x1b" in result.out + result.err] == []
    assert "[bold red]m[/bold red] :x:" in call("inspect", output, "--pack", 0).out
    mistakes = [
        call("inspect", output, "--explain", f"gone{CLEAR}"),
        run(shard, home / "stopped", "limits.max_reject_ratio=0"),
        call("run", QUICKSTART, "--local", "--input", f"gone{CLEAR}.tar", "--debug"),
    ]
    assert [result for result in mistakes if result.code not in {1, 2} or "\x1b" in result.out + result.err] == []
    new = below(tmp_path) - before
    assert {"/".join(name.split("/")[:3]) for name in new} == {
        f"parent/home/{name}" for name in ("out", "again", "stopped", *formats)
    }
    assert (set(Path("/").iterdir()), set(ROOT.iterdir())) == around
    assert [name for name in new if "x0" in name or "link" in name or "\x1b" in name] == []
    assert json.loads(call("verify", again / "out", "--json").out)["checked"]["samples"] >= 7


def test_what_verify_finds_in_a_tampered_output_reaches_no_terminal_raw(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", {"a.png": picture(0), "a.txt": b"t"})
    assert run(tmp_path / "a.tar", tmp_path / "out").code == 0
    version = tmp_path / "out" / "versions" / "000001.json"
    version.write_text(json.dumps(json.loads(version.read_text()) | {"reasons": {f"{CLEAR}{RED}": 3}}))
    for result in (call("verify", tmp_path / "out"), call("inspect", tmp_path / "out")):
        text = result.out + result.err
        assert "\x1b" not in text
        assert "�[2J" in text or "\\x1b[2J" in text
        assert "Traceback" not in text
