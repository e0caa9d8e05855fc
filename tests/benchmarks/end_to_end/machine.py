"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from PIL import features

PACKAGES = ("torch", "torchvision", "pillow", "simplejpeg", "ray", "pyarrow", "numpy", "sentencepiece")
USUAL_PACKAGES = ("transformers", "webdataset")


def describe() -> dict[str, Any]:
    """The machine and the versions of what does the work; None for what is not installed."""
    models = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES + USUAL_PACKAGES},
        "libjpeg-turbo": features.version("libjpeg_turbo"),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
