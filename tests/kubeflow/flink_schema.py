"""What the operator of Flink (flink.apache.org/v1beta1) takes of a session cluster, as JSON schema, pods aside."""

from __future__ import annotations

from typing import Any

# Written after the operator's CustomResourceDefinition: the keys that a session cluster may have, with their types.
_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 1}
_MANAGER = {
    "replicas": _COUNT,
    "resource": {
        "type": "object",
        "properties": {"cpu": {"type": "number"}, "memory": _TEXT, "ephemeralStorage": _TEXT},
        "additionalProperties": False,
    },
    "podTemplate": {"type": "object"},
}
FLINK_DEPLOYMENT: dict[str, Any] = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "flink.apache.org/v1beta1"},
        "kind": {"const": "FlinkDeployment"},
        "metadata": {"type": "object", "required": ["name", "namespace"]},
        "spec": {
            "type": "object",
            "required": ["flinkVersion", "serviceAccount", "jobManager", "taskManager"],
            "properties": {
                "image": _TEXT,
                "imagePullPolicy": _TEXT,
                "flinkVersion": {"enum": [f"v1_{minor}" for minor in range(13, 21)]},
                "serviceAccount": _TEXT,
                "mode": {"enum": ["native", "standalone"]},
                "flinkConfiguration": {"type": "object", "additionalProperties": _TEXT},
                "logConfiguration": {"type": "object", "additionalProperties": _TEXT},
                "restartNonce": {"type": "integer"},
                "podTemplate": {"type": "object"},
                "jobManager": {"type": "object", "properties": _MANAGER, "additionalProperties": False},
                "taskManager": {"type": "object", "properties": _MANAGER, "additionalProperties": False},
            },
            "additionalProperties": False,
        },
    },
    "additionalProperties": False,
}
