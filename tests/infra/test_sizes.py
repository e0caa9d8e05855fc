"""What pods ask for holds what the shipped job does in them."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.chain import PICTURE_BYTES, PIXEL_BYTES, build_chain, resolve_job
from jobs.spec import Job, load_job
from pipeline.chain import Pool
from pipeline.feasibility import Node, fit_pools
from tests.infra.manifests import JOB, LAYOUTS, clusters, pods, quantity
from tests.support import ROOT, SAMPLES

ACTOR_BYTES = 400 << 20
"""Of an actor's own process, Python with Arrow and its tables, beside its child that holds pictures."""


def job(*overrides: str) -> Job:
    return load_job(str(JOB), list(overrides))


def pools() -> dict[str, Pool]:
    """Of the shipped job, whose shards and tokenizer are elsewhere."""
    here = (f"input.shards={SAMPLES[0]}", f"tokenizer={ROOT}/jobs/samples/tokenizer.model")
    chain = build_chain(resolve_job(job(*here)))
    found = {stages[0].name: pool for pool, stages in chain.pools()} | {"pack": chain.pack_pool}
    assert chain.write.pool is not None
    return found | {"write": chain.write.pool}


def node(template: dict[str, Any]) -> Node:
    limits = template["spec"]["containers"][0]["resources"]["limits"]
    return Node(quantity(limits["cpu"]), float(limits.get("nvidia.com/gpu", 0)))


def nodes(cluster: dict[str, Any]) -> list[Node]:
    """What Ray sees of a cluster with all its workers; the head offers nothing."""
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    return [node(group["template"]) for group in cluster["workerGroupSpecs"] for _ in range(group["maxReplicas"])]


@pytest.mark.parametrize("name", LAYOUTS)
def test_memory_is_asked_for_in_full_and_holds_the_object_store(name: str) -> None:
    for pod in pods(name):
        for one in pod.spec["containers"]:
            assert one["resources"]["requests"] == one["resources"]["limits"]
    for cluster in clusters(name):
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            spec = group["template"]["spec"]
            (one,) = spec["containers"]
            sizes = {volume["name"]: volume.get("emptyDir", {}).get("sizeLimit") for volume in spec["volumes"]}
            limits = one["resources"]["limits"]
            store = float(group["rayStartParams"]["object-store-memory"])
            assert store < quantity(sizes["shm"]) < quantity(limits["memory"])
            assert quantity(sizes["tmp"]) < quantity(limits["ephemeral-storage"])


def test_workers_have_memory_for_the_largest_pictures_on_all_their_cpus() -> None:
    picture = PICTURE_BYTES + PIXEL_BYTES * job().limits.max_image_pixels
    found = pools()
    assert found["decode"].cpus == found["write"].cpus == 1
    (cluster,) = clusters("raycluster")
    for group in cluster["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        store = float(group["rayStartParams"]["object-store-memory"])
        assert quantity(limits["cpu"]) * (picture + ACTOR_BYTES) + store < quantity(limits["memory"])


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_jobs_pools_fill_the_cluster_at_its_largest_which_the_job_names(name: str) -> None:
    for cluster in clusters(name):
        largest = nodes(cluster)
        assert list(job().resources.largest) == largest
        assert fit_pools(pools(), largest, job().resources.read_cpus) == pools()
