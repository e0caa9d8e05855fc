"""Pictures that kill or stall whoever decodes them are rejected by name, and everything else is packed, unattended."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin

from jobs.verify import verify
from tests.support import QUICKSTART, ROOT, tree, write_shard

BROKEN = ROOT / "tests" / "chaos" / "broken_decoder"
TIMEOUT_SECONDS = 2
REASONS = {"exit": "decode-crash", "crash": "decode-crash", "sleep": "decode-timeout", "hold": "decode-timeout"}
PER_SHARD = 6


def picture(number: int, deed: str | None) -> bytes:
    buffer = io.BytesIO()
    note = PngImagePlugin.PngInfo()
    if deed is not None:
        note.add_text("Comment", f"poison:{deed};")
    image = Image.new("RGB", (120, 90), (number * 7 % 256, 90, 160))
    image.paste((255, 255, 0), (10, 10, 40 + number, 60))
    image.save(buffer, "PNG", pnginfo=note)
    return buffer.getvalue()


def write_poisoned_shards(folder: Path) -> tuple[str, dict[str, str]]:
    """Two shards of sound documents and one poisonous one of each kind; their pattern, and reasons by member."""
    deeds = {1: "exit", 4: "sleep", 7: "crash", 8: "hold"}
    for shard in range(2):
        members: dict[str, bytes] = {}
        for i in range(shard * PER_SHARD, (shard + 1) * PER_SHARD):
            texts = [f"Page {i} shows a box.", None, None]
            members[f"{i:04d}.json"] = json.dumps({"texts": texts, "images": [None, "0.png", "1.png"]}).encode()
            members[f"{i:04d}.0.png"] = picture(2 * i, None)
            members[f"{i:04d}.1.png"] = picture(2 * i + 1, deeds.get(i))
        write_shard(folder / f"p-{shard:06d}.tar", members)
    reasons = {f"{i:04d}.1.png": REASONS[deed] for i, deed in deeds.items()}
    return str(folder / "p-{000000..000001}.tar"), reasons


def run(output: Path, shards: str, *options: str) -> dict[str, Any]:
    """Runs the job in a process whose decoders are broken; its summary."""
    fields = ["sequence_length=1024", "limits.max_reject_ratio=0.5", "unit.target_shards=1"]
    fields += [f"limits.decode_timeout_seconds={TIMEOUT_SECONDS}", f"tokenizer={ROOT}/jobs/samples/tokenizer.model"]
    command = [sys.executable, "-m", "jobs", "run", str(QUICKSTART), "--input", shards, "--output", str(output)]
    done = subprocess.run(
        [*command, *(f"--set={field}" for field in fields), *options, "--json"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(BROKEN)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def rejected(output: Path) -> dict[str, tuple[str, str]]:
    """(reason, operator) of each rejected sample by the member that it was rejected for."""
    rows = [row for path in (output / "rejects").iterdir() for row in pq.read_table(path).to_pylist()]
    return {row["member"]: (row["reason"], row["operator"]) for row in rows if row["level"] == "sample"}


def check(output: Path, summary: dict[str, Any], reasons: dict[str, str], operator: str) -> None:
    assert rejected(output) == {member: (reason, operator) for member, reason in reasons.items()}
    counts = summary["totals"]["samples"]
    assert (counts["packed"], counts["rejected"]) == (2 * PER_SHARD - len(reasons), len(reasons))
    assert verify(str(output)).findings == []


def test_poison_that_acts_in_write_is_rejected_by_name(tmp_path: Path) -> None:
    shards, reasons = write_poisoned_shards(tmp_path / "in")
    summary = run(tmp_path / "out", shards, "--local", "--set=score=null", "--set=budget=none")
    check(tmp_path / "out", summary, reasons, "write")


def rejects_by_name(output: Path, *options: str) -> None:
    shards, reasons = write_poisoned_shards(output.parent / "in")
    summary = run(output, shards, *options)
    check(output, summary, reasons, "decode")
    assert summary["rounds"] == 1


def test_poison_is_rejected_by_name_in_one_process(tmp_path: Path) -> None:
    rejects_by_name(tmp_path / "local", "--local")


@pytest.mark.slow
def test_poison_is_rejected_by_name_on_ray_where_it_costs_no_actor(tmp_path: Path) -> None:
    rejects_by_name(tmp_path / "ray")
    rejects_by_name(tmp_path / "local", "--local")
    assert tree(tmp_path / "ray") == tree(tmp_path / "local")
