"""Trains in a process of its own, where hash tables have other seeds."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from operators.tokenizers.{module} import {function}
corpus = [f"word {{i}} of a Small text about pictures, Layers and brushes; number {{i * 7919}}" for i in range(300)]
sys.stdout.write({function}(corpus, vocab_size=400, special=["<|image_pad|>", "<|endoftext|>"]))
"""


def train_elsewhere(module, function, threads):
    """The file that `function` of operators.tokenizers.`module` makes of the tests' corpus."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(module=module, function=function)],
        cwd=Path(__file__).resolve().parents[3],
        env=os.environ | {"RAYON_NUM_THREADS": str(threads), "PYTHONHASHSEED": str(threads)},
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout
