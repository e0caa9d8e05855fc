"""Dry runs of 200 samples in one process, as a user starts them: seconds to the first packs, and with the report.

    python -m tests.benchmarks.first_packs ['/data/gimp-help-*.tar']

Without a pattern: the bundled shards.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support import QUICKSTART, ROOT


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        shards = ["--input", sys.argv[1]] if len(sys.argv) > 1 else []
        command = [sys.executable, "-m", "jobs", "run", str(QUICKSTART), "--local", "--limit", "200", *shards]
        started = time.monotonic()
        process = subprocess.Popen([*command, "--output", f"{folder}/out"], cwd=ROOT, stdout=subprocess.DEVNULL)
        first = None
        while process.poll() is None:
            if first is None and any(Path(folder, "out", "data").glob("*.parquet")):
                first = time.monotonic() - started
            time.sleep(0.1)
        assert process.returncode == 0
        assert first is not None
        print(f"first packs after {first:.1f} s, all of it {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
