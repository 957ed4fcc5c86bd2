"""The baseline that TFX's Trainer runs: logistic regression on the features of the frozen backbone.

What it reaches is what pretraining alone gives; a candidate that is no better has learned nothing by being trained.
"""

from __future__ import annotations

import warnings

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from tfx.components.trainer.fn_args_utils import FnArgs

from finetune.config import BackboneConfig, HeadConfig, TrainingConfig
from trainer_module.backbones.model import build_network
from trainer_module.backbones.sources import origin_of, record_of
from trainer_module.examples.input_data import evaluation_batches, load_split
from trainer_module.export.export import ServedModel, export_model
from trainer_module.recipe import make_deterministic
from transforms import features
from transforms.modalities import MODALITIES

MAX_ITERATIONS = 1000


def run_fn(fn_args: FnArgs) -> None:
    """Fits the regression on the train split, and exports it behind the backbone as a model like any other.

    Args:
        fn_args: From TFX. `custom_config` holds `backbone`, as in the config, and `batch_size`.
    """
    settings = fn_args.custom_config
    backbone_config = BackboneConfig.model_validate(settings["backbone"])
    training = TrainingConfig(head=HeadConfig(units=[], dropout=0.0), batch_size=settings["batch_size"])

    make_deterministic(training.seed)
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    classes = transform_output.vocabulary_size_by_name(features.CLASSES)
    record = record_of(backbone_config)
    inputs = MODALITIES[record.modality].inputs(record, transform_output)
    train = load_split(fn_args.train_files, inputs)
    backbone, model = build_network(backbone_config, training, classes)
    output = model.layers[-1]

    pooled = keras.Model(model.inputs, output.input)
    extract = tf.function(lambda value: pooled(value, training=False), autograph=False, reduce_retracing=True)
    batches = evaluation_batches(train, training.batch_size)
    values, labels = zip(*((extract(value).numpy(), label.numpy()) for value, label in batches), strict=True)
    output.set_weights(fit(np.concatenate(values), np.concatenate(labels), classes))
    origin = {**origin_of(backbone_config), "sha256": backbone.weights_sha256}
    facts = {"backbone": origin, "modality": inputs.modality}
    export_model(ServedModel(model, transform_output, inputs), fn_args.serving_model_dir, facts)


def fit(values: np.ndarray, labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """Fits the regression, with scikit-learn's default penalty, on features brought to mean 0 and deviation 1.

    Args:
        values: float [examples, features].
        labels: int [examples]; at least two different ones.
        classes: How many there are; one without an example is never predicted.

    Returns:
        Kernel float32 [features, classes] and offset float32 [classes] of a softmax layer on the features as they are.
    """
    scaler = StandardScaler().fit(values)
    regression = LogisticRegression(max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        # Close to the optimum is good enough to compare with.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(scaler.transform(values), labels)
    weights, offsets = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:
        # One row then, for the second class; a softmax over it and zero is the same sigmoid.
        weights, offsets = np.vstack([np.zeros_like(weights), weights]), np.array([0.0, *offsets])
    kernel = np.zeros((values.shape[1], classes), dtype=np.float32)
    # exp(-40) is no probability to speak of in float32.
    offset = np.full(classes, -40.0 if len(regression.classes_) < classes else 0.0, dtype=np.float32)
    kernel[:, regression.classes_] = (weights / scaler.scale_).T
    offset[regression.classes_] = offsets - weights @ (scaler.mean_ / scaler.scale_)
    return [kernel, offset]
