"""The contract of `TrainingTask`, which every entry of `TASKS` keeps."""

from __future__ import annotations

import json

import numpy as np
import tensorflow as tf
import tf_keras as keras

from finetune.config import EvaluationConfig, HeadConfig, TrainingConfig
from trainer_module.heads import Head
from trainer_module.tasks import TrainingTask
from transforms.tasks import Labels, TransformTask
from transforms.tasks.contract import MASK_SIZE, record

# Of three classes; digits, so that a task may read them as numbers.
NAMES = ("1", "2", "3")
CLASSES = len(NAMES)
EACH = 8
# What every model serves, whatever its task.
SERVED_BY_ALL = ("probabilities", "classes")


def check_task(task: TrainingTask, transform_task: TransformTask) -> None:
    """Holds a task against what the loop, the exporter and the baseline rely on.

    Args:
        task: What training knows of the task.
        transform_task: What the Transform graph knows of the same one, which reads the labels.

    Raises:
        AssertionError: The task breaks the contract; the message says how.
    """
    labels = _labels(Labels(transform_task, CLASSES))
    assert task.accuracy, "the report says in words what is counted as accuracy"
    if transform_task.places:
        # What its network gives has places too: the contract ends at what is made of that.
        output = _of_maps(task.head(), len(labels))
        _check_losses(task, labels, output)
        _check_served(task, labels, output)
        return
    # The class decides the features, with some noise.
    values = np.repeat(np.eye(CLASSES), EACH, axis=0) + np.random.default_rng(1).normal(0, 0.1, (len(labels), CLASSES))
    untrained = keras.layers.Dense(CLASSES, task.activation, kernel_initializer="zeros")
    probabilities = untrained(values.astype(np.float32))
    _check_losses(task, labels, probabilities)
    _check_weights(task, labels, probabilities)

    _check_divergence(task)

    kernel, offset = task.fit_linear(values, labels.numpy(), CLASSES)
    untrained.set_weights([kernel, offset])
    fitted = untrained(values.astype(np.float32))
    objective = task.objective(TrainingConfig(), NAMES, None)
    before, after = (float(tf.reduce_mean(objective.val_loss(labels, each))) for each in (probabilities, fitted))
    assert after < before, f"logistic regression on features that tell all brings val_loss from {before} to {after}"

    _check_logits(task, labels, (values @ kernel + offset).astype(np.float32))

    _check_served(task, labels, fitted)


def _of_maps(head: Head, examples: int) -> tf.Tensor:
    """Returns what a head that has places, untrained, says of random maps of pictures of MASK_SIZE."""
    sides = [MASK_SIZE // stride for stride in head.strides]
    maps = [tf.random.stateless_uniform([examples, side, side, 8], [1, side]) for side in sides]
    inputs = [keras.Input(each.shape[1:]) for each in maps]
    network = keras.Model(inputs, head.add(inputs, lambda value, name: value, HeadConfig(), CLASSES, 1))
    return network(maps)


def _check_served(task: TrainingTask, labels: tf.Tensor, output: tf.Tensor) -> None:
    probabilities = task.probabilities(output)
    assert probabilities.shape == [len(labels), CLASSES], f"probabilities have the shape {probabilities.shape}"
    decision = task.decision(lambda: (labels.numpy(), task.answers(output).numpy()), NAMES, EvaluationConfig())
    kept = json.loads(json.dumps(decision))
    names = tf.constant(NAMES)
    served = tf.function(lambda each: task.decode(each, names, kept), autograph=False)(output)
    assert served, "something is said of the probabilities"
    for name, value in served.items():
        assert name not in SERVED_BY_ALL, f"{name} is served of every task already"
        assert value.shape[0] == len(labels), f"{name} has the shape {value.shape}; expected a row for each example"


def _check_logits(task: TrainingTask, labels: tf.Tensor, logits: np.ndarray) -> None:
    """What NumPy says of logits is what the last layer and the objective say in validation; its slopes are those."""
    targets, step = task.targets(labels.numpy(), CLASSES), 1e-2
    objective, judged = task.objective(TrainingConfig(), NAMES, None), task.of_logits(targets, logits)
    probabilities = keras.activations.get(task.activation)(tf.constant(logits))
    pairs = {
        "losses": (judged.losses, objective.val_loss(labels, probabilities)),
        "probabilities": (judged.probabilities, probabilities),
        "hits": (judged.hits, objective.accuracy(labels, probabilities)),
    }
    for name, (here, there) in pairs.items():
        np.testing.assert_allclose(here, there, rtol=1e-3, atol=1e-5, err_msg=f"{name} of logits")
    for weights in (None, [1.0, 2.0, 3.0]):
        ends = [
            [task.of_logits(targets, logits + sign * move, weights).losses for sign in (1, -1)]
            for move in step * np.eye(CLASSES, dtype=np.float32)
        ]
        slopes = np.stack([(above - below) / (2 * step) for above, below in ends], axis=1)
        found = task.of_logits(targets, logits, weights).slopes
        np.testing.assert_allclose(found, slopes, atol=2e-3, err_msg=f"slopes of logits, weights {weights}")


def _check_divergence(task: TrainingTask) -> None:
    """A model that says what the teacher says is at 0, whatever the temperature, and any other above it."""
    logits = np.random.default_rng(1).normal(0, 3, (2, EACH, CLASSES)).astype(np.float32)
    teacher, other = map(keras.activations.get(task.activation), tf.unstack(tf.constant(logits)))
    for temperature in (1.0, 5.0):
        same = task.divergence(teacher, teacher, temperature)
        assert same.shape == [EACH], f"the divergence has the shape {same.shape}; expected one number an example"
        np.testing.assert_allclose(same, 0.0, atol=1e-4, err_msg=f"divergence of the same, temperature {temperature}")
        assert (task.divergence(teacher, other, temperature).numpy() > 0).all(), "others diverge"
    sure = tf.constant(np.eye(CLASSES, dtype=np.float32))
    assert np.isfinite(task.divergence(sure, sure[::-1], 1.0)).all(), "probabilities of 0 and 1 are finite losses"


def _labels(labels: Labels) -> tf.Tensor:
    records = [record(index) for index in range(CLASSES) for _ in range(EACH)]
    return labels.read(tf.io.parse_example(records, labels.feature_spec()))


def _check_losses(task: TrainingTask, labels: tf.Tensor, output: tf.Tensor) -> None:
    for keys in ({}, {"label_smoothing": 0.1}, {"focal_gamma": 2.0}):
        objective = task.objective(TrainingConfig(**keys), NAMES, None)
        for name in ("loss", "val_loss", "accuracy"):
            value = getattr(objective, name)(labels, output)
            assert value.shape == [len(labels)], f"{name} has the shape {value.shape}; expected one number an example"
            assert value.dtype == tf.float32, f"{name} is {value.dtype.name}; expected float32"
            assert np.isfinite(value).all(), f"{name} is not finite where nothing is known yet, with {keys}"
        accuracy = objective.accuracy(labels, output).numpy()
        assert ((accuracy >= 0) & (accuracy <= 1)).all(), "accuracy lies in [0, 1]"


def _check_weights(task: TrainingTask, labels: tf.Tensor, probabilities: tf.Tensor) -> None:
    for wanted in ("balanced", {"2": 2.0}):
        weights = list(task.class_weights(wanted, NAMES, labels.numpy()))
        assert len(weights) == CLASSES, f"of {CLASSES} classes there are {len(weights)} weights"
        assert min(weights) > 0, f"every class counts, and the weights are {weights}"
    weighted = task.objective(TrainingConfig(), NAMES, [1.0] * CLASSES).loss(labels, probabilities)
    plain = task.objective(TrainingConfig(), NAMES, None).loss(labels, probabilities)
    np.testing.assert_allclose(weighted, plain, rtol=1e-6, err_msg="weights of 1 change nothing")
