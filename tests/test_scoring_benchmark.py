"""The benchmark of scoring on a GPU goes all its ways on a CPU, and reckons its idle share rightly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.end_to_end.photographs import make_photographs
from tests.benchmarks.scoring_gpu.__main__ import measure_device
from tests.benchmarks.scoring_gpu.timing import NOT_MEASURED, TOP, covered
from tests.operators.relevance.tiny_folders import save_tiny


def test_spans_that_overlap_count_once() -> None:
    assert covered([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.5, 2.0)]) == 4.0
    assert covered([]) == 0.0


def test_every_figure_of_a_device_is_measured_where_the_device_is_a_cpu(tmp_path: Path) -> None:
    encoder = save_tiny("siglip", tmp_path / "encoder")
    photographs = make_photographs(count=3, processes=1)
    found = measure_device(tmp_path, encoder, photographs, images=6, pictures=3, device="cpu")
    operator = found["operator"]
    assert operator["images"] == 6
    assert operator["images_a_second"] > 0
    assert 0 <= operator["idle_share_by_profiler"] < 1
    assert operator["idle_share_by_nvml"] == NOT_MEASURED
    assert operator["cores_that_feed_one_actor"] == pytest.approx(
        operator["images_a_second"] * sum(operator["cpu_milliseconds_an_image"].values()) / 1e3, rel=0.05
    )
    assert len(operator["profile"]["top_on_the_device"]) == TOP
    assert found["resize"]["images_a_second_on_the_device"] > 0
