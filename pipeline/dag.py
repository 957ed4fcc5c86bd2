"""The DAG: the only file that wires components. Local and Kubernetes runs share it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tfx import types
from tfx.components.evaluator.component import Evaluator
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.compiler import compiler
from tfx.dsl.components.base import base_beam_component, base_component
from tfx.orchestration import pipeline as tfx_pipeline
from tfx.proto.orchestration import pipeline_pb2

from components.bulk_inferrer.component import BulkInferrer
from components.champion.resolver import champion_resolver, training_data_resolver
from components.champion.teacher_resolver import teacher_resolver
from components.champion.warm_start_resolver import warm_start_resolver
from components.data_gate.component import DataGate
from components.data_validation.schema import schema_gen
from components.data_validation.statistics import statistics_gen
from components.data_validation.validator import example_validator
from components.evaluator.eval_config import eval_config
from components.example_gen.modalities import MODALITIES
from components.example_gen.tasks import TASKS as INGEST_TASKS
from components.gate_keeper.component import GateKeeper
from components.pusher.component import AtomicPusher
from components.serving_gate.component import ServingGate
from components.source_probe.component import EXAMPLES_NODE_ID, SourceProbe
from components.source_probe.component import NODE_ID as SOURCE_PROBE
from components.teacher.component import Teacher
from components.trainer.component import Trainer
from components.transform.component import CACHE_KEY, Transform
from components.tuner.component import BEST, Tuner
from evaluation.data_checks.chosen import chosen_checks
from evaluation.metrics import METRICS
from evaluation.metrics.cost import EXPECTED_COST
from evaluation.tasks import gates_for
from finetune.config import Config, DistillationConfig, EvaluationConfig
from finetune.config.backbone import CandidateConfig
from finetune.config.distillation import CHAMPION
from finetune.config.evaluation import TEACHER
from finetune.run_time import CodeDigest, FileDigest, SharedPath, as_parameter, plain
from pipeline.beam.arguments import beam_arguments
from pipeline.code_digest import installed
from pipeline.plan import scratch_training
from trainer_module.backbones.sources import record_of, source_of
from transforms.features import GROUP, SPAN
from transforms.modalities import transform_settings

RUN_FN = "trainer_module.recipe.run_fn"
LINEAR_RUN_FN = "trainer_module.linear_baseline.run_fn"
TUNER_FN = "trainer_module.tuning.recipe.tuner_fn"
TRAINED_ON = ["train", "val"]
# Keys of `data` that ingest does not ask for, or gets in another form.
NOT_READ = {"root", "schema_file", "checks", "corrections", "serving_log"}


def build_pipeline(config: Config) -> tfx_pipeline.Pipeline:
    """Wires the pipeline of a config.

    Only the sections that a component depends on enter its parameters, so that TFX's cache reruns what a change of the
    config, the data, the weights or the code concerns, and nothing else.
    """
    output = config.output_dir or f"runs/{config.name}"
    pushed = SharedPath(path=config.push.directory or f"{output}/pushed")
    checks = chosen_checks(config.data.checks)
    ingest = MODALITIES[record_of(config.backbone).modality].component()
    examples = ingest(root=as_parameter(config.data.root), settings=_ingest_settings(config, output))
    statistics = statistics_gen(examples.outputs["examples"])
    if config.data.schema_file:
        schema = ImportSchemaGen(schema_file=as_parameter(SharedPath(path=config.data.schema_file)))
    else:
        schema = schema_gen(statistics.outputs["statistics"], INGEST_TASKS[config.task].one_label)
    validator = example_validator(statistics.outputs["statistics"], schema.outputs["schema"])
    transform = Transform(
        examples=examples.outputs["examples"],
        schema=schema.outputs["schema"],
        splits=[*TRAINED_ON, "test"] if checks else TRAINED_ON,
        custom_config={
            **transform_settings(record_of(config.backbone)),
            "task": config.task,
            CACHE_KEY: _example_cache(config, output),
        },
    )
    # There is no channel between the two: without this edge a parallel scheduler would train on data that fail.
    transform.add_upstream_node(validator)
    nodes: list[Any] = [examples, statistics, schema, validator, transform]
    gate = None
    if checks:
        champion_data = training_data_resolver(statistics.outputs["statistics"], as_parameter(pushed))
        # The nodes of the data come first, so that theirs is one order on every scheduler.
        champion_data.add_upstream_node(transform)
        gate = DataGate(
            examples=examples.outputs["examples"],
            statistics=statistics.outputs["statistics"],
            champion_statistics=champion_data.outputs["statistics"],
            transformed_examples=transform.outputs["transformed_examples"],
            transform_graph=transform.outputs["transform_graph"],
            settings=data_gate_settings(config),
            checks=checks,
        )
        nodes += [champion_data, gate]
    trained_on = transform.outputs["transformed_examples"]
    if gate and "trained_on" in gate.outputs:
        trained_on = gate.outputs["trained_on"]

    inputs = {
        "examples": trained_on,
        "transform_graph": transform.outputs["transform_graph"],
        "schema": schema.outputs["schema"],
    }

    def after_gate(node: Any) -> Any:
        if gate:
            # Where nothing is dropped, there is no channel between the two.
            node.add_upstream_node(gate)
        return node

    def trainer_of(node_id: str, settings: dict[str, Any], run_fn: str = RUN_FN, **further: Any) -> Trainer:
        node: Trainer = after_gate(_trainer(config, node_id, settings, run_fn, {**inputs, **further}))
        return node

    further: dict[str, types.BaseChannel] = {}
    taught: dict[str, types.BaseChannel] = {}
    baselines: dict[str, types.BaseChannel] = {}
    if config.training.start_from != "backbone":  # A run of a package may say it, too.
        warm_start = after_gate(
            warm_start_resolver(trained_on, as_parameter(pushed), as_parameter(config.training.start_from))
        )
        nodes.append(warm_start)
        further["champion"] = warm_start.outputs["model_run"]
    if distillation := config.training.distillation:
        served = None
        if distillation.teacher == CHAMPION:
            resolver = after_gate(teacher_resolver(trained_on, as_parameter(pushed)))
            nodes.append(resolver)
            served = resolver.outputs["model"]
        teacher = after_gate(
            Teacher(
                examples=examples.outputs["examples"],
                transform_graph=transform.outputs["transform_graph"],
                champion=served,
                settings=_teacher_settings(config, distillation, output),
            )
        )
        nodes.append(teacher)
        taught["teacher"] = teacher.outputs["answers"]
        if TEACHER in config.evaluation.baselines:
            baselines[TEACHER] = teacher.outputs["model"]
    if config.tuning.is_on:
        tuner = after_gate(Tuner(TUNER_FN, _tuner_settings(config), **inputs, **taught).with_id("Tuner"))
        nodes.append(tuner)
        further["hyperparameters"] = tuner.outputs[BEST]
    trainer = trainer_of("Trainer", trainer_settings(config), **further, **taught)
    nodes.append(trainer)
    if "logistic_regression" in config.evaluation.baselines:
        nodes.append(trainer_of("LinearTrainer", _linear_settings(config), LINEAR_RUN_FN))
        baselines["logistic_regression"] = nodes[-1].outputs["model"]
    if "from_scratch" in config.evaluation.baselines:
        nodes.append(trainer_of("ScratchTrainer", _scratch_settings(config)))
        baselines["from_scratch"] = nodes[-1].outputs["model"]
    # Where a run of a package says the root, it may have spans or none.
    spans = [SPAN] if config.data.in_spans else []
    slices = config.evaluation.report_slices([*config.data.slice_columns, *spans])
    gates = gates_for(config)
    champion = champion_resolver(trainer.outputs["model"], as_parameter(pushed))
    evaluator = Evaluator(
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=champion.outputs["model"],
        example_splits=["test"],
        eval_config=eval_config(config.task, gates, slices),
        schema=schema.outputs["schema"],
    )
    predictor = BulkInferrer(
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        champion=champion.outputs["model"],
        baselines=baselines,
        task=config.task,
        # Whether there are spans, the data say at run time.
        columns=[*_columns(config), SPAN],
        majority="majority" in config.evaluation.baselines,
        push_directory=as_parameter(pushed),
    )
    serving_gate = ServingGate(
        examples=examples.outputs["examples"],
        model=trainer.outputs["model"],
        model_run=trainer.outputs["model_run"],
        champion=champion.outputs["model"],
        teacher=baselines.get(TEACHER),
        settings=_serving_settings(config),
    )
    probed = None
    if source_task := config.evaluation.source_task:
        source_examples = ingest(
            root=as_parameter(SharedPath(path=source_task)), settings=_source_ingest_settings(config, output)
        ).with_id(EXAMPLES_NODE_ID)
        # Not among the nodes of the data: what is refused trains nothing, and so has nothing to probe.
        source_examples.add_upstream_node(trainer)
        probe = SourceProbe(
            examples=source_examples.outputs["examples"],
            transform_graph=transform.outputs["transform_graph"],
            model_run=trainer.outputs["model_run"],
            settings=_source_probe_settings(config, output),
        )
        nodes += [source_examples, probe]
        probed = probe.outputs["findings"]
    keeper = GateKeeper(
        predictions=predictor.outputs["predictions"],
        model=trainer.outputs["model"],
        champion=champion.outputs["model"],
        earlier=champion.outputs["verdicts"],
        decisions=champion.outputs["decisions"],
        evaluation=evaluator.outputs["evaluation"],
        tfma_blessing=evaluator.outputs["blessing"],
        serving=serving_gate.outputs["findings"],
        source_task=probed,
        gates=gates,
        slices=slices,
        costs=config.evaluation.costs,
        promotion_risk=config.evaluation.promotion_risk,
        report_only=config.evaluation.mode == "report_only",
    )
    pusher = AtomicPusher(
        settings=_push_settings(config, pushed),
        model=trainer.outputs["model"],
        model_blessing=keeper.outputs["blessing"],
        infra_blessing=serving_gate.outputs["blessing"],
        examples=examples.outputs["examples"],
        model_run=trainer.outputs["model_run"],
        verdict=keeper.outputs["verdict"],
        serving=serving_gate.outputs["findings"],
    ).with_id("Pusher")
    nodes += [champion, evaluator, predictor, serving_gate, keeper, pusher]
    for node in nodes:
        if isinstance(node, base_component.BaseComponent):
            # Every parameter enters the cache key. A resolver has none; the execution cache adds its code.
            node.spec.exec_properties["code"] = as_parameter(CodeDigest(modules=entry_modules(node)))
        if isinstance(node, base_beam_component.BaseBeamComponent):
            node.with_beam_pipeline_args(beam_arguments(config.beam.of(node.id)))
    return tfx_pipeline.Pipeline(
        pipeline_name=config.name,
        pipeline_root=f"{output}/artifacts",
        components=nodes,
        enable_cache=True,
    )


def compile_ir(config: Config) -> pipeline_pb2.Pipeline:
    """Returns TFX's intermediate representation of the config's pipeline."""
    return compiler.Compiler().compile(build_pipeline(config))


def entry_modules(node: base_component.BaseComponent) -> tuple[str, ...]:
    """Returns the modules of ours that a node starts with: executor, driver, and what its parameters name."""
    parameters = " ".join(value for value in node.exec_properties.values() if isinstance(value, str))
    names = [node.executor_spec.executor_class.__module__, node.driver_class.__module__]
    names += re.findall(r"[A-Za-z_]\w*(?:\.\w+)+", parameters)
    return tuple(sorted({module for name in names if (module := installed().module_of(name))}))


def _ingest_settings(config: Config, output: str) -> dict[str, Any]:
    judge = MODALITIES[record_of(config.backbone).modality].judge
    settings = config.data.model_dump(mode="json", exclude=NOT_READ)
    ours = {
        "assignments_dir": SharedPath(path=f"{output}/split_assignments"),
        "report_dir": SharedPath(path=f"{output}/reports"),
        "cache_dir": SharedPath(path=f"{output}/example_cache"),
        **_corrections(config),
        **({"judged_by": CodeDigest(modules=(judge,))} if judge else {}),
    }
    return {**settings, "task": config.task, "with_text": config.backbone.sides is not None, **plain(ours)}


def _source_ingest_settings(config: Config, output: str) -> dict[str, Any]:
    """What of `data` is about any folder, and not about the splits, spans and columns of this one."""
    judge = MODALITIES[record_of(config.backbone).modality].judge
    kept = {"text_column", "label_column", "path_column"}
    kept |= {"max_bad_fraction", "max_pixels", "max_seconds", "max_characters", "cache_gb"}
    ours = {
        "cache_dir": SharedPath(path=f"{output}/example_cache"),
        **({"judged_by": CodeDigest(modules=(judge,))} if judge else {}),
    }
    return {**config.data.model_dump(mode="json", include=kept), **plain(ours)}


def _source_probe_settings(config: Config, output: str) -> dict[str, Any]:
    """What the features depend on; a phase, a rate or a gate has no say in them but by the weights."""
    settings = trainer_settings(config)
    training = ("batch_size", "mixed_precision", "batch_norm", "frozen_features", "memory_mb", "peft")
    return {
        **{name: settings[name] for name in ("task", "backbone", "weights_sha256", "code")},
        "augmentation": {},
        "training": {name: settings["training"][name] for name in training},
        "distribution": {"strategy": "one_device"},
        "component": SOURCE_PROBE,
        "modality": record_of(config.backbone).modality,
        **plain({"frozen_features_dir": SharedPath(path=f"{output}/frozen_features")}),
    }


def _columns(config: Config) -> list[str]:
    """Returns the features of raw examples that are columns of the data."""
    return [*config.data.slice_columns, *([GROUP] if config.data.group_column else [])]


def _corrections(config: Config) -> dict[str, Any]:
    path = config.data.corrections
    return {"corrections": SharedPath(path=path), "corrections_sha256": FileDigest(path=path)} if path else {}


def _example_cache(config: Config, output: str) -> dict[str, Any]:
    return {"dir": plain(SharedPath(path=f"{output}/example_cache")), "gb": config.data.cache_gb}


def _teacher_settings(config: Config, distillation: DistillationConfig, output: str) -> dict[str, Any]:
    named = distillation.teacher != CHAMPION
    return {
        "task": config.task,
        "modality": record_of(config.backbone).modality,
        "example_cache": _example_cache(config, output),
        "max_pixels": config.data.max_pixels,
        **plain(
            {
                "teacher": SharedPath(path=distillation.teacher) if named else None,
                "teacher_sha256": FileDigest(path=distillation.teacher) if named else None,
                "unlabelled": SharedPath(path=distillation.unlabelled) if distillation.unlabelled else None,
                "unlabelled_sha256": FileDigest(path=distillation.unlabelled) if distillation.unlabelled else None,
            }
        ),
    }


def data_gate_settings(config: Config) -> dict[str, Any]:
    """Returns what the data gate depends on: the frozen part of the network, and nothing that training alone does."""
    output = config.output_dir or f"runs/{config.name}"
    settings = trainer_settings(config)
    log = config.data.serving_log
    training = ("batch_size", "mixed_precision", "batch_norm", "frozen_features", "memory_mb")
    return {
        **{name: settings[name] for name in ("backbone", "weights_sha256", "code")},
        "task": INGEST_TASKS[config.task].examined_as,
        "augmentation": {},
        "training": {name: settings["training"][name] for name in training},
        "distribution": {"strategy": "one_device"},
        "component": "DataGate",
        "modality": record_of(config.backbone).modality,
        "columns": _columns(config),
        "example_cache": _example_cache(config, output),
        **plain(
            {
                "frozen_features_dir": SharedPath(path=f"{output}/frozen_features"),
                "report_dir": SharedPath(path=f"{output}/reports"),
                "serving_log": SharedPath(path=log) if log else None,
                "serving_log_sha256": FileDigest(path=log) if log else None,
            }
        ),
    }


def _trainer(config: Config, node_id: str, settings: dict[str, Any], run_fn: str, inputs: Mapping[str, Any]) -> Trainer:
    own = {**settings, **_places(config, node_id), **_tracking(config)}
    node: Trainer = Trainer(run_fn=run_fn, settings=plain(own), **inputs).with_id(node_id)
    return node


def _tracking(config: Config) -> dict[str, Any]:
    output = config.output_dir or f"runs/{config.name}"
    return {
        "tracking": config.tracking.model_dump(mode="json"),
        "tracking_dir": SharedPath(path=f"{output}/tensorboard"),
        "mlflow_dir": SharedPath(path=f"{output}/mlflow"),
    }


def _tuner_settings(config: Config) -> dict[str, Any]:
    """What trials depend on: all that the Trainer does, the space, and what a score may follow."""
    own = {
        "tuning": config.tuning.model_dump(mode="json"),
        "evaluation": config.evaluation.model_dump(mode="json", include={"threshold", "costs"}),
        # Beside that of the Trainer, with which frozen features are kept: trials and Trainer share them.
        "search_code": CodeDigest(modules=("trainer_module.tuning.recipe",)),
    }
    return {**trainer_settings(config), **plain({**own, **_places(config, "Tuner"), **_tracking(config)})}


def _places(config: Config, node_id: str) -> dict[str, Any]:
    """Where a node that trains keeps what it goes on from."""
    output = config.output_dir or f"runs/{config.name}"
    return {
        "component": node_id,
        # Not below the node's output, which TFX removes when the node fails.
        "checkpoint_dir": SharedPath(path=f"{output}/checkpoints/{node_id}"),
        "frozen_features_dir": SharedPath(path=f"{output}/frozen_features"),
    }


def trainer_settings(config: Config) -> dict[str, Any]:
    """Returns what training depends on, as plain JSON data with run-time values in it."""
    sections = {"task", "training", "backbone", "augmentation", "distribution"}
    return {
        **json.loads(config.model_dump_json(include=sections)),
        "evaluation": _deciding(config.evaluation),
        **plain({"weights_sha256": _weights_digest(config), "code": CodeDigest(modules=("trainer_module.recipe",))}),
    }


def _weights_digest(config: Config) -> FileDigest | dict[str, FileDigest | None] | None:
    if config.backbone.sides:
        return {side: _digest_of(each) for side, each in config.backbone.of_sides.items()}
    return _digest_of(config.backbone)


def _digest_of(backbone: CandidateConfig) -> FileDigest | None:
    source = backbone.source
    if isinstance(source, str) and backbone.local_path is None:
        return None
    return FileDigest(path=source)


def _deciding(evaluation: EvaluationConfig) -> dict[str, Any]:
    """What of the section has a say in what the model is: costs, where they choose the threshold."""
    by_cost = evaluation.threshold is not None and evaluation.threshold.metric == EXPECTED_COST.name
    return evaluation.model_dump(mode="json", include={"threshold", *(["costs"] if by_cost else [])})


def _linear_settings(config: Config) -> dict[str, Any]:
    settings = trainer_settings(config)
    kept = {name: settings[name] for name in ("task", "backbone", "evaluation", "weights_sha256")}
    return {**kept, "batch_size": config.training.batch_size}


def _serving_settings(config: Config) -> dict[str, Any]:
    return {
        "task": config.task,
        "gates": [
            json.loads(gate.model_dump_json())
            for gate in config.evaluation.gates or []
            if METRICS[gate.metric].of_serving
        ],
        "serving": json.loads(config.serving.model_dump_json()),
    }


def _push_settings(config: Config, directory: SharedPath) -> dict[str, Any]:
    return {
        "directory": plain(directory),
        "name": config.name,
        "keep": config.push.keep,
        "approval": config.evaluation.approval,
        "report_only": config.evaluation.mode == "report_only",
    }


def _scratch_settings(config: Config) -> dict[str, Any]:
    backbone = source_of(config.backbone).with_random_weights(config.backbone)
    update = {"training": scratch_training(config.training), "backbone": backbone}
    return trainer_settings(config.model_copy(update=update))
