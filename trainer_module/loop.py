"""The training loop: one compiled step, run over an epoch, the same under every `tf.distribute` strategy.

`Model.fit` of Keras 2 has AutoGraph rewrite all of `tf_keras`, which TensorFlow does not know as a library; on two
cores that takes longer than training a head. A step of our own needs no rewriting, and leaves every number to us.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras as keras

Step = Callable[[tuple[tf.Tensor, tf.Tensor]], "Totals"]


@dataclass(frozen=True)
class Totals:
    """Sums over examples.

    Attributes:
        loss: Sum of the examples' losses; in training, each with the penalties of the layers added.
        correct: How many examples the most probable class was right for.
        examples: How many examples there were.
    """

    loss: float = 0.0
    correct: float = 0.0
    examples: float = 0.0

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.loss + other.loss, self.correct + other.correct, self.examples + other.examples)

    def means(self, prefix: str = "") -> dict[str, float]:
        """`loss` and `accuracy` as means over the examples, under names that begin with `prefix`."""
        return {f"{prefix}loss": self.loss / self.examples, f"{prefix}accuracy": self.correct / self.examples}


def train_step(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, strategy: tf.distribute.Strategy, batch_spec: Any
) -> Step:
    """Compiles one step of training.

    Args:
        model: Gives probabilities; its `trainable_variables` are read once, when the step is first called.
        optimizer: Built under the strategy's scope.
        strategy: Splits each batch over its replicas.
        batch_spec: `element_spec` of the batches, so that a smaller last batch is not traced anew.

    Returns:
        A function from a batch (inputs, int64 [batch] labels) to its totals, which updates the model.
    """

    def replica_step(inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        examples = tf.cast(tf.shape(labels)[0], tf.float32)
        in_all_replicas = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, examples)
        with tf.GradientTape() as tape:
            probabilities = model(inputs, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
            penalty = tf.add_n(model.losses) if model.losses else 0.0
            # Replicas add up their gradients, so each contributes its share of the mean over the whole batch.
            share = (tf.reduce_sum(losses) + examples * penalty) / in_all_replicas
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(share, variables), variables, strict=True))
        return share * in_all_replicas, _correct(labels, probabilities), examples

    return _compiled(replica_step, strategy, batch_spec)


def eval_step(model: keras.Model, strategy: tf.distribute.Strategy, batch_spec: Any) -> Step:
    """Compiles one step of evaluation: nothing is updated, dropout is off, and the loss is the cross-entropy alone."""

    def replica_step(inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        probabilities = model(inputs, training=False)
        losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        examples = tf.cast(tf.shape(labels)[0], tf.float32)
        return tf.reduce_sum(losses), _correct(labels, probabilities), examples

    return _compiled(replica_step, strategy, batch_spec)


def run_epoch(
    step: Step, batches: Iterable, steps: int | None = None, on_step: Callable[[int, Totals], None] | None = None
) -> Totals:
    """Runs a step over batches.

    Args:
        step: From `train_step` or `eval_step`.
        batches: Batches; an iterator goes on where it was left.
        steps: How many to take; None takes all.
        on_step: Told the number of each step, from 1, and the totals so far.
    """
    totals = Totals()
    for number, batch in enumerate(itertools.islice(batches, steps), start=1):
        totals += step(batch)
        if on_step:
            on_step(number, totals)
    return totals


def _correct(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(tf.argmax(probabilities, axis=-1) == labels, tf.float32))


def _compiled(replica_step: Callable, strategy: tf.distribute.Strategy, batch_spec: Any) -> Step:
    @tf.function(autograph=False, input_signature=[batch_spec])
    def whole_step(batch: tuple) -> list[tf.Tensor]:
        sums = strategy.run(replica_step, args=batch)
        return [strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None) for value in sums]

    return lambda batch: Totals(*(float(value) for value in whole_step(batch)))
