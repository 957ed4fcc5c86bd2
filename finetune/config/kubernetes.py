"""The sections of a config that say where each node runs on Kubernetes.

Paths in a config are relative to the working directory. On Kubernetes that is `kubernetes.volume.mount_path`, the
folder that all nodes share.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from finetune.config.base import Section


def _matching(pattern: str, expected: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {expected}")
        return text

    return AfterValidator(check)


Text = Annotated[str, Field(coerce_numbers_to_str=True)]
# Quantities, in the part of Kubernetes' syntax that KFP accepts too.
Cpu = Annotated[Text, _matching(r"([0-9]*\.)?[0-9]+m?", "a number of CPUs, such as 2 or 500m")]
Bytes = Annotated[Text, _matching(r"[0-9]+([EPTGMK]i?)?", "an amount of bytes, such as 8Gi")]
ObjectName = Annotated[
    str, _matching(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", "the name of a Kubernetes object: a-z, 0-9, - and .")
]
Folder = Annotated[str, _matching(r"(/[^/:]+)+", "an absolute path without a slash at its end")]


class Accelerator(Section):
    """Devices of a node, as its device plugin calls them."""

    type: str = Field("nvidia.com/gpu", min_length=1, description="resource name")
    count: int = Field(1, ge=1, le=64)


class Toleration(Section):
    """A taint that the pod may run in spite of. Without `key`, every taint."""

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: Text | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    seconds: int | None = Field(None, ge=0, description="how long, for the effect NoExecute")

    @model_validator(mode="after")
    def _as_kubernetes_has_it(self) -> Toleration:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("operator `Exists` takes no `value`")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("expected `key`, or operator `Exists` for every taint")
        if self.seconds is not None and self.effect != "NoExecute":
            raise ValueError("`seconds` goes with effect `NoExecute`")
        return self


class NodeCondition(Section):
    """A condition on the labels of a node."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = "In"
    values: list[Text] = []
    weight: int | None = Field(None, ge=1, le=100, description="a preference of this weight; without it, required")


class Claim(Section):
    """A PersistentVolumeClaim."""

    claim: ObjectName
    mount_path: Folder


class Mounted(Section):
    """A Secret or a ConfigMap: keys as environment variables, or all of it as a folder of files."""

    name: ObjectName
    env: dict[str, str] = Field({}, description="key -> environment variable")
    mount_path: Folder | None = None

    @model_validator(mode="after")
    def _is_used(self) -> Mounted:
        if not self.env and self.mount_path is None:
            raise ValueError("expected `env` or `mount_path`")
        return self


class Retries(Section):
    """How often, and after which pauses, a task is tried again that failed by what may pass, or that lost its pod."""

    count: int = Field(2, ge=0, le=100, description="of further attempts: in its pod after a failure, and of pods lost")
    backoff_seconds: int = Field(30, ge=0, description="before the second attempt")
    backoff_factor: int = Field(2, ge=1, description="each further pause is this many times longer")
    backoff_max_seconds: int = Field(600, ge=0, le=3600, description="the longest pause")

    @property
    def pauses(self) -> list[int]:
        """The seconds before each further attempt."""
        growing = (self.backoff_seconds * self.backoff_factor**number for number in range(self.count))
        return [min(pause, self.backoff_max_seconds) for pause in growing]


class Placement(Section):
    """Where and how one component runs. A key that a component sets replaces the default's, as a whole."""

    image: str = Field("finetune-pipeline:latest", min_length=1)
    cpu: Cpu = Field("1", description="request, such as 2 or 500m")
    cpu_limit: Cpu | None = None
    memory: Bytes = Field("4Gi", description="request, such as 8Gi")
    memory_limit: Bytes | None = None
    ephemeral_storage: Bytes | None = Field(None, description="the most that may be written to /tmp, such as 20Gi")
    shared_memory: Bytes | None = Field(None, description="size of /dev/shm, such as 2Gi")
    accelerator: Accelerator | None = None
    node_selector: dict[str, Text] = {}
    node_affinity: list[NodeCondition] = []
    tolerations: list[Toleration] = []
    volumes: list[Claim] = Field([], description="further claims")
    secrets: list[Mounted] = []
    config_maps: list[Mounted] = []
    env: dict[str, Text] = Field({}, description="plain variables; credentials belong into a Secret")
    service_account: ObjectName | None = Field(None, description="of worker Jobs; a KFP run has one for all its tasks")
    priority_class: ObjectName | None = Field(None, description="of worker Jobs; KFP has no way to say it of a task")
    timeout_minutes: float | None = Field(None, gt=0)
    retries: Retries = Retries()
    queue: str | None = Field(None, description="Kueue: local queue that the pod is admitted through")
    queue_priority: str | None = Field(None, description="Kueue: workload priority class")
    labels: dict[str, Text] = {}
    annotations: dict[str, Text] = {}

    @model_validator(mode="after")
    def _priority_goes_with_a_queue(self) -> Placement:
        if self.queue_priority and not self.queue:
            raise ValueError("`queue_priority` goes with `queue`")
        return self


class KubernetesConfig(Section):
    """How `finetune compile` turns the DAG into a package for Kubeflow Pipelines."""

    namespace: ObjectName = Field("kubeflow", description="where runs and worker Jobs live")
    volume: Claim = Field(
        Claim(claim="finetune", mount_path="/finetune"),
        description="shared by all nodes: data, weights, artifacts and pushed models; their working directory",
    )
    metadata_secret: ObjectName = Field(
        "finetune-metadata", description="Secret of the MLMD database: host, port, database, user, password"
    )
    service_account: ObjectName = Field("finetune-runner", description="of the run")
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: list[ObjectName] = []
    worker_job: Literal["Job", "TrainJob"] = Field(
        "Job",
        description="what `distribution.workers` and `tuning.parallel` become: plain Kubernetes' Job, or Kubeflow "
        "Trainer's TrainJob",
    )
    group_light_nodes: bool = Field(
        True, description="nodes that do not train, and that `components` does not name, share tasks"
    )
    runtime: list[str] = Field(
        ["data.root"],
        description="keys that are parameters of the KFP pipeline; where data come in spans, `data.spans` too by "
        "default, whose parameter is a text such as `3,7..9`",
    )
    defaults: Placement = Placement()
    components: dict[str, Placement] = Field(
        {}, description="per node of the DAG, what differs from `defaults`; such a node has a task of its own"
    )

    @field_validator("defaults")
    @classmethod
    def _no_accelerator_for_everyone(cls, defaults: Placement) -> Placement:
        if defaults.accelerator:
            raise ValueError("expected accelerators at the components that use them, such as `components.Trainer`")
        return defaults

    @field_validator("runtime")
    @classmethod
    def _keys_differ(cls, runtime: list[str]) -> list[str]:
        twice = sorted({key for key in runtime if runtime.count(key) > 1})
        if twice:
            raise ValueError(f"expected each key once; twice: {', '.join(twice)}")
        return runtime
