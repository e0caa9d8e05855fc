"""Which fields the kinds of object in infra/kubernetes may have, and what may stand in them.

Of the fields that Kubernetes and KubeRay know, these are the ones that we use: a further one is added here by whoever
looks it up. A field that is not here is a fault, because the API server drops a misspelt one in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import available_timezones

Rule = Any
"""A type; a pattern of the whole text; a set of the values there are; a function that says whether a value is right;
[rule] of a list's members; {name: rule} of an object's fields, `name!` where it must be there; {"*": rule}."""

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
DOTTED_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LABEL = re.compile(r"([a-z0-9][-a-z0-9.]*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
QUANTITY = re.compile(r"\d+(\.\d+)?(m|[kMGTPE]|[KMGTPE]i)?")
IMAGE = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+:(?!latest$)[\w.-]+")
"""With a tag that is a version."""
PATH = re.compile(r"/\S*")
CIDR = re.compile(r"\d+\.\d+\.\d+\.\d+/\d+")
VERSION = re.compile(r"\d+\.\d+\.\d+")
TEXTS = {"*": str}


def count(value: object) -> bool:
    return type(value) is int and value >= 0


def positive(value: object) -> bool:
    return type(value) is int and value > 0


def port(value: object) -> bool:
    return type(value) is int and 0 < value < 65536


def time_zone(value: object) -> bool:
    return value in available_timezones()


def schedule(value: object) -> bool:
    """Five fields of cron, each a `*` or numbers, ranges and steps within its bounds."""
    bounds = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
    fields = str(value).split()
    return len(fields) == len(bounds) and all(map(_within, fields, bounds))


def _within(field: str, bounds: tuple[int, int]) -> bool:
    for part in field.split(","):
        found = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?", part)
        if found is None:
            return False
        first, last = (int(number) if number else None for number in found.group(1, 2))
        if any(n is not None and not bounds[0] <= n <= bounds[1] for n in (first, last)):
            return False
        if first is not None and last is not None and first > last:
            return False
    return True


LABELS = {"*": LABEL_VALUE}
METADATA = {"name!": DOTTED_NAME, "namespace": NAME, "labels": LABELS, "annotations": TEXTS}
RESOURCES = {"cpu!": QUANTITY, "memory!": QUANTITY, "ephemeral-storage": QUANTITY, "nvidia.com/gpu": re.compile(r"\d+")}
VARIABLES = [
    {
        "name!": VARIABLE,
        "value": str,
        "valueFrom": {"secretKeyRef!": {"name!": DOTTED_NAME, "key!": str, "optional": bool}},
    }
]
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation!": bool,
    "readOnlyRootFilesystem!": bool,
    "capabilities!": {"drop!": [{"ALL"}]},
}
MOUNTS = [{"name!": NAME, "mountPath!": PATH, "readOnly": bool}]
NEEDS = {"requests!": RESOURCES, "limits!": RESOURCES}
CONTAINER = {
    "name!": NAME,
    "image!": IMAGE,
    "command": [str],
    "securityContext!": CONTAINER_SECURITY,
    "env": VARIABLES,
    "envFrom": [{"secretRef!": {"name!": DOTTED_NAME, "optional": bool}}],
    "ports": [{"name!": NAME, "containerPort!": port}],
    "lifecycle": {"preStop!": {"exec!": {"command!": [str]}}},
    "resources!": NEEDS,
    "volumeMounts": MOUNTS,
}
POD = {
    "serviceAccountName": DOTTED_NAME,
    "automountServiceAccountToken": bool,
    "restartPolicy": {"Never", "OnFailure", "Always"},
    "terminationGracePeriodSeconds": count,
    "nodeSelector": LABELS,
    "tolerations": [
        {"key!": LABEL, "operator!": {"Exists", "Equal"}, "effect": {"NoSchedule", "PreferNoSchedule", "NoExecute"}}
    ],
    "securityContext!": {
        "runAsNonRoot!": bool,
        "runAsUser!": positive,
        "runAsGroup!": positive,
        "fsGroup": positive,
        "seccompProfile!": {"type!": {"RuntimeDefault"}},
    },
    "containers!": [CONTAINER],
    "volumes": [
        {
            "name!": NAME,
            "emptyDir": {"medium": {"Memory"}, "sizeLimit": QUANTITY},
            "configMap": {"name!": DOTTED_NAME},
        }
    ],
}
POD_TEMPLATE = {"metadata!": {"labels!": LABELS}, "spec!": POD}
RAY_START = {"num-cpus": re.compile(r"\d+"), "object-store-memory": re.compile(r"\d+")}
CLUSTER = {
    "rayVersion!": VERSION,
    "authOptions!": {"mode!": {"token", "disabled"}, "secretName": DOTTED_NAME},
    "enableInTreeAutoscaling": bool,
    "autoscalerOptions": {
        "version": {"v1", "v2"},
        "idleTimeoutSeconds": count,
        "upscalingMode": {"Default", "Conservative", "Aggressive"},
        "securityContext": CONTAINER_SECURITY,
        "env": VARIABLES,
        "volumeMounts": MOUNTS,
        "resources": NEEDS,
    },
    "headGroupSpec!": {
        "serviceType": {"ClusterIP", "NodePort", "LoadBalancer"},
        "rayStartParams": RAY_START,
        "template!": POD_TEMPLATE,
    },
    "workerGroupSpecs": [
        {
            "groupName!": NAME,
            "minReplicas": count,
            "maxReplicas!": count,
            "idleTimeoutSeconds": count,
            "rayStartParams": RAY_START,
            "template!": POD_TEMPLATE,
        }
    ],
}
RAY_JOB = {
    "entrypoint!": str,
    "submissionMode": {"K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode"},
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": count,
    "backoffLimit": count,
    "activeDeadlineSeconds": positive,
    "preRunningDeadlineSeconds": positive,
    "submitterConfig": {"backoffLimit": count},
    "submitterPodTemplate": POD_TEMPLATE,
    "rayClusterSpec!": CLUSTER,
}
CRON_JOB = {
    "schedule!": schedule,
    "timeZone": time_zone,
    "concurrencyPolicy": {"Allow", "Forbid", "Replace"},
    "startingDeadlineSeconds": count,
    "successfulJobsHistoryLimit": count,
    "failedJobsHistoryLimit": count,
    "jobTemplate!": {
        "spec!": {
            "backoffLimit": count,
            "activeDeadlineSeconds": positive,
            "podFailurePolicy": {
                "rules!": [
                    {
                        "action!": {"FailJob", "Ignore", "Count"},
                        "onExitCodes": {"containerName": NAME, "operator!": {"In", "NotIn"}, "values!": [count]},
                        "onPodConditions": [{"type!": {"DisruptionTarget"}, "status": {"True", "False"}}],
                    }
                ]
            },
            "template!": POD_TEMPLATE,
        }
    },
}
SELECTOR = {
    "matchLabels": LABELS,
    "matchExpressions": [
        {"key!": LABEL, "operator!": {"In", "NotIn", "Exists", "DoesNotExist"}, "values": [LABEL_VALUE]}
    ],
}
PEERS = [
    {
        "podSelector": SELECTOR,
        "namespaceSelector": SELECTOR,
        "ipBlock": {"cidr!": CIDR, "except": [CIDR]},
    }
]
PORTS = [{"protocol!": {"TCP", "UDP"}, "port!": port}]
NETWORK = {
    "podSelector!": SELECTOR,
    "policyTypes!": [{"Ingress", "Egress"}],
    "ingress": [{"from!": PEERS, "ports": PORTS}],
    "egress": [{"to!": PEERS, "ports": PORTS}],
}


def named(pattern: re.Pattern[str], longest: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and len(value) <= longest and pattern.fullmatch(value) is not None


def _kind(version: str, spec: Rule, name: Rule = DOTTED_NAME) -> Rule:
    return {"apiVersion!": {version}, "kind!": str, "metadata!": METADATA | {"name!": name}, "spec!": spec}


KINDS: dict[str, Rule] = {
    "Namespace": {"apiVersion!": {"v1"}, "kind!": str, "metadata!": METADATA | {"name!": NAME}},
    "ServiceAccount": {"apiVersion!": {"v1"}, "kind!": str, "metadata!": METADATA},
    "ConfigMap": {"apiVersion!": {"v1"}, "kind!": str, "metadata!": METADATA, "data!": {"*": str}},
    "NetworkPolicy": _kind("networking.k8s.io/v1", NETWORK),
    "CronJob": _kind("batch/v1", CRON_JOB, named(NAME, 52)),
    # KubeRay adds to a name what a pod's label still has to hold.
    "RayCluster": _kind("ray.io/v1", CLUSTER, named(SERVICE_NAME, 53)),
    "RayJob": _kind("ray.io/v1", RAY_JOB, named(SERVICE_NAME, 47)),
    "RayCronJob": _kind(
        "ray.io/v1",
        {"schedule!": schedule, "timeZone": time_zone, "suspend": bool, "jobTemplate!": RAY_JOB},
        named(SERVICE_NAME, 36),
    ),
}


def faults(thing: Mapping[str, Any]) -> list[str]:
    """What is wrong with an object, a line for each field."""
    kind = thing.get("kind")
    return _faults(thing, KINDS[kind], str(kind)) if kind in KINDS else [f"kind {kind} is unknown"]


def _faults(value: Any, rule: Rule, where: str) -> list[str]:
    if isinstance(rule, list):
        if not isinstance(value, list) or not value:
            return [f"{where}: a list with something in it is expected"]
        return [fault for i, one in enumerate(value) for fault in _faults(one, rule[0], f"{where}[{i}]")]
    if isinstance(rule, dict):
        return _faults_of_fields(value, rule, where)
    if isinstance(rule, type):
        return [] if type(value) is rule else [f"{where}: {value!r} is no {rule.__name__}"]
    if isinstance(rule, re.Pattern):
        return [] if isinstance(value, str) and rule.fullmatch(value) else [f"{where}: {value!r} has another form"]
    if isinstance(rule, set):
        return [] if value in rule else [f"{where}: {value!r} is none of {', '.join(sorted(rule))}"]
    return [] if rule(value) else [f"{where}: {value!r} is no {rule.__name__}"]


def _faults_of_fields(value: Any, rule: Mapping[str, Rule], where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: fields are expected"]
    if "*" in rule:
        return [fault for name, one in value.items() for fault in _faults(one, rule["*"], f"{where}.{name}")]
    rules = {name.removesuffix("!"): one for name, one in rule.items()}
    found = [f"{where}.{name[:-1]} is missing" for name in rule if name.endswith("!") and name[:-1] not in value]
    for name, one in value.items():
        found += _faults(one, rules[name], f"{where}.{name}") if name in rules else [f"{where}.{name} is unknown"]
    return found
