"""Heads of many trials, trained at once: one step updates all, each with rates, penalties and dropout of its own.

Each head gets the batches, initial weights, masks and updates that the Trainer would give it, so that a trial ends with
the weights, but for rounding, that the Trainer ends with.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from finetune.config import TrainingConfig
from trainer_module.examples.input_data import Split, Target, endless
from trainer_module.frozen_features.feed import Kept
from trainer_module.heads import regularizers_of
from trainer_module.phases.early_stopping import EarlyStopping
from trainer_module.phases.optimizers import Slots
from trainer_module.phases.schedules import learning_rate, total_steps
from trainer_module.tasks import TrainingTask
from trainer_module.tasks.objective import Objective

# As Keras has them.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7
# Of weights, their slots and their best values, in float32, that are held at a time.
BYTES_HELD = 512 * 1024**2
_Tensors = list[tf.Tensor]


@dataclass(frozen=True)
class Frozen:
    """Frozen holds what the frozen backbone gives of each example, and what is learned of it."""

    train: tf.Tensor  # float32 [examples, features].
    train_targets: Target
    val: tf.Tensor  # float32 [examples, features].
    val_labels: tf.Tensor
    split: Split  # That of training, whose order follows the seed.

    @classmethod
    def of(cls, train: Kept, val: Kept, split: Split) -> Frozen | None:
        """Takes what is kept; None where it is not in memory, or no vector of each example."""
        if len(train.shape) != 1 or train.held is None or val.held is None:
            return None
        values = (tf.cast(kept.held, tf.float32) for kept in (train, val))
        val_labels = val.targets
        assert isinstance(val_labels, tf.Tensor)
        return cls(next(values), train.targets, next(values), val_labels, split)


@dataclass
class Head:
    """A head is what became of the first phase of a trial.

    Attributes:
        stopping: Its best epoch and loss.
        before: `val_loss` and `val_accuracy` of what it began with.
        epochs: That it took.
        weights: Kernel and offset of each layer, of the best epoch.
        slots: The optimizer's, of the same epoch; none where no trial of the batch has another phase.
        calls: Steps until then.
        logits: float32 [validation examples, classes], of these weights.
        seconds: Its share of what the batch took.
        failed: Why it has no weights; "" where it has.
    """

    stopping: EarlyStopping
    before: dict[str, float] = field(default_factory=dict)
    epochs: int = 0
    weights: list[np.ndarray] = field(default_factory=list)
    slots: list[Slots] = field(default_factory=list)
    calls: int = 0
    logits: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    seconds: float = 0.0
    failed: str = ""


def at_once(units: Sequence[int], features: int, classes: int) -> int:
    """Returns how many heads memory has room for."""
    sizes = [features, *units, classes]
    parameters = sum(before * after + after for before, after in itertools.pairwise(sizes))
    return max(1, BYTES_HELD // (4 * 8 * parameters))


def initial_weights(training: TrainingConfig, features: int, classes: int) -> list[np.ndarray]:
    """Returns kernel and offset of each layer of a random head, as `add_head` makes them."""
    sizes = [features, *training.head.units, classes]
    seeds = [training.seed + number for number in range(1, len(sizes) - 1)] + [training.seed]
    weights: list[np.ndarray] = []
    for before, after, seed in zip(sizes, sizes[1:], seeds, strict=False):
        kernel = keras.initializers.GlorotUniform(seed=seed)((before, after), dtype=tf.float32)
        weights += [kernel.numpy(), np.zeros(after, np.float32)]
    return weights


class Heads:
    """Trains the first phase of trials that have all in common that `batches.common` says; compiled once for all.

    A kernel is held as [inputs, trials * outputs], an offset as [trials * outputs]: what all trials take is multiplied
    with the kernels of all at once.
    """

    def __init__(
        self,
        frozen: Frozen,
        task: TrainingTask,
        objective_at: Callable[[float], Objective],
        trials: Sequence[TrainingConfig],
        start: Sequence[np.ndarray],
    ):
        """Compiles nothing yet.

        Args:
            frozen: What they train on.
            task: Of the labels.
            objective_at: Gives what is minimised at some label smoothing.
            trials: All that will be trained, at least one.
            start: Kernel and offset of each layer that all begin with.
        """
        self._frozen, self._task, self._start = frozen, task, start
        # Losses are linear in their targets: that of any smoothing lies between those of none and of all.
        self._objective = objective_at(0.0)
        self._all_smoothed = objective_at(1.0) if any(trial.label_smoothing for trial in trials) else None
        first = trials[0]
        self._optimizer = first.phases[0].optimizer.name
        hidden = len(first.head.units)
        # As `add_head` seeds them; without hidden layers dropout stands before the last.
        self._mask_seeds = [first.seed + number for number in range(1, hidden + 1)] or [first.seed]
        regularizers = [regularizers_of(trial.head, trial.phases[0]) for trial in trials]
        self._drops, self._l1, self._l2 = (any(each[name] for each in regularizers) for name in ("dropout", "l1", "l2"))
        self._epoch: Callable[..., Any] = self._compiled_epoch()
        self._validate: Callable[..., Any] = self._compiled_validation()

    def train(self, trials: Sequence[TrainingConfig]) -> list[Head]:
        """Trains some of the trials, whose batches have one size; at least one."""
        started = time.monotonic()
        size = trials[0].batch_size
        steps = self._frozen.split.steps(size)
        heads = [Head(EarlyStopping(trial.phases[0].early_stopping)) for trial in trials]
        alive = list(range(len(trials)))
        copies = [[1] * (each.ndim - 1) + [len(trials)] for each in self._start]
        weights: _Tensors = [tf.tile(tf.constant(each), times) for each, times in zip(self._start, copies, strict=True)]
        slots: _Tensors = [tf.zeros_like(each) for each in weights for _ in range(2)]
        losses, accuracies = self._validate(weights)
        for head, loss, accuracy in zip(heads, losses.numpy(), accuracies.numpy(), strict=True):
            head.before = {"val_loss": float(loss), "val_accuracy": float(accuracy)}
            head.stopping.is_best(0, float(loss))
        # Nothing goes on from the slots of trials that end here.
        goes_on = any(len(trial.phases) > 1 for trial in trials)
        best, best_slots = weights, slots if goes_on else []
        orders = iter(self._orders(trials[0].seed, size))
        rates = [self._rates(trial) for trial in trials]
        epoch = 0
        while alive:
            epoch += 1
            of_epoch = tf.constant(np.stack([rates[each][epoch - 1] for each in alive], axis=1))
            own = [tf.constant(each) for each in self._own([trials[each] for each in alive])]
            updates = tf.constant((epoch - 1) * steps, tf.int64)
            weights, slots, mean = self._epoch(next(orders), tf.constant(size), updates, of_epoch, own, weights, slots)
            losses, _ = self._validate(weights)
            improved, ended = np.zeros(len(alive), bool), np.zeros(len(alive), bool)
            for place, (each, loss, train_loss) in enumerate(zip(alive, losses.numpy(), mean.numpy(), strict=True)):
                head, phase = heads[each], trials[each].phases[0]
                head.epochs = epoch
                if not (math.isfinite(loss) and math.isfinite(train_loss)):
                    head.failed = f"phase {phase.name}: the loss of epoch {epoch} became {train_loss}"
                    ended[place] = True
                    continue
                is_best = head.stopping.is_best(epoch, float(loss))
                improved[place] = is_best or phase.keep == "last"
                ended[place] = epoch == len(rates[each]) or head.stopping.out_of_patience(epoch)
            best = _chosen(improved, weights, best)
            best_slots = _chosen(improved, slots, best_slots) if goes_on else []
            if ended.any():
                for place in map(int, np.flatnonzero(ended)):
                    if not heads[alive[place]].failed:
                        of_head = (_of_trials(each, len(alive), [place]) for each in (best, best_slots))
                        self._finish(heads[alive[place]], trials[alive[place]], *of_head)
                stay = np.flatnonzero(~ended)
                weights, slots, best, best_slots = (
                    _of_trials(of_all, len(alive), stay) for of_all in (weights, slots, best, best_slots)
                )
                alive = [alive[place] for place in stay]
        seconds = (time.monotonic() - started) / len(trials)
        for head in heads:
            head.seconds = seconds
        return heads

    def _finish(self, head: Head, trial: TrainingConfig, best: _Tensors, best_slots: _Tensors) -> None:
        """Copies out the weights of a head that is done."""
        phase, steps = trial.phases[0], self._frozen.split.steps(trial.batch_size)
        head.weights = [each.numpy() for each in best]
        epochs = head.epochs if phase.keep == "last" else head.stopping.best_epoch
        values = [each.numpy() for each in best_slots]
        count = 2 if phase.optimizer.name != "sgd" else 1 if phase.optimizer.momentum else 0
        places = range(0, len(values), 2)
        head.slots = [Slots(epochs * steps, tuple(values[place : place + count])) for place in places]
        head.calls = epochs * steps
        head.logits = self._logits(self._frozen.val, best, tf.constant(1), None)[:, 0].numpy()

    def _rates(self, trial: TrainingConfig) -> np.ndarray:
        """Returns the rate of each step of each epoch, float32 [epochs, steps]."""
        phase, per_epoch = trial.phases[0], self._frozen.split.steps(trial.batch_size)
        steps = total_steps(phase, self._frozen.split.examples, trial.batch_size)
        rates = [learning_rate(phase, step, steps, per_epoch) for step in range(steps)]
        return np.array(rates, np.float32).reshape(-1, per_epoch)

    def _own(self, trials: Sequence[TrainingConfig]) -> list[np.ndarray]:
        """Returns what trials have of their own, each float32 [trials].

        These are dropout, L1, L2, label smoothing, momentum and weight decay.
        """
        regularizers = [regularizers_of(trial.head, trial.phases[0]) for trial in trials]
        optimizers = [trial.phases[0].optimizer for trial in trials]
        columns = [[each[name] for each in regularizers] for name in ("dropout", "l1", "l2")]
        columns += [[trial.label_smoothing for trial in trials]]
        columns += [[each.momentum for each in optimizers], [each.weight_decay for each in optimizers]]
        return [np.array(column, np.float32) for column in columns]

    def _orders(self, seed: int, batch_size: int) -> tf.data.Dataset:
        """Returns the numbers of the training examples in the order of each epoch, int64 [examples]."""
        split = self._frozen.split

        def of_epoch(numbers: tf.data.Dataset, epoch_seed: tf.Tensor, epoch: tf.Tensor) -> tf.data.Dataset:
            take = tf.autograph.experimental.do_not_convert(lambda _, number: number)
            return numbers.map(take).batch(split.examples)

        return endless(split, tf.data.Dataset.range(split.examples), seed, batch_size, 0, 0, of_epoch)

    def _logits(
        self, values: tf.Tensor, weights: _Tensors, trials: tf.Tensor, masks: list[tf.Tensor] | None
    ) -> tf.Tensor:
        """Returns float32 [examples, trials, classes] of values, float32 [examples, features]."""
        layers = list(zip(weights[::2], weights[1::2], self._start[::2], strict=True))
        x = values
        for number, (kernel, offset, start) in enumerate(layers):
            inputs, outputs = start.shape
            last = number == len(layers) - 1
            if masks and last and len(layers) == 1:
                x = masks[0] * x[:, tf.newaxis]
            if x.shape.rank == 2:
                x = tf.reshape(x @ kernel + offset, [-1, trials, outputs])
            else:
                x = tf.einsum("bti,ito->bto", x, tf.reshape(kernel, [inputs, trials, outputs]))
                x += tf.reshape(offset, [trials, outputs])
            if not last:
                x = tf.nn.relu(x)
                if masks:
                    x = masks[number] * x
        return x

    def _masks(self, rates: tf.Tensor, count: tf.Tensor, calls: tf.Tensor) -> list[tf.Tensor] | None:
        """Returns what `SeededDropout` multiplies with: float32 [examples, trials, numbers] of each layer."""
        if not self._drops:
            return None
        widths = [kernel.shape[1] for kernel in self._start[:-2:2]] or [self._start[0].shape[0]]
        of_trials, masks = rates[:, tf.newaxis], []
        for seed, width in zip(self._mask_seeds, widths, strict=True):
            drawn = tf.random.stateless_uniform([count, width], tf.stack([tf.constant(seed, tf.int64), calls]))
            masks.append(tf.where(drawn[:, tf.newaxis] >= of_trials, 1.0 / (1.0 - of_trials), 0.0))
        return masks

    def _of_each(self, of_example: Callable[..., tf.Tensor], targets: Target, logits: tf.Tensor) -> tf.Tensor:
        """Returns float32 [examples, trials] of what the objective says of each example."""
        examples, trials = tf.shape(logits)[0], tf.shape(logits)[1]
        probabilities = keras.activations.get(self._task.activation)(logits)
        flat = tf.reshape(probabilities, [examples * trials, logits.shape[2]])
        repeated = tf.nest.map_structure(lambda each: tf.repeat(each, trials, axis=0), targets)
        return tf.reshape(of_example(repeated, flat), [examples, trials])

    def _specs(self) -> list[tf.TensorSpec]:
        return [tf.TensorSpec([*each.shape[:-1], None], tf.float32) for each in self._start]

    def _compiled_validation(self) -> Callable[..., Any]:
        @tf.function(autograph=False, input_signature=[self._specs()])
        def validate(weights: _Tensors) -> tuple[tf.Tensor, tf.Tensor]:
            trials = tf.size(weights[-1]) // self._start[-1].size
            logits = self._logits(self._frozen.val, weights, trials, None)
            found = (
                self._of_each(each, self._frozen.val_labels, logits)
                for each in (self._objective.val_loss, self._objective.accuracy)
            )
            losses, hits = (tf.reduce_mean(each, axis=0) for each in found)
            return losses, hits

        return validate

    def _compiled_epoch(self) -> Callable[..., Any]:
        """Compiles an epoch.

        It is a function of the order, examples a batch, updates so far, rates, trials' own settings, weights, slots;
        it returns weights, slots, and the mean loss of each trial with the penalties of the weights at its end.
        """
        frozen, examples = self._frozen, self._frozen.split.examples
        signature = [
            tf.TensorSpec([examples], tf.int64),
            tf.TensorSpec([], tf.int32),
            tf.TensorSpec([], tf.int64),
            tf.TensorSpec([None, None], tf.float32),
            [tf.TensorSpec([None], tf.float32)] * 6,
            self._specs(),
            [each for each in self._specs() for _ in range(2)],
        ]

        def gradients(
            numbers: tf.Tensor, calls: tf.Tensor, own: _Tensors, weights: _Tensors
        ) -> tuple[_Tensors, tf.Tensor]:
            values = tf.gather(frozen.train, numbers)
            targets = tf.nest.map_structure(lambda each: tf.gather(each, numbers), frozen.train_targets)
            dropout, l1, l2, smoothing, *_ = own
            masks = self._masks(dropout, tf.size(numbers), calls)
            with tf.GradientTape() as tape:
                tape.watch(weights)
                logits = self._logits(values, weights, tf.size(dropout), masks)
                losses = self._of_each(self._objective.loss, targets, logits)
                if self._all_smoothed:
                    losses += smoothing * (self._of_each(self._all_smoothed.loss, targets, logits) - losses)
                of_trials = tf.reduce_mean(losses, axis=0)
                together = tf.reduce_sum(of_trials)
            found = tape.gradient(together, weights)
            # Those of the penalties, which the tape would go through all weights several times for.
            for place in range(0, len(weights), 2):
                outputs = self._start[place].shape[1]
                if self._l1:
                    found[place] += tf.repeat(l1, outputs) * tf.sign(weights[place])
                if self._l2:
                    found[place] += tf.repeat(2.0 * l2, outputs) * weights[place]
            return found, of_trials

        @tf.function(autograph=False, input_signature=signature)
        def epoch(
            order: tf.Tensor,
            size: tf.Tensor,
            updates: tf.Tensor,
            rates: tf.Tensor,
            own: _Tensors,
            weights: _Tensors,
            slots: _Tensors,
        ) -> tuple[_Tensors, _Tensors, tf.Tensor]:
            def body(step: tf.Tensor, weights: _Tensors, slots: _Tensors, total: tf.Tensor) -> tuple:
                numbers = order[step * size : (step + 1) * size]
                done = updates + tf.cast(step, tf.int64)
                found, losses = gradients(numbers, done, own, weights)
                changed = self._updated(weights, slots, found, rates[step], done + 1, own)
                return step + 1, *changed, total + losses * tf.cast(tf.size(numbers), tf.float32)

            start = tf.constant(0), weights, slots, tf.zeros_like(own[0])
            steps = tf.shape(rates)[0]
            _, weights, slots, total = tf.while_loop(lambda step, *_: step < steps, body, start, parallel_iterations=1)
            mean = total / examples
            _, l1, l2, *_ = own
            if self._l1:
                mean += l1 * self._of_kernels(tf.abs, weights)
            if self._l2:
                mean += l2 * self._of_kernels(tf.square, weights)
            return weights, slots, mean

        return epoch

    def _of_kernels(self, of_number: Callable[[tf.Tensor], tf.Tensor], weights: _Tensors) -> tf.Tensor:
        """Returns the sum over the kernels of each trial, float32 [trials]."""
        columns = [tf.reduce_sum(of_number(kernel), axis=0) for kernel in weights[::2]]
        widths = [start.shape[1] for start in self._start[::2]]
        of_layers = [tf.reshape(each, [-1, width]) for each, width in zip(columns, widths, strict=True)]
        return tf.add_n([tf.reduce_sum(each, axis=1) for each in of_layers])

    def _updated(
        self, weights: _Tensors, slots: _Tensors, gradients: _Tensors, rates: tf.Tensor, count: tf.Tensor, own: _Tensors
    ) -> tuple[_Tensors, _Tensors]:
        """Applies an update as Keras' optimizer of the same name does."""
        *_, momentum, decay = own
        new_weights: _Tensors = []
        new_slots: _Tensors = []
        steps = tf.cast(count, tf.float32)
        for place, (before, gradient, start) in enumerate(zip(weights, gradients, self._start, strict=True)):
            outputs, weight = start.shape[-1], before
            rate = tf.repeat(rates, outputs)
            first, second = slots[2 * place : 2 * place + 2]
            if self._optimizer == "sgd":
                first = first * tf.repeat(momentum, outputs) - gradient * rate
                weight = weight + first
            else:
                if self._optimizer == "adamw" and start.ndim == 2:
                    weight = weight - weight * (tf.repeat(decay, outputs) * rate)
                first = first + (gradient - first) * (1.0 - BETA_1)
                second = second + (tf.square(gradient) - second) * (1.0 - BETA_2)
                alpha = rate * tf.sqrt(1.0 - BETA_2**steps) / (1.0 - BETA_1**steps)
                weight = weight - first * alpha / (tf.sqrt(second) + EPSILON)
            new_weights.append(weight)
            new_slots += [first, second]
        return new_weights, new_slots


def _of_trials(of_all: _Tensors, trials: int, places: Sequence[int] | np.ndarray) -> _Tensors:
    """Takes the values of some trials, where those of all stand side by side."""
    found = []
    for each in of_all:
        apart = tf.reshape(each, [*each.shape[:-1], trials, -1])
        chosen = tf.gather(apart, places, axis=-2)
        found.append(tf.reshape(chosen, [*each.shape[:-1], len(places) * apart.shape[-1]]))
    return found


def _chosen(improved: np.ndarray, new: _Tensors, old: _Tensors) -> _Tensors:
    """Takes the new values of those that improved."""
    if improved.all():
        return new
    return [
        tf.where(tf.repeat(tf.constant(improved), one.shape[-1] // len(improved)), one, other)
        for one, other in zip(new, old, strict=True)
    ]
