"""Compiles a config's pipeline to a package for Kubeflow Pipelines, with a decision before it and a report after."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from evaluation.tasks import gates_for
from finetune.buckets import is_bucket
from finetune.config import Config
from finetune.errors import ConfigError
from finetune.run_time import ConfigValue
from finetune_kubeflow.environment import NOWHERE, REPORT
from finetune_kubeflow.package import placement
from finetune_kubeflow.package.components import decision_component, examined_nodes, report_component
from finetune_kubeflow.package.runtime_keys import parameter_name, runtime_parameters, with_value
from finetune_kubeflow.package.write import Contents, Given, check_output, placed_task, write_package
from finetune_kubeflow.workers import manifests
from pipeline.plan import node_ids
from pipeline.retraining.lineage import NODE_ID
from trainer_module.backbones.sources import record_of

# Keys whose paths may be in a bucket that is not mounted.
IN_BUCKETS = ("data.root", "push.directory")
START_FROM = "training.start_from"


def compile_package(config: Config, output: Path, decides: bool = False) -> None:
    """Compiles the config's pipeline to a KFP v2 package.

    Args:
        config: Relative paths in it are below the shared volume.
        output: YAML file to write.
        decides: Whether a task comes first that decides as `finetune retrain` does, and the others run where it says
            to train.

    Raises:
        ConfigError: With everything that is wrong, or that KFP cannot express.
    """
    check_output(output)
    parameters, problems = runtime_parameters(config)
    asked = on_volume(config)
    if decides:
        if START_FROM in parameters:
            problems.append(f"kubernetes.runtime: got {START_FROM}, which the decision says; leave it out")
        # Both ways are wired.
        config = with_value(config, START_FROM, "champion")
    problems += _path_problems(config)
    nodes, jobs = node_ids(config), manifests.jobs(config, node_ids(config))
    problems += placement.problems(config.kubernetes, [*([NODE_ID] if decides else []), *nodes, REPORT], jobs)
    if problems:
        raise ConfigError(problems)
    starts = {START_FROM: "champion"} if decides else {}
    ir = open_ir(config, [*parameters, *starts])
    decision = decision_component(ir, asked, parameters) if decides else None
    report = report_component(asked, parameters)

    def run(tasks: Callable[[Given], None], given: Given) -> None:
        from kfp import dsl

        if decision is None:
            tasks(given)
            return
        decided = placed_task(decision, config.kubernetes, [NODE_ID, *examined_nodes(config)], given)
        start = decided.set_display_name(NODE_ID).outputs["start_from"]
        with dsl.If(start != NOWHERE, name="train"):
            tasks({**given, parameter_name(START_FROM): start})

    def reported(tasks: Callable[[Given], None], given: Given) -> None:
        from kfp import dsl

        with dsl.ExitHandler(placed_task(report, config.kubernetes, [REPORT], given), name="run"):
            run(tasks, given)

    contents = Contents(config.name, _description(config), ir, config.kubernetes, parameters, starts, jobs)
    write_package(contents, output, reported)


def open_ir(config: Config, runtime_keys: Iterable[str]) -> Any:
    """Compiles TFX's IR with these config keys left open, and with paths below the volume that all nodes share.

    Returns:
        pipeline_pb2.Pipeline without a metadata connection.

    Raises:
        ConfigError: A run-time key is not one that can be left open.
    """
    from pipeline.dag import compile_ir
    from pipeline.nodes import left_open

    runtime_keys = list(runtime_keys)
    opened = on_volume(config)
    for key in runtime_keys:
        opened = with_value(opened, key, ConfigValue(key=key))
    with warnings.catch_warnings():
        # A value that is left open is none of the field's type; pydantic says so when it writes the config as JSON.
        warnings.filterwarnings("ignore", message="(?s)Pydantic serializer warnings")
        try:
            ir = compile_ir(opened)
        except (AttributeError, TypeError, ValueError) as error:
            raise ConfigError(
                [
                    f"kubernetes.runtime: got {', '.join(runtime_keys)}; one of them decides how the DAG is built and "
                    f"cannot be left open ({error}). Leave it out, and compile a package for each value."
                ]
            ) from error
    without_effect = [key for key in runtime_keys if key not in left_open(ir)]
    if without_effect:
        raise ConfigError(
            [f"kubernetes.runtime: {key} has no effect on any node; leave it out" for key in without_effect]
        )
    return ir


def on_volume(config: Config) -> Config:
    """A config with paths below the folder that all nodes share, where they were below its mount path."""
    for key, path in _paths(config).items():
        if path:
            config = with_value(config, key, placement.below_volume(path, config.kubernetes))
    return config


def _description(config: Config) -> str:
    gates = len(gates_for(config))
    return f"Fine-tunes {record_of(config.backbone).name} and pushes it if it passes {gates} gates."


def _path_problems(config: Config) -> list[str]:
    return [
        f"{key}: got {path!r}; expected a path below the shared volume. A bucket can be that volume "
        "(kubeflow/manifests/overlays/gcs-bucket and s3-bucket); one that is only read from can be mounted as one of "
        "kubernetes.defaults.volumes"
        for key, path in _paths(config).items()
        if path and re.match(r"[a-z0-9]+:/", path) and not (key in IN_BUCKETS and is_bucket(path))
    ]


def _paths(config: Config) -> dict[str, str | None]:
    return {
        "output_dir": config.output_dir,
        "data.root": config.data.root,
        "data.schema_file": config.data.schema_file,
        "backbone.weights": config.backbone.weights,
        "backbone.file": config.backbone.file,
        **{f"backbone.sides.{side}.weights": each.weights for side, each in config.backbone.of_sides.items()},
        **{f"backbone.sides.{side}.file": each.file for side, each in config.backbone.of_sides.items()},
        "push.directory": config.push.directory,
    }
