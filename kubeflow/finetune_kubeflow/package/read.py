"""A package as kfp's own messages, and the values of its parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from finetune.errors import ConfigError, did_you_mean
from finetune_kubeflow.environment import COMMANDS, TASK_COMMAND


@dataclass(frozen=True)
class Package:
    """A package, read with kfp's own messages."""

    pipeline: Any
    executor_configs: Mapping[str, Any]


def read_package(path: Path) -> Package:
    """Reads a package.

    Raises:
        ConfigError: It is not a KFP v2 package, or another version compiled it.
    """
    from google.protobuf import json_format
    from kfp.kubernetes import kubernetes_executor_config_pb2
    from kfp.pipeline_spec import pipeline_spec_pb2

    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        pipeline = json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
        platform = documents[1] if len(documents) > 1 else {}
        kubernetes = platform.get("platforms", {}).get("kubernetes", {})
        configs = kubernetes.get("deploymentSpec", {}).get("executors", {})
        executor_configs = {
            label: json_format.ParseDict(config, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
            for label, config in configs.items()
        }
    except (OSError, UnicodeDecodeError, yaml.YAMLError, json_format.ParseError, AttributeError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError([f"{path}: not a KFP v2 package: {reason}. `finetune compile` makes one."]) from None
    executors = documents[0].get("deploymentSpec", {}).get("executors", {}).values()
    for container in (executor.get("container", {}) for executor in executors):
        command = container.get("command", [])
        if "--run-id" in container.get("args", []) and tuple(command) not in COMMANDS:
            raise ConfigError(
                [
                    f"{path}: its tasks run `{' '.join(command)}`; this version has `{' '.join(TASK_COMMAND)}`. "
                    "Another version compiled the package: compile it anew with `finetune compile`, or run it with "
                    "the version and the image that it was made for."
                ]
            )
    return Package(pipeline, executor_configs)


def pipeline_parameters(pipeline: Any, given: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The value of every parameter of the pipeline, and what is wrong with those that were given."""
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    declared = pipeline.root.input_definitions.parameters
    problems = [
        f"--parameter {name}: the package has no such parameter; expected one of {', '.join(sorted(declared))}."
        f"{did_you_mean(name, declared)}"
        for name in given
        if name not in declared
    ]
    values: dict[str, Any] = {}
    for name, definition in declared.items():
        kind = pipeline_spec_pb2.ParameterType.ParameterTypeEnum.Name(definition.parameter_type)
        try:
            default = json_format.MessageToDict(definition.default_value)
            values[name] = parse_parameter(kind, given[name]) if name in given else default
        except ValueError as error:
            problems.append(f"--parameter {name}: got {given[name]!r}; {error}")
    return values, problems


def parse_parameter(kind: str, text: str) -> Any:
    """A parameter's value from its text, by KFP's name of its type; ValueError with what was expected."""
    expected = {"NUMBER_INTEGER": (int,), "NUMBER_DOUBLE": (int, float), "BOOLEAN": (bool,)}.get(kind)
    if expected is None:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if type(value) not in expected:
        raise ValueError(f"expected {'true or false' if bool in expected else 'a number'}")
    return value
