"""What a job says of the cluster that it runs on is part of its recipe only where it may change a byte."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.chain import resolve_job
from jobs.spec import load_job
from pipeline.errors import ConfigError
from tests.support import QUICKSTART, ROOT, SAMPLES

SCORE, FILTER = "resources.score={gpus: 0.2}", "resources.filter={gpus: 0.2}"
SEES = "filters={image_text: true}"


def recipe(*overrides: str) -> dict[str, Any]:
    fields = [f"tokenizer={ROOT}/jobs/samples/tokenizer.model", *overrides]
    return resolve_job(load_job(str(QUICKSTART), fields, input__shards=str(SAMPLES[0]), output="out")).recipe


def test_a_share_of_a_gpu_means_cuda_in_what_is_not_whole_numbers() -> None:
    assert recipe(SCORE)["numeric_class"] == recipe()["numeric_class"] | {"device": "cuda"}
    filters = recipe(SEES, FILTER)["job"]["filters"]
    assert filters == recipe(SEES)["job"]["filters"] | {"device": "cuda"}


def test_what_computes_on_the_cpu_beside_its_share_of_a_gpu_has_the_recipe_of_a_run_without_gpus() -> None:
    on_cpu = ("resources.score={gpus: 0.2, device: cpu}", "resources.filter={gpus: 0.2, device: cpu}")
    assert recipe(SEES, *on_cpu) == recipe(SEES)


@pytest.mark.parametrize("nothing_floats", ["score.participatory=0", "score=none"])
def test_where_nothing_floats_the_device_is_no_part_of_the_recipe(nothing_floats: str) -> None:
    rest = (nothing_floats, "budget=none", "filters={words: true}")
    assert recipe(*rest, SCORE, FILTER) == recipe(*rest)


def test_cuda_without_a_share_of_a_gpu_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"device is cuda and gpus is 0.*give gpus: 0\.25"):
        recipe("resources.score={device: cuda}")


def test_what_a_cluster_may_grow_to_changes_no_byte_and_is_read_with_the_job() -> None:
    assert recipe("resources.grows_to=cpus=4 + 8x(cpus=16,gpus=1)", "limits.wait_seconds=5") == recipe()
    with pytest.raises(ConfigError, match=r"grows_to many: nodes are expected, for example.*4x\(cpus=16,gpus=1\)"):
        recipe("resources.grows_to=many")
