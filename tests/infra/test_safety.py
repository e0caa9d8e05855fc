"""Clusters ask for a token, pods have no rights, no secret stands in a file, and ports are open to who needs them."""

from __future__ import annotations

import re

import pytest

from jobs.secrets import is_secret_name
from tests.infra.manifests import LAYOUTS, Pod, clusters, layout, may_connect, of_kind, pods, strings

JOBS_API, GCS, CLIENT, METRICS = 8265, 6379, 10001, 8080
OPERATOR = Pod("operator", {"app.kubernetes.io/name": "kuberay-operator"}, {}, namespace="kuberay")
PROMETHEUS = Pod("prometheus", {"app.kubernetes.io/name": "prometheus"}, {}, namespace="monitoring")
STRANGER = Pod(
    "stranger", {"app.kubernetes.io/part-of": "lodepack", "ray.io/node-type": "worker"}, {}, namespace="else"
)
NEIGHBOUR = Pod("neighbour", {"app.kubernetes.io/name": "notebook"}, {})


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_cluster_asks_for_a_token_and_listens_inside_alone(name: str) -> None:
    assert clusters(name)
    for cluster in clusters(name):
        assert cluster["authOptions"]["mode"] == "token"
        assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
        assert not [text for text in strings(cluster) if "0.0.0.0" in text]
        assert tuple(map(int, cluster["rayVersion"].split("."))) >= (2, 52, 0)  # the first that knows tokens


def test_the_submission_finds_the_standing_cluster_and_its_token() -> None:
    ((cluster,), (cron,)) = of_kind("cronjob", "RayCluster"), of_kind("cronjob", "CronJob")
    (only,) = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    name = cluster["metadata"]["name"]
    assert f"--address=http://{name}-head-svc:{JOBS_API}" in only["command"]  # KubeRay's name of the head's service
    env = {variable["name"]: variable for variable in only["env"]}
    assert env["RAY_AUTH_MODE"]["value"] == "token"
    assert env["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": name, "key": "auth_token"}


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_secret_stands_in_a_manifest(name: str) -> None:
    assert not of_kind(name, "Secret")
    for pod in pods(name):
        for one in pod.spec["containers"]:
            for variable in one.get("env", []):
                has_value = "value" in variable and variable["name"] != "RAY_AUTH_MODE"
                assert not (has_value and is_secret_name(variable["name"])), variable
    found = [
        text for text in strings(list(layout(name))) if re.search(r"AKIA[0-9A-Z]{16}|-----BEGIN|eyJ[\w-]{20}", text)
    ]
    assert found == []


@pytest.mark.parametrize("name", LAYOUTS)
def test_pods_run_without_rights_and_write_only_where_a_volume_is(name: str) -> None:
    for cluster in clusters(name):
        assert cluster["autoscalerOptions"]["securityContext"]["readOnlyRootFilesystem"]
    for pod in pods(name):
        context = pod.spec["securityContext"]
        assert context["runAsNonRoot"]
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        # The head's autoscaler talks to Kubernetes; nobody else does.
        assert pod.part == "head" or pod.spec["automountServiceAccountToken"] is False
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        for one in pod.spec["containers"]:
            security = one["securityContext"]
            assert not security["allowPrivilegeEscalation"]
            assert security["readOnlyRootFilesystem"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            mounts = {mount["mountPath"]: mount["name"] for mount in one["volumeMounts"]}
            assert set(mounts.values()) <= set(volumes)
            assert "emptyDir" in volumes[mounts["/tmp"]]
            assert {"name": "HOME", "value": "/tmp"} in one["env"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_ports_of_a_cluster_are_open_to_those_who_need_them_alone(name: str) -> None:
    policies = of_kind(name, "NetworkPolicy")
    head, *others = sorted(pods(name), key=lambda pod: pod.part)
    assert head.part == "head"
    for port in (JOBS_API, GCS, CLIENT, METRICS, 20000):
        for pod in others:
            assert may_connect(policies, pod, head, port) == (pod.part == "worker" or port == JOBS_API)
            assert may_connect(policies, head, pod, port) == (pod.part == "worker")
        assert may_connect(policies, OPERATOR, head, port) == (port == JOBS_API)
        for pod in (head, *others):
            is_scraped = port == METRICS and pod.part != "submitter"
            assert may_connect(policies, PROMETHEUS, pod, port) == is_scraped
            assert not any(may_connect(policies, other, pod, port) for other in (STRANGER, NEIGHBOUR))
            assert not may_connect(policies, pod, NEIGHBOUR, port)


def test_the_node_s_own_role_is_out_of_reach() -> None:
    for policy in of_kind("raycluster", "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            blocks = [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]
            assert all(block["except"] == ["169.254.0.0/16"] for block in blocks)
            assert not blocks or all(port["port"] in {443, 6443} for port in rule["ports"])
