"""What tests share: small shards cut from the bundled ones, the reproducible tree, and a run in this process."""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from pathlib import Path
from typing import Any

from jobs.build import run_job
from jobs.chain import resolve_job
from jobs.progress import Screen
from jobs.spec import load_job

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = ROOT / "jobs" / "quickstart.yaml"
SAMPLES = sorted((ROOT / "jobs" / "samples").glob("*.tar"))
BUCKET = "lode"
"""Of the S3 server that the fixture `store` starts."""
REPRODUCIBLE = ("data", "index", "rejects", "manifests", "versions")

SPREAD = (
    "resources.decode.cpus=0.2",
    "resources.filter={cpus: 0.05}",
    "resources.slice={cpus: 0.05}",
    "resources.tokenize={cpus: 0.05}",
    "resources.score.cpus=0.2",
    "resources.write.cpus=0.2",
)
"""Every operator in a pool of its own."""

Documents = dict[str, dict[str, bytes]]


def documents(*shards: Path) -> Documents:
    """The members of each document of some shards, by key."""
    found: Documents = {}
    for shard in shards or SAMPLES:
        with tarfile.open(shard) as archive:
            for member in archive.getmembers():
                file = archive.extractfile(member)
                assert file is not None
                found.setdefault(member.name.split(".")[0], {})[member.name] = file.read()
    return found


def write_shard(path: Path, members: dict[str, bytes], mtime: int = 0) -> Path:
    """One tar of the given members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), mtime
            archive.addfile(info, io.BytesIO(data))
    return path


def write_small_shards(folder: Path, num_shards: int, per_shard: int, mtime: int = 0) -> str:
    """The first documents of the bundled shards, lightest first, in many small shards; returns their pattern."""
    light = sorted(documents().items(), key=lambda entry: sum(map(len, entry[1].values())))
    for number in range(num_shards):
        chosen = sorted(light[number * per_shard : (number + 1) * per_shard])
        members = {name: data for _, found in chosen for name, data in found.items()}
        write_shard(folder / f"small-{number:06d}.tar", members, mtime)
    return str(folder / f"small-{{000000..{num_shards - 1:06d}}}.tar")


def write_pairs(folder: Path, num_shards: int, per_shard: int) -> str:
    """Pictures of the bundled shards with captions, in many small shards; returns their pattern."""
    pictures = sorted({data for found in documents().values() for name, data in found.items() if name.endswith(".png")})
    pictures.sort(key=len)
    for number in range(num_shards):
        members: dict[str, bytes] = {}
        for i in range(number * per_shard, (number + 1) * per_shard):
            members |= {f"{i:04d}.png": pictures[i], f"{i:04d}.txt": f"Picture {i} of the manual.".encode()}
        write_shard(folder / f"pairs-{number:06d}.tar", members)
    return str(folder / f"pairs-{{000000..{num_shards - 1:06d}}}.tar")


def png_that_only_decoding_refuses() -> bytes:
    """Sound chunks and checksums around bytes that do not inflate."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)),
        (b"IDAT", b"\x78\x9c" + 64 * b"\xff"),
        (b"IEND", b""),
    ]
    packed = [struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d)) for name, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def build(
    output: Path | str,
    shards: str | None = None,
    *overrides: str,
    local: bool = True,
    workers: int | None = None,
    rebuild: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Runs the quickstart job, with its own tokenizer, in this process; its summary. An override may give `input`."""
    fields = [f"tokenizer={ROOT}/jobs/samples/tokenizer.model", *overrides]
    if not any(field.startswith("input=") for field in overrides):
        options["input__shards"] = shards or f"{ROOT}/jobs/samples/gimp-sample-{{000000..000001}}.tar"
    job = load_job(str(QUICKSTART), fields, output=str(output), **options)
    with Screen(quiet=True) as screen:
        return run_job(resolve_job(job), local=local, workers=workers, rebuild=rebuild, progress=screen)


def totals_of(**counts: int) -> dict[str, int]:
    """The counts of a level as a manifest has them; what is not named is 0."""
    names = ("read", "derived", "repeated", "packed", "rejected", "withheld", "carried")
    return dict.fromkeys(names, 0) | counts


def tree(output: Path) -> dict[str, str]:
    """sha256 of every file of the reproducible part of an output, by path."""
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in REPRODUCIBLE
        for path in sorted((output / folder).rglob("*"))
        if path.is_file()
    }
