"""pandas stays out of processes of ours, and is there for others."""

from __future__ import annotations

import subprocess
import sys

import pytest

MAKE = "import sys, numpy, pyarrow; pyarrow.array(numpy.zeros(3)); print('pandas' in sys.modules)"
KEEP_OUT = "from pipeline.without_pandas import keep_pandas_out; keep_pandas_out(); "


def said(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_arrays_are_made_without_it() -> None:
    pytest.importorskip("pandas")
    assert said(MAKE) == "True", "pyarrow imports it no more: nothing is to be kept out"
    assert said(KEEP_OUT + MAKE) == "False"


def test_others_may_import_it() -> None:
    assert said(KEEP_OUT + "import pandas; print(pandas.Series([1, 2]).sum())") == "3"


def test_where_it_is_already_it_stays() -> None:
    code = (
        "import pandas; " + KEEP_OUT + "import pyarrow; print(pyarrow.array(pandas.Series([1, 2])).to_pandas().sum())"
    )
    assert said(code) == "3"
