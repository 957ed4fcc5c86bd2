"""The training loop: one compiled step, run over an epoch, the same under every `tf.distribute` strategy.

`Model.fit` of Keras 2 has AutoGraph rewrite all of `tf_keras`, which TensorFlow does not know as a library; on two
cores that takes longer than training a head. A step of our own needs no rewriting, and leaves every number to us.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from operator import add
from typing import Any, TypeAlias

import tensorflow as tf
import tf_keras as keras

from trainer_module.examples.input_data import Target
from trainer_module.examples.mixing import MixedLabels, of_labels
from trainer_module.phases.optimizers import PhaseOptimizer
from trainer_module.tasks.objective import Objective
from transforms.inputs import NetworkInput


@dataclass(frozen=True)
class Totals:
    """Totals are sums over examples."""

    loss: float = 0.0  # Sum of the examples' losses; in training, each with the penalties of the layers added.
    correct: float = 0.0  # Sum of the examples' accuracies: of single labels, how many examples were right.
    examples: float = 0.0
    skipped: float = 0.0  # How many updates were skipped, because a scaled gradient overflowed.
    told: float = 0.0  # How many replicas belong to workers that were told to end.

    def __add__(self, other: Totals) -> Totals:
        return Totals(*map(add, astuple(self), astuple(other)))

    def means(self, prefix: str = "") -> dict[str, float]:
        """Returns `loss` and `accuracy` as means over the examples, under names that begin with `prefix`."""
        return {f"{prefix}loss": self.loss / self.examples, f"{prefix}accuracy": self.correct / self.examples}


Labels: TypeAlias = Target | MixedLabels
Step = Callable[[tuple[NetworkInput, Labels]], Totals]
# Sums over the examples of one replica, in the order of `Totals`; the last ones may be missing.
Sums = tuple[tf.Tensor, ...]


def train_step(
    model: keras.Model,
    variables: Sequence[tf.Variable],
    optimizer: PhaseOptimizer,
    objective: Objective,
    gradient_accumulation_steps: int,
    strategy: tf.distribute.Strategy,
    batch_spec: Any,
    loss_scale: tf.Variable | None = None,
    told: tf.Variable | None = None,
) -> Step:
    """Compiles one step of training.

    Args:
        gradient_accumulation_steps: Parts that each replica's share of the batch is cut into, one after the other.
            Their gradients add up to that of the whole batch.
        batch_spec: `element_spec` of the batches, so that a smaller last batch is not traced anew.
        loss_scale: What the loss is multiplied with while gradients are computed; where one of them overflows, nothing
            is updated and the step counts as skipped. None neither scales nor looks.
        told: Of several workers, 1 in each that was told to end; the totals have how many replicas that are.

    Returns:
        A function from a batch (inputs, labels) to its totals, which updates the model.
    """

    def part_step(
        inputs: NetworkInput, labels: Labels, counts: tf.Tensor, in_all_replicas: tf.Tensor
    ) -> tuple[list[tf.Tensor], Sums]:
        examples = tf.reduce_sum(counts)
        with tf.GradientTape() as tape:
            probabilities = model(inputs, training=True)
            losses = counts * of_labels(objective.loss, labels, probabilities)
            penalty = tf.add_n(model.losses) if model.losses else 0.0
            # Replicas and parts add up their gradients: each contributes its share of the mean over the whole batch.
            share = (tf.reduce_sum(losses) + examples * penalty) / in_all_replicas
            scaled = share if loss_scale is None else share * loss_scale
        gradients = tape.gradient(scaled, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        # Those of a table of word vectors come as rows; the sums over parts and replicas take whole tensors.
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        return gradients, (
            share * in_all_replicas,
            tf.reduce_sum(counts * of_labels(objective.accuracy, labels, probabilities)),
            examples,
        )

    def replica_step(inputs: NetworkInput, labels: Labels) -> Sums:
        replica = tf.distribute.get_replica_context()
        batch = _never_empty(inputs, labels)
        in_all_replicas = replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.reduce_sum(batch[-1]))
        if gradient_accumulation_steps == 1:
            gradients, sums = part_step(*batch, in_all_replicas)
        else:
            gradients, sums = _accumulated(part_step, gradient_accumulation_steps, variables, batch, in_all_replicas)
        gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        if loss_scale is None:
            optimizer.apply(gradients)
            return sums if told is None else (*sums, tf.constant(0.0), told.read_value())
        gradients = [gradient / loss_scale for gradient in gradients]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
        # A condition around an update is allowed outside of replicas alone; all have the same sums, so one may decide.
        replica.merge_call(_apply_if_finite, args=(optimizer, gradients, finite))
        skipped = tf.where(finite, 0.0, 1.0 / replica.num_replicas_in_sync)
        return (*sums, skipped) if told is None else (*sums, skipped, told.read_value())

    return _compiled(replica_step, strategy, batch_spec)


def _apply_if_finite(
    strategy: tf.distribute.Strategy, optimizer: PhaseOptimizer, gradients: list[tf.Tensor], finite: tf.Tensor
) -> None:
    def apply() -> tf.Tensor:
        strategy.extended.call_for_each_replica(optimizer.apply, args=(gradients,))
        return tf.constant(0)

    tf.cond(strategy.experimental_local_results(finite)[0], apply, lambda: tf.constant(0))


def _accumulated(
    part_step: Callable,
    parts: int,
    variables: Sequence[tf.Variable],
    batch: tuple[NetworkInput, tf.Tensor, tf.Tensor],
    in_all_replicas: tf.Tensor,
) -> tuple[list[tf.Tensor], Sums]:
    """Runs `part_step` over equal parts of a batch, strictly one after the other, and adds up what it returns."""
    examples = tf.shape(batch[-1])[0]
    size = tf.maximum((examples + parts - 1) // parts, 1)

    def body(start: tf.Tensor, gradients: list[tf.Tensor], sums: Sums) -> tuple:
        part = tf.nest.map_structure(lambda tensor: tensor[start : start + size], batch)
        more, further = part_step(*part, in_all_replicas)
        added = [one + other for one, other in zip(gradients, more, strict=True)]
        return start + size, added, tuple(one + other for one, other in zip(sums, further, strict=True))

    zeros = [tf.zeros(variable.shape, variable.dtype) for variable in variables]
    nothing = (tf.constant(0.0),) * 3
    _, gradients, sums = tf.while_loop(
        lambda start, *_: start < examples, body, (tf.constant(0), zeros, nothing), parallel_iterations=1
    )
    return gradients, sums


def eval_step(model: keras.Model, objective: Objective, strategy: tf.distribute.Strategy, batch_spec: Any) -> Step:
    """Compiles one step of evaluation: nothing is updated, dropout is off, and the loss is `objective.val_loss`."""

    def replica_step(inputs: NetworkInput, labels: tf.Tensor) -> Sums:
        inputs, labels, counts = _never_empty(inputs, labels)
        probabilities = model(inputs, training=False)
        each = (objective.val_loss(labels, probabilities), objective.accuracy(labels, probabilities), 1.0)
        return tuple(tf.reduce_sum(counts * value) for value in each)

    return _compiled(replica_step, strategy, batch_spec)


def evaluate(step: Step, batches: Iterable) -> Totals:
    """Adds up what `eval_step` says of each batch."""
    return sum(map(step, batches), Totals())


def _never_empty(inputs: NetworkInput, labels: Labels) -> tuple[NetworkInput, Labels, tf.Tensor]:
    """Returns a replica's share of a batch, and how much each of its examples counts: 1.

    The last batch of an epoch may be smaller than there are replicas. Convolutions on a CPU give nonsense for no
    example at all, so an empty share gets one of zeros, which counts 0.
    """
    examples = tf.shape(tf.nest.flatten(labels)[0])[0]
    added = tf.maximum(1 - examples, 0)

    def padded(tensor: tf.Tensor) -> tf.Tensor:
        return tf.pad(tensor, [[0, added]] + [[0, 0]] * (tensor.shape.rank - 1))

    return *tf.nest.map_structure(padded, (inputs, labels)), padded(tf.ones([examples]))


def _compiled(replica_step: Callable, strategy: tf.distribute.Strategy, batch_spec: Any) -> Step:
    @tf.function(autograph=False, input_signature=[batch_spec])
    def whole_step(batch: tuple) -> tf.Tensor:
        sums = strategy.run(replica_step, args=batch)
        return tf.stack([strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None) for value in sums])

    return lambda batch: Totals(*whole_step(batch).numpy().tolist())
