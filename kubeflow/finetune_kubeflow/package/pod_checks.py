"""What Kubernetes would refuse in a pod: found before anything is sent, where it would be found while a run waits."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

from finetune.config.kubernetes import KubernetesConfig, Placement
from finetune_kubeflow.environment import POD_FIELDS, RETRIES_ENV, ROOT_ENV
from pipeline.metadata_connection import METADATA_ENV

_POWERS: dict[str, Decimal] = {
    unit: Decimal(1000) ** power for power, unit in enumerate(("", "K", "M", "G", "T", "P", "E"))
}
_POWERS |= {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)} | {
    "m": Decimal("0.001")
}

_LABEL_VALUE = r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?"
_LABEL_KEY = rf"([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?(?!$){_LABEL_VALUE}"
_DNS_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_VARIABLE = r"[A-Za-z_.-][A-Za-z0-9_.-]*"


def pod_problems(settings: KubernetesConfig, placed: Placement) -> list[str]:
    """What is wrong with the pods of a placement; one sentence each, which begins with the key."""
    return [*_resources(placed), *_mounts(settings, placed), *_variables(placed), *_labels(placed)]


def amount(quantity: str) -> Decimal:
    """The number that a quantity of Kubernetes stands for, such as 500m or 8Gi."""
    unit = quantity.lstrip("0123456789.")
    return Decimal(quantity.removesuffix(unit)) * _POWERS[unit]


def _resources(placed: Placement) -> list[str]:
    pairs = (("cpu", placed.cpu, placed.cpu_limit), ("memory", placed.memory, placed.memory_limit))
    return [
        f"{key}: got {request}, above {key}_limit, {limit}; expected at most the limit"
        for key, request, limit in pairs
        if limit is not None and amount(request) > amount(limit)
    ]


def _mounts(settings: KubernetesConfig, placed: Placement) -> list[str]:
    claims = (settings.volume, *placed.volumes)
    files = [use for use in (*placed.secrets, *placed.config_maps) if use.mount_path]
    own = [("shared-memory", "/dev/shm")] * bool(placed.shared_memory)
    own += [("temporary", "/tmp")] * bool(placed.ephemeral_storage)
    paths = [claim.mount_path for claim in claims] + [str(use.mount_path) for use in files] + [path for _, path in own]
    # KFP names a volume of a pod after the claim, Secret or ConfigMap.
    names = [claim.claim for claim in claims] + [use.name for use in files] + [name for name, _ in own]
    found = [f"volumes: {path} is mounted twice; expected one volume for each path" for path in _twice(paths)]
    found += [
        f"volumes: {name} is mounted twice; expected each claim, Secret and ConfigMap once" for name in _twice(names)
    ]
    found += [
        f"volumes: got {name!r}; a pod's volume is named after it, which takes a-z, 0-9 and -, at most 63 of them"
        for name in dict.fromkeys(names)
        if not re.fullmatch(_DNS_LABEL, name)
    ]
    return found


def _variables(placed: Placement) -> list[str]:
    taken = [*METADATA_ENV, ROOT_ENV, RETRIES_ENV, *POD_FIELDS]
    names = [*placed.env, *(name for use in (*placed.secrets, *placed.config_maps) for name in use.env.values())]
    found = [
        f"env: {name} is set twice, or by the pipeline itself; choose another name"
        for name in sorted({name for name in names if name in taken or names.count(name) > 1})
    ]
    return found + [
        f"env: got {name!r}; expected the name of a variable: letters, digits, _, - and ."
        for name in dict.fromkeys(names)
        if not re.fullmatch(_VARIABLE, name)
    ]


def _labels(placed: Placement) -> list[str]:
    found = [
        f"{field}: got the key {key!r}; expected letters, digits, -, _ and ., at most 63, or those after a domain and /"
        for field, keys in (
            ("labels", placed.labels),
            ("annotations", placed.annotations),
            ("node_selector", placed.node_selector),
        )
        for key in keys
        if not re.fullmatch(_LABEL_KEY, key)
    ]
    values = [("labels", value) for value in placed.labels.values()]
    values += [("node_selector", value) for value in placed.node_selector.values()]
    values += [("queue", placed.queue or ""), ("queue_priority", placed.queue_priority or "")]
    return found + [
        f"{field}: got {value!r}; expected letters, digits, -, _ and ., at most 63"
        for field, value in values
        if not re.fullmatch(_LABEL_VALUE, value)
    ]


def _twice(values: Iterable[str]) -> list[str]:
    values = list(values)
    return sorted({value for value in values if values.count(value) > 1})
