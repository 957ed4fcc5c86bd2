"""Compiles any pipeline of TFX to a package for open-source Kubeflow Pipelines, whose tasks run its nodes as TFX's
LocalDagRunner does.

What may be in such a pipeline, and how to say where its nodes run: docs/any-pipeline.md.
"""

from __future__ import annotations

import inspect
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune.buckets import is_bucket
from finetune.config.kubernetes import KubernetesConfig
from finetune.errors import ConfigError
from finetune_kubeflow.package import placement
from finetune_kubeflow.package.runtime_keys import parameter_name
from finetune_kubeflow.package.user_code import UserCode, code_beside
from finetune_kubeflow.package.write import Contents, check_output, write_package

# What a task's own parameter is called.
RESERVED = "run_id"


def compile_pipeline(pipeline: Any, output: Path, settings: KubernetesConfig | None = None) -> None:
    """Compiles a pipeline to a KFP v2 package.

    Args:
        pipeline: A `tfx.orchestration.pipeline.Pipeline`. Relative paths in it are below the shared volume.
        output: YAML file to write.
        settings: Where nodes run, as the section `kubernetes:` says; None for its defaults.

    Raises:
        ConfigError: With everything that is wrong, or that cannot be run.
    """
    from tfx.dsl.compiler import compiler

    from pipeline.nodes import default_of, root_of, runtime_parameters

    settings = settings or KubernetesConfig()
    check_output(output)
    try:
        ir = compiler.Compiler().compile(pipeline)
    except (TypeError, ValueError) as error:
        raise ConfigError([f"--pipeline: TFX does not compile it: {error}"]) from error
    problems = [*_unsupported(pipeline, ir), *_path_problems(root_of(ir), settings)]
    if "runtime" in settings.model_fields_set:
        problems.append("kubernetes.runtime: of a pipeline of yours, its RuntimeParameters are what a run may set")
    node_ids = [node.pipeline_node.node_info.id for node in ir.nodes]
    problems += placement.problems(settings, node_ids)
    open_parameters = {one.name: one for one in runtime_parameters(ir)}
    problems += _parameter_problems(open_parameters)
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    root = ir.runtime_spec.pipeline_root.runtime_parameter.default_value
    root.string_value = placement.below_volume(root.string_value, settings)
    code = _carry_code(pipeline, ir)
    defaults = {name: default_of(one) for name, one in open_parameters.items()}
    name = ir.pipeline_info.id
    description = f"Runs {len(node_ids)} nodes of the TFX pipeline {name}."
    write_package(Contents(name, description, ir, settings, defaults, code=code), output)


def load_pipeline(place: str) -> Any:
    """Calls a function that makes a pipeline, of a module that can be imported here, and returns what it made.

    Args:
        place: `module:function`. The working directory is looked into first.

    Raises:
        ConfigError: There is no such function, or it returns no pipeline.
    """
    from tfx.orchestration.pipeline import Pipeline

    module, _, name = place.partition(":")
    if not module or not name:
        raise ConfigError([f"--pipeline: got {place!r}; expected MODULE:FUNCTION, such as taxi.pipeline:create"])
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        function = pkgutil.resolve_name(place)
    except ModuleNotFoundError as error:
        raise ConfigError(
            [
                f"--pipeline: got {place!r}; {error}. Modules are looked for in this folder, in PYTHONPATH, and among "
                "what is installed"
            ]
        ) from error
    except (AttributeError, ValueError) as error:
        raise ConfigError([f"--pipeline: got {place!r}; expected a function of the module: {error}"]) from error
    if not callable(function):
        raise ConfigError([f"--pipeline: got {place!r}, which is {type(function).__name__}; expected a function"])
    wanted = [
        one.name
        for one in inspect.signature(function).parameters.values()
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if wanted:
        raise ConfigError(
            [f"--pipeline: {place} takes {', '.join(wanted)}; expected a function that is called without arguments"]
        )
    made = function()
    if not isinstance(made, Pipeline):
        raise ConfigError(
            [f"--pipeline: {place} returned {type(made).__name__}; expected a tfx.dsl.Pipeline, which it does not run"]
        )
    return made


def _unsupported(pipeline: Any, ir: Any) -> Iterator[str]:
    """Yields what cannot be run, one sentence each."""
    from tfx.orchestration.kubeflow.decorators import FinalStatusStr
    from tfx.proto.orchestration import executable_spec_pb2, pipeline_pb2

    if ir.execution_mode == ir.ASYNC:
        yield "execution_mode: got ASYNC; expected SYNC: every node runs once in a run"
    deployment = pipeline_pb2.IntermediateDeploymentConfig()
    ir.deployment_config.Unpack(deployment)
    for one in ir.nodes:
        if one.WhichOneof("node") == "sub_pipeline":
            yield f"{one.sub_pipeline.pipeline_info.id}: a pipeline within the pipeline; give its nodes to the pipeline"
            continue
        node = one.pipeline_node
        name = node.node_info.id
        if node.inputs.conditionals:
            yield f"{name}: runs within Cond; expected nodes that always run"
        steps = [step for graph in node.inputs.input_graphs.values() for step in graph.nodes.values()]
        if any(step.op_node.op_type.endswith("Unnest") for step in steps):
            yield f"{name}: runs within ForEach; expected nodes that run once"
        packed, beam = deployment.executor_specs.get(name), executable_spec_pb2.BeamExecutableSpec()
        kind = packed.TypeName().rpartition(".")[2] if packed else ""
        if kind not in ("", "PythonClassExecutableSpec", "BeamExecutableSpec"):
            yield f"{name}: has an executor of the kind {kind}; expected a component of Python, with Beam or without"
        if packed and packed.Unpack(beam) and len(beam.beam_pipeline_args) < len(beam.beam_pipeline_args_placeholders):
            yield f"{name}: has a placeholder among its Beam options; expected texts"
    for component in pipeline.components:
        if any(isinstance(value, FinalStatusStr) for value in component.exec_properties.values()):
            yield f"{component.id}: is an exit handler; leave it out: a run's end is seen in Kubeflow Pipelines"


def _path_problems(root: str, settings: KubernetesConfig) -> Iterator[str]:
    relative = placement.below_volume(root, settings)
    if not root or is_bucket(root) or Path(relative).is_absolute():
        yield (
            f"pipeline_root: got {root!r}; expected a path below the shared volume, relative or below "
            f"{settings.volume.mount_path} (kubernetes.volume.mount_path)"
        )


def _parameter_problems(parameters: dict[str, Any]) -> Iterator[str]:
    names: dict[str, str] = {RESERVED: f"the task's own {RESERVED}"}
    for name, parameter in parameters.items():
        if not parameter.HasField("default_value"):
            yield f"RuntimeParameter {name}: has no default; expected one, which a run may replace"
        other = names.setdefault(parameter_name(name), name)
        if other != name:
            yield f"RuntimeParameter {name}: Kubeflow Pipelines takes it for {other}; choose another name"


def _carry_code(pipeline: Any, ir: Any) -> dict[str, UserCode]:
    """Has nodes import what is beside their `module_file` from the package, and returns that.

    Raises:
        ConfigError: A file is not here, or cannot be read.
    """
    from tfx.components.util.udf_utils import UserModuleFilePipDependency

    nodes = {node.pipeline_node.node_info.id: node.pipeline_node for node in ir.nodes}
    found: dict[str, UserCode] = {}
    for component in pipeline.components:
        for one in getattr(component, "_pip_dependencies", ()):
            parameters = nodes[component.id].parameters.parameters
            if not isinstance(one, UserModuleFilePipDependency) or one.module_file_key not in parameters:
                continue
            value = parameters[one.module_file_key]
            if value.WhichOneof("value") != "field_value":
                # A RuntimeParameter: a file on the volume.
                continue
            file = Path(value.field_value.string_value)
            if not file.is_file():
                raise ConfigError(
                    [
                        f"{component.id}: module_file: got {str(file)!r}, which is not here; the package carries it. "
                        "Of code in the image, `run_fn` and `preprocessing_fn` name functions"
                    ]
                )
            try:
                found[component.id] = code_beside(file)
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError([f"{component.id}: module_file: {file}: cannot be read: {error}"]) from error
            del parameters[one.module_file_key]
            parameters[one.module_path_key].field_value.string_value = f"{found[component.id].name}.{file.stem}"
    return found
