"""A pipeline of TFX's own components over CSV files that come in spans: which of three kinds an iris is.

    finetune compile examples/iris/placement.yaml --pipeline examples.iris.pipeline:create_pipeline -o iris.yaml
    finetune replay iris.yaml --workspace /tmp/iris --volume finetune=.

The newest of `data/iris/span-1/*.csv`, `data/iris/span-2/*.csv` and so on is read. Their columns are sepal_length,
sepal_width, petal_length, petal_width (in cm) and kind (0, 1 or 2).
"""

from __future__ import annotations

from pathlib import Path

import tensorflow_model_analysis as tfma
from tfx import v1 as tfx

MODEL = str(Path(__file__).with_name("model.py"))


def create_pipeline() -> tfx.dsl.Pipeline:
    """Returns the pipeline; its paths are relative to where it runs."""
    spans = tfx.proto.Input(splits=[tfx.proto.Input.Split(name="all", pattern="span-{SPAN}/*.csv")])
    example_gen = tfx.components.CsvExampleGen(input_base="data/iris", input_config=spans)
    examples = example_gen.outputs["examples"]
    statistics_gen = tfx.components.StatisticsGen(examples=examples)
    schema_gen = tfx.components.SchemaGen(statistics=statistics_gen.outputs["statistics"])
    schema = schema_gen.outputs["schema"]
    validator = tfx.components.ExampleValidator(statistics=statistics_gen.outputs["statistics"], schema=schema)
    transform = tfx.components.Transform(examples=examples, schema=schema, module_file=MODEL)
    trainer = tfx.components.Trainer(
        module_file=MODEL,
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        train_args=tfx.proto.TrainArgs(num_steps=150),
        eval_args=tfx.proto.EvalArgs(num_steps=2),
    )
    latest_blessed = tfx.dsl.Resolver(
        strategy_class=tfx.dsl.experimental.LatestBlessedModelStrategy,
        model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
        model_blessing=tfx.dsl.Channel(type=tfx.types.standard_artifacts.ModelBlessing),
    ).with_id("LatestBlessedModel")
    evaluator = tfx.components.Evaluator(
        examples=examples,
        model=trainer.outputs["model"],
        baseline_model=latest_blessed.outputs["model"],
        eval_config=eval_config(),
    )
    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory="pushed/iris")
        ),
    )
    nodes = [example_gen, statistics_gen, schema_gen, validator, transform, trainer, latest_blessed, evaluator, pusher]
    return tfx.dsl.Pipeline(pipeline_name="iris", pipeline_root="artifacts/iris", components=nodes, enable_cache=True)


def eval_config() -> tfma.EvalConfig:
    """Returns what a model has to reach: 70 %, and no more than 10 points less than the latest one that did."""
    threshold = tfma.MetricThreshold(
        value_threshold=tfma.GenericValueThreshold(lower_bound={"value": 0.7}),
        change_threshold=tfma.GenericChangeThreshold(
            direction=tfma.MetricDirection.HIGHER_IS_BETTER, absolute={"value": -0.1}
        ),
    )
    accuracy = tfma.MetricConfig(class_name="SparseCategoricalAccuracy", threshold=threshold)
    return tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(label_key="kind")],
        slicing_specs=[tfma.SlicingSpec()],
        metrics_specs=[tfma.MetricsSpec(metrics=[accuracy])],
    )
