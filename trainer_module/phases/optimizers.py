"""The optimizer of a phase: Keras' own, one for each group of variables that share a rate and an age.

Its slots are kept per variable, so that they can go on in the next phase, or in a run that continues a killed one,
whatever else trains beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from finetune.config import OptimizerConfig

# Norms and biases are left out of weight decay, as is usual since BERT (Devlin et al. 2019, appendix A.2).
_NOT_DECAYED = ["bias", "gamma", "beta"]


@dataclass(frozen=True)
class Slots:
    """Slots are what an optimizer keeps of one variable."""

    updates: int  # How many updates the variable has had, on which Adam's bias correction depends.
    values: tuple[np.ndarray, ...]  # Its moments, in the order that the optimizer keeps them.


class PhaseOptimizer:
    """Updates the variables that a phase trains."""

    def __init__(
        self,
        config: OptimizerConfig,
        variables: Sequence[tf.Variable],
        factors: Sequence[float],
        slots: Sequence[Slots | None],
        ema: float | None = None,
    ):
        """Builds the optimizers; to be called under the strategy's scope.

        Args:
            factors: What the learning rate of each variable is multiplied with.
            slots: What to go on from, for each variable; None begins anew.
            ema: What each update leaves of a moving average of the variables; None keeps none.
        """
        self._config = config
        self._rate: float | None = None
        self._variables = list(variables)
        members = _members(factors, slots)
        self._groups = [
            _Group(_keras_optimizer(config, ema), factor, indices, [self._variables[index] for index in indices])
            for (factor, _), indices in members.items()
        ]
        self._go_on_from(members, slots)

    def restart(self, factors: Sequence[float], slots: Sequence[Slots | None]) -> None:
        """Goes on with other factors from other slots, of variables that `grouping` puts together as it did.

        Slots that are None become zeros, as those of Adam, AdamW, SGD and RMSprop are when they are new.
        """
        members = _members(factors, slots)
        for (factor, _), group in zip(members, self._groups, strict=True):
            group.factor = factor
        self._rate = None
        self._go_on_from(members, [each or Slots(0, ()) for each in slots])

    def _go_on_from(self, members: Mapping[tuple[float, int], Sequence[int]], slots: Sequence[Slots | None]) -> None:
        for (_, updates), group in zip(members, self._groups, strict=True):
            group.optimizer.iterations.assign(updates)
            for index, own in zip(group.indices, group.slots(), strict=True):
                earlier = slots[index]
                if earlier:
                    for slot, value in zip(own, earlier.values or [tf.zeros_like(slot) for slot in own], strict=True):
                        slot.assign(value)

    def set_rate(self, rate: float) -> None:
        """Sets the learning rate of the next update."""
        if rate != self._rate:
            self._rate = rate
            for group in self._groups:
                group.optimizer.learning_rate = rate * group.factor

    def apply(self, gradients: Sequence[tf.Tensor]) -> None:
        """Clips and applies gradients that are summed over all replicas already; to be called in a replica."""
        gradients = clip(gradients, self._config)
        for group in self._groups:
            pairs = [(gradients[index], self._variables[index]) for index in group.indices]
            group.optimizer.apply_gradients(pairs, skip_gradients_aggregation=True)

    def averages(self) -> list[np.ndarray]:
        """Copies the moving average of each variable as it is now, which Keras makes before all other slots."""
        return [each.values[0] for each in self.slots()]

    def slots(self) -> list[Slots]:
        """Copies the slots of each variable as they are now."""
        slots: dict[int, Slots] = {}
        for group in self._groups:
            updates = int(group.optimizer.iterations.numpy())
            for index, own in zip(group.indices, group.slots(), strict=True):
                slots[index] = Slots(updates, tuple(slot.numpy() for slot in own))
        return [slots[index] for index in range(len(self._variables))]


def grouping(factors: Sequence[float], slots: Sequence[Slots | None]) -> tuple[tuple[int, ...], ...]:
    """Returns which variables share an optimizer, by their numbers: those with one factor and one age."""
    return tuple(map(tuple, _members(factors, slots).values()))


def _members(factors: Sequence[float], slots: Sequence[Slots | None]) -> dict[tuple[float, int], list[int]]:
    members: dict[tuple[float, int], list[int]] = {}
    for index, (factor, earlier) in enumerate(zip(factors, slots, strict=True)):
        members.setdefault((factor, earlier.updates if earlier else 0), []).append(index)
    return members


def clip(gradients: Sequence[tf.Tensor], config: OptimizerConfig) -> list[tf.Tensor]:
    """Clips gradients by the norm of each, by value, or by the norm of all together, as the config asks."""
    if config.clipnorm:
        return [tf.clip_by_norm(gradient, config.clipnorm) for gradient in gradients]
    if config.clipvalue:
        return [tf.clip_by_value(gradient, -config.clipvalue, config.clipvalue) for gradient in gradients]
    if config.global_clipnorm:
        return tf.clip_by_global_norm(gradients, config.global_clipnorm)[0]
    return list(gradients)


class _Group:
    def __init__(self, optimizer: keras.optimizers.Optimizer, factor: float, indices: list[int], variables: list[Any]):
        self.optimizer = optimizer
        self.factor = factor
        self.indices = indices
        self._variables = variables
        optimizer.build(variables)

    def slots(self) -> list[list[tf.Variable]]:
        """Returns the optimizer's variables that belong to each model variable, told by the end of their names."""
        slots: list[list[tf.Variable]] = [[] for _ in self._variables]
        ends = {"/" + variable.name: place for place, variable in enumerate(self._variables)}
        for slot in self.optimizer.variables:
            fitting = [end for end in ends if slot.name.endswith(end)]
            # The count of updates and the learning rate belong to no variable.
            if fitting:
                slots[ends[max(fitting, key=len)]].append(slot)
        return slots


def _keras_optimizer(config: OptimizerConfig, ema: float | None) -> keras.optimizers.Optimizer:
    average = {"use_ema": True, "ema_momentum": ema} if ema else {}
    # The rate is set before each update; 1.0 stands in until then.
    if config.name == "sgd":
        return keras.optimizers.SGD(1.0, momentum=config.momentum, **average)
    if config.name == "adamw":
        optimizer = keras.optimizers.AdamW(1.0, weight_decay=config.weight_decay, **average)
        optimizer.exclude_from_weight_decay(var_names=_NOT_DECAYED)
        return optimizer
    others = {"adam": keras.optimizers.Adam, "rmsprop": keras.optimizers.RMSprop, "nadam": _Nadam}
    return others[config.name](1.0, **average)


class _Nadam(keras.optimizers.Optimizer):
    """Applies Adam with Nesterov momentum (Dozat 2016), its momentum schedule kept as a slot of each variable.

    In a compiled step, Keras' own multiplies the product of that schedule once for every variable instead of once for
    every update, and leaves it out of what it saves.
    """

    BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7

    def __init__(self, learning_rate: float, **average: Any):
        super().__init__(name="Nadam", **average)
        self._learning_rate = self._build_learning_rate(learning_rate)

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        self._built = True
        self._slots = [
            (
                self.add_variable_from_reference(variable, "m"),
                self.add_variable_from_reference(variable, "v"),
                self.add_variable_from_reference(variable, "product", shape=(), initial_value=1.0),
            )
            for variable in var_list
        ]

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        moment, velocity, product = self._slots[self._index_dict[self._var_key(variable)]]
        step = tf.cast(self.iterations + 1, variable.dtype)
        momentum = self.BETA_1 * (1.0 - 0.5 * 0.96**step)
        next_momentum = self.BETA_1 * (1.0 - 0.5 * 0.96 ** (step + 1.0))
        product.assign(product * momentum)
        moment.assign_add((gradient - moment) * (1.0 - self.BETA_1))
        velocity.assign_add((tf.square(gradient) - velocity) * (1.0 - self.BETA_2))
        ahead = next_momentum * moment / (1.0 - product * next_momentum) + (1.0 - momentum) * gradient / (1.0 - product)
        spread = tf.sqrt(velocity / (1.0 - self.BETA_2**step)) + self.EPSILON
        variable.assign_sub(tf.cast(self.learning_rate, variable.dtype) * ahead / spread)
