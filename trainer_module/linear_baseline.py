"""The baseline that TFX's Trainer runs: logistic regression on the features of the frozen backbone.

What it reaches is what pretraining alone gives; a candidate that is no better has learned nothing by being trained.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras
from tfx.components.trainer.fn_args_utils import FnArgs

from finetune.config import BackboneConfig, EvaluationConfig, HeadConfig, TrainingConfig
from trainer_module.backbones.model import build_network
from trainer_module.backbones.sources import origin_of, record_of
from trainer_module.examples.input_data import Split, evaluation_batches, load_split
from trainer_module.export.export import ServedModel, export_model
from trainer_module.recipe import class_names, make_deterministic
from trainer_module.tasks import TASKS
from transforms import features
from transforms.modalities import MODALITIES
from transforms.tasks import TASKS as TRANSFORM_TASKS
from transforms.tasks import Labels


def run_fn(fn_args: FnArgs) -> None:
    """Fits the regression on the train split, and exports it behind the backbone as a model like any other.

    Args:
        fn_args: From TFX. `custom_config` holds `task` and `backbone`, as in the config, `batch_size`, and of
            `evaluation` what decides.
    """
    settings = fn_args.custom_config
    backbone_config = BackboneConfig.model_validate(settings["backbone"])
    training = TrainingConfig(head=HeadConfig(units=[], dropout=0.0), batch_size=settings["batch_size"])

    make_deterministic(training.seed)
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    classes = transform_output.vocabulary_size_by_name(features.CLASSES)
    record = record_of(backbone_config)
    inputs = MODALITIES[record.modality].inputs(record, transform_output)
    task, of_labels = TASKS[settings["task"]], Labels(TRANSFORM_TASKS[settings["task"]], classes)
    train = load_split(fn_args.train_files, inputs, of_labels)
    backbone, model = build_network(backbone_config, training, classes, task.head())
    output = model.layers[-1]

    values, labels = _answers(keras.Model(model.inputs, output.input), train, training.batch_size)
    output.set_weights(task.fit_linear(values, labels, classes))
    val = load_split(fn_args.eval_files, inputs, of_labels)
    decision = task.decision(
        lambda: _answers(model, val, training.batch_size)[::-1],
        class_names(transform_output),
        EvaluationConfig.model_validate(settings["evaluation"]),
    )
    origin = {**origin_of(backbone_config), "sha256": backbone.weights_sha256}
    served = ServedModel(model, transform_output, inputs, of_labels, task, decision)
    facts = {"backbone": origin, "task": settings["task"], "modality": inputs.modality, **decision}
    export_model(served, fn_args.serving_model_dir, facts)


def _answers(model: keras.Model, split: Split, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns what a model gives for each example of a split, and the labels."""
    extract = tf.function(lambda value: model(value, training=False), autograph=False, reduce_retracing=True)
    batches = evaluation_batches(split, batch_size)
    values, labels = zip(*((extract(value).numpy(), label.numpy()) for value, label in batches), strict=True)
    return np.concatenate(values), np.concatenate(labels)
