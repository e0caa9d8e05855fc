"""What a misbehaving S3 costs: the same job clean and through faults, by a proxy before a SeaweedFS on loopback.

    python -m tests.benchmarks.reliability.store [--quick]

Of all requests 5 % end in an error (500, 503, a reset before or after the server did the work), 1 % of bodies are
short, and 1 % stall for 30 s. The job is the quickstart's with its own scores, budget and encoded pixels, on the
bundled samples in small shards, in one process, one unit a shard. For each seed it is run clean and then through the
seed's faults; both go through the proxy. Shards of a few megabytes are the hard case: large ones have more work per
request.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import s3fs

from pipeline import storage
from tests.faults.proxy import Proxy, proxy_before, seeded
from tests.servers import KEYS, environment_of, s3_server_in
from tests.support import BUCKET, build, write_small_shards

SHARES = {"500": 0.015, "503": 0.015, "reset": 0.01, "lost": 0.01, "short": 0.01, "trimmed": 0.01, "stall": 0.01}
"""Of all requests; the two of bodies befall GETs alone, which are about half of them."""
STALL_SECONDS = 30
FIELDS = ("unit.target_shards=1", "sequence_length=4096")


def measure(*, quick: bool) -> dict[str, Any]:
    """Whether the bytes are the same, seconds of each run, their ratio, and what was injected."""
    num_shards, per_shard, seeds = (6, 4, (1,)) if quick else (18, 4, (1, 2, 3, 4, 5))
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder, s3_server_in(_made(Path(folder) / "weed")) as server:
        try:
            with proxy_before(server, stall_seconds=STALL_SECONDS) as proxy:
                os.environ.update(environment_of(proxy.address))
                return _measure(proxy, server, Path(folder), num_shards, per_shard, seeds)
        finally:
            os.environ.clear()
            os.environ.update(before)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _measure(
    proxy: Proxy, server: str, folder: Path, num_shards: int, per_shard: int, seeds: tuple[int, ...]
) -> dict[str, Any]:
    direct = s3fs.S3FileSystem(
        skip_instance_cache=True, endpoint_url=server, key=KEYS["accessKey"], secret=KEYS["secretKey"]
    )
    local = write_small_shards(folder / "shards", num_shards, per_shard)
    direct.put(str(folder / "shards"), f"{BUCKET}/in", recursive=True)
    shards = f"s3://{BUCKET}/in/{Path(local).name}"
    build(f"s3://{BUCKET}/warm", shards, *FIELDS, "limit=4")  # imports and models
    clean, faulty, same, requests, retries = [], [], [], 0, 0
    injected: Counter[str] = Counter()
    for seed in seeds:
        proxy.choose = lambda _: None
        clean.append(_timed(f"clean-{seed}", shards)[0])
        expected = _tree(direct, f"clean-{seed}")
        proxy.injected.clear()
        proxy.asked.clear()
        proxy.choose = seeded(seed, SHARES)
        seconds, traffic = _timed(f"faulty-{seed}", shards)
        faulty.append(seconds)
        injected += proxy.injected
        requests += len(proxy.asked)
        retries += traffic.retries
        same.append(_tree(direct, f"faulty-{seed}") == expected)
    return {
        "same_bytes": f"{sum(same)}/{len(same)}",
        "clean_seconds": clean,
        "faulty_seconds": faulty,
        "ratio": round(sum(faulty) / sum(clean), 2),
        "worst_ratio": round(max(b / a for a, b in zip(clean, faulty, strict=True)), 2),
        "median_clean_seconds": round(statistics.median(clean), 1),
        "requests": requests,
        "faults": dict(sorted(injected.items())),
        "stall_seconds": STALL_SECONDS,
        "retries": retries,
    }


def _timed(name: str, shards: str) -> tuple[float, storage.Traffic]:
    """Seconds of a whole run, and what it asked of the store; work of planning's threads is not in the latter."""
    begun = time.monotonic()
    with storage.counted() as traffic:
        build(f"s3://{BUCKET}/{name}", shards, *FIELDS)
    return round(time.monotonic() - begun, 1), traffic


def _tree(direct: Any, name: str) -> dict[str, str]:
    prefix = f"{BUCKET}/{name}/"
    direct.invalidate_cache()
    return {
        path.removeprefix(prefix): hashlib.sha256(direct.cat_file(path)).hexdigest()
        for path in direct.find(prefix)
        if not path.startswith(f"{prefix}runs/")
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small run: a smoke")
    print(json.dumps(measure(quick=parser.parse_args().quick), indent=1))
