"""The manifests in infra/kubernetes as Kubernetes gets them, and the pods that KubeRay makes of them."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support import ROOT

NAMESPACE = "lodepack"
KUBERNETES = ROOT / "infra" / "kubernetes"
LAYOUTS = ("raycluster", "rayjob", "raycronjob", "cronjob")
"""Folders of infra/kubernetes that are applied."""
JOB = KUBERNETES / "base" / "job.yaml"
DROPPED = "config.kubernetes.io/local-config"
UNITS = {"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
KNOWN = {"namespace", "resources", "configMapGenerator", "generatorOptions", "replacements", "patches"}

Thing = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod of a rendered layout: which part of it, its labels with those that KubeRay adds, and its spec."""

    part: str
    labels: dict[str, str]
    spec: Thing
    namespace: str = NAMESPACE


def render(folder: Path) -> list[Thing]:
    """What `kubectl kustomize` makes of a folder, as far as ours use it; a test holds the two against each other."""
    things = [thing for thing in _collected(folder) if thing["metadata"].get("annotations", {}).get(DROPPED) != "true"]
    return copy.deepcopy(things)


def _collected(folder: Path) -> list[Thing]:
    how = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    assert set(how) - {"apiVersion", "kind"} <= KNOWN
    things: list[Thing] = []
    for name in how["resources"]:
        path = folder / name
        things += render(path) if path.is_dir() else yaml.safe_load_all(path.read_text("utf-8"))
    for maker in how.get("configMapGenerator", []):
        data = {file: (folder / file).read_text("utf-8") for file in maker["files"]}
        things.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": maker["name"]}, "data": data})
    for patch in how.get("patches", []):
        (change,) = yaml.safe_load(patch["patch"])
        assert (change["op"], change["path"]) == ("add", "/metadata/annotations")
        _find(things, patch["target"])["metadata"]["annotations"] = change["value"]
    for replacement in how.get("replacements", []):
        source = _find(things, replacement["source"])[replacement["source"]["fieldPath"]]
        for target in replacement["targets"]:
            for path in target["fieldPaths"]:
                *parents, last = path.split(".")
                place = _find(things, target["select"])
                for parent in parents:
                    place = place[parent]
                place[last] = source
    for thing in things:
        if thing["kind"] != "Namespace":
            thing["metadata"]["namespace"] = how["namespace"]
    return things


def _find(things: list[Thing], which: Thing) -> Thing:
    (found,) = [one for one in things if (one["kind"], one["metadata"]["name"]) == (which["kind"], which["name"])]
    return found


@cache
def layout(name: str) -> tuple[Thing, ...]:
    """The objects of `kubectl apply -k infra/kubernetes/NAME`."""
    return tuple(render(KUBERNETES / name))


def of_kind(name: str, kind: str) -> list[Thing]:
    return [thing for thing in layout(name) if thing["kind"] == kind]


def clusters(name: str) -> list[Thing]:
    """The RayCluster specs that a layout holds, wherever they stand."""
    found = [thing["spec"] for thing in of_kind(name, "RayCluster")]
    found += [thing["spec"]["rayClusterSpec"] for thing in of_kind(name, "RayJob")]
    return found + [thing["spec"]["jobTemplate"]["rayClusterSpec"] for thing in of_kind(name, "RayCronJob")]


def pods(name: str) -> list[Pod]:
    """Every pod that a layout makes."""
    found: list[Pod] = []
    for cluster in clusters(name):
        found.append(_node("head", "headgroup", cluster["headGroupSpec"]["template"]))
        found += [_node("worker", group["groupName"], group["template"]) for group in cluster["workerGroupSpecs"]]
    templates = [thing["spec"]["jobTemplate"]["spec"]["template"] for thing in of_kind(name, "CronJob")]
    templates += [thing["spec"]["submitterPodTemplate"] for thing in of_kind(name, "RayJob")]
    templates += [thing["spec"]["jobTemplate"]["submitterPodTemplate"] for thing in of_kind(name, "RayCronJob")]
    return found + [Pod("submitter", one["metadata"]["labels"], one["spec"]) for one in templates]


def _node(kind: str, group: str, template: Thing) -> Pod:
    labels = {"ray.io/cluster": "of-any-name", "ray.io/node-type": kind, "ray.io/group": group}
    return Pod(kind, labels | template["metadata"]["labels"], template["spec"])


def quantity(text: str) -> float:
    """Bytes or CPUs."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]*)", text)
    assert found is not None, text
    return float(found[1]) * UNITS[found[2]]


def strings(value: Any) -> Iterator[str]:
    """Every text in a tree, names of fields too."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield str(name)
            yield from strings(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from strings(one)
    elif isinstance(value, str):
        yield value


def may_connect(policies: list[Thing], source: Pod, target: Pod, port: int) -> bool:
    """Whether a TCP connection passes: both ends' policies have to let it, where any of them is about that end."""
    return _passes(policies, "Egress", source, target, port) and _passes(policies, "Ingress", target, source, port)


def _passes(policies: list[Thing], direction: str, pod: Pod, other: Pod, port: int) -> bool:
    specs = [policy["spec"] for policy in policies if policy["metadata"]["namespace"] == pod.namespace]
    about = [s for s in specs if direction in s["policyTypes"] and _selects(s["podSelector"], pod.labels)]
    field, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    rules = [rule for spec in about for rule in spec.get(field, [])]
    return not about or any(_admits(rule, peers, other, port) for rule in rules)


def _admits(rule: Thing, peers: str, other: Pod, port: int) -> bool:
    is_port = "ports" not in rule or any(one == {"protocol": "TCP", "port": port} for one in rule["ports"])
    return is_port and any(_is_peer(peer, other) for peer in rule[peers])


def _is_peer(peer: Thing, other: Pod) -> bool:
    if "ipBlock" in peer:  # of the world outside: pods are told apart by their labels
        return False
    space = {"kubernetes.io/metadata.name": other.namespace}
    is_there = (
        _selects(peer["namespaceSelector"], space) if "namespaceSelector" in peer else other.namespace == NAMESPACE
    )
    return is_there and _selects(peer.get("podSelector", {}), other.labels)


def _selects(selector: Thing, labels: Mapping[str, str]) -> bool:
    expressions = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in expressions)
    matches = all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())
    return matches and all(labels.get(one["key"]) in one["values"] for one in expressions)
