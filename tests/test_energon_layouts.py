"""Energon's own reader makes of the shards of our fixtures the documents that lodepack reads in them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from pipeline.formats import FORMATS
from pipeline.read import samples_of
from pipeline.tar import Member
from pipeline.types import ReadLimits
from tests.formats_made import Members, made
from tests.support import write_shard

READER = """
import hashlib, json, sys
from megatron.energon import DefaultTaskEncoder, WorkerConfig, get_loader, get_val_dataset
from megatron.energon.flavors import BaseWebdatasetFactory

class Raw(DefaultTaskEncoder):
    decoder = None
    def encode_sample(self, sample): return sample
    def batch(self, samples): return samples[0]
    def encode_batch(self, batch): return batch

def shown(part):
    return hashlib.sha256(part).hexdigest() if isinstance(part, bytes) else part

folder, kind, shard, meta = sys.argv[1:]
BaseWebdatasetFactory.prepare_dataset(folder, [shard], split_parts_ratio=[("val", 1.0)], workers=1)
open(folder + "/.nv-meta/dataset.yaml", "w").write(meta)
config = WorkerConfig(rank=0, world_size=1, num_workers=0)
found = {}
for sample in get_loader(get_val_dataset(folder, batch_size=1, worker_config=config, task_encoder=Raw())):
    parts = sample.sequence if kind == "energon" else [sample.image, sample.caption.decode()]
    found[sample.__key__.rpartition("/")[2]] = [shown(part) for part in parts]
print("\\n" + json.dumps(found))
"""
LOADER = """
import json

def sample_loader(raw):
    index = json.loads(raw["json"])
    places = zip(index["images"], index["texts"])
    return {"__key__": raw["__key__"], "sequence": [raw[name] if text is None else text for name, text in places]}

def part_filter(part):
    return True
"""
INTERLEAVED = {
    "sample_type": {"__module__": "megatron.energon", "__class__": "InterleavedSample"},
    "part_filter": "sample_loader.py:part_filter",
    "sample_loader": "sample_loader.py:sample_loader",
}
CAPTIONING = {
    "sample_type": {"__module__": "megatron.energon", "__class__": "CaptioningSample"},
    "field_map": {"image": "jpg", "caption": "txt"},
}


def has_energon() -> bool:
    try:
        return importlib.util.find_spec("megatron.energon") is not None
    except ModuleNotFoundError:
        return False


def ours(files: Members, name: str) -> dict[str, list[str | None]]:
    members = [Member(member, 0, len(data), data) for member, data in files.items()]
    found = samples_of(members, FORMATS[name], ReadLimits(1 << 20, 1 << 20, 1 << 20, 1000))
    return {
        sample.key: [part.text if part.data is None else sha256(part.data).hexdigest() for part in sample.segments]
        for sample in found
    }


@pytest.mark.slow
@pytest.mark.skipif(not has_energon(), reason="megatron-energon, of the dev extra, is not installed")
@pytest.mark.parametrize(("name", "meta"), [("energon", INTERLEAVED), ("pairs", CAPTIONING)])
def test_energon_reads_the_same_documents(name: str, meta: dict[str, object], tmp_path: Path) -> None:
    files = made(name)
    if name == "energon":  # whose second document has a matrix, for which Energon publishes no loader
        files = {member: data for member, data in files.items() if member.startswith("sample_000001.")}
    else:
        files = {member: data for member, data in files.items() if member.startswith("000000000.")}
    write_shard(tmp_path / "shard-000000.tar", files)
    (tmp_path / ".nv-meta").mkdir()
    (tmp_path / ".nv-meta/sample_loader.py").write_text(LOADER)
    call = [sys.executable, "-c", READER, tmp_path, name, "shard-000000.tar", yaml.safe_dump(meta)]
    result = subprocess.run(call, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    assert json.loads(result.stdout.splitlines()[-1]) == ours(files, name)
