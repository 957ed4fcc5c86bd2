"""LoRA in a Keras network: layers that see their kernels with an update of low rank, and back to plain ones.

Keras' layers read a kernel from an attribute of their own whenever they are called. For a layer with an update this
attribute gives the sum of both, so that every kind of layer, attention within others included, is adapted alike, and
gradients reach the factors by themselves. The kernel stays the variable that it was, and is never written to before
`merge`.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from finetune.config import PeftConfig
from finetune.config.peft import KernelKind
from finetune.errors import BackboneError
from trainer_module.peft.low_rank import initial, merged, rank_of
from trainer_module.peft.targets import Kernel, chosen
from trainer_module.phases.freezing import variable_name

# Where a layer keeps its updates, by the attribute that each stands for.
_UPDATES = "_low_rank_updates"


@dataclass(frozen=True)
class Update:
    """An update is what is added to a kernel."""

    variable: tf.Variable  # The kernel, which stays as it is.
    a: tf.Variable  # float32 [rows, rank].
    b: tf.Variable  # float32 [rank, columns].
    scale: float

    @property
    def kernel(self) -> tf.Tensor:
        """Returns the kernel with the update, of the type that the layer computes in."""
        kernel = tf.convert_to_tensor(self.variable)
        update = tf.reshape(self.scale * tf.matmul(self.a, self.b), kernel.shape)
        return kernel + tf.cast(update, kernel.dtype)

    def merged(self) -> np.ndarray:
        """Returns the same as the kernel's own type has it."""
        return merged(self.variable.numpy(), self.a.numpy(), self.b.numpy(), self.scale)


def attach(backbone: keras.Model, peft: PeftConfig, seed: int) -> None:
    """Puts updates on the kernels of a backbone that `targets.chosen` says; it gives what it gave before.

    To be called under the strategy's scope. The factors become variables of the layers, behind those that they have.

    Raises:
        BackboneError: There is nothing to put them on.
    """
    held = list(_held(backbone))
    wanted = {kernel.name for kernel in chosen([each.kernel for each in held], peft, parameters_of(backbone))}
    for each in held:
        kernel, layer = each.kernel, each.layer
        if kernel.name not in wanted:
            continue
        rank = rank_of(kernel.matrix, peft.rank)
        values = initial(kernel.matrix, rank, seed, kernel.name)
        a, b = (tf.Variable(value, name=name) for value, name in zip(values, kernel.variables, strict=True))
        updates = vars(layer).setdefault(_UPDATES, {})
        updates[each.attribute] = Update(vars(layer)[each.attribute], a, b, peft.scale)
        layer._trainable_weights.extend((a, b))
        layer.__class__ = _seeing(type(layer), each.attribute)


def merge(backbone: keras.Model) -> None:
    """Adds all updates to their kernels and takes them out: a plain network that gives the same."""
    for layer in backbone._flatten_layers():
        for update in vars(layer).pop(_UPDATES, {}).values():
            update.variable.assign(update.merged())
            # What was compiled before this sees the update still.
            update.b.assign(tf.zeros_like(update.b))
            layer._trainable_weights[:] = [
                each for each in layer._trainable_weights if each is not update.a and each is not update.b
            ]
            layer.__class__ = type(layer).__bases__[0]


def kernels_of(backbone: keras.Model) -> list[Kernel]:
    """Lists the kernels of a backbone, from input to output."""
    return [each.kernel for each in _held(backbone)]


def parameters_of(backbone: keras.Model) -> int:
    """Counts the numbers of a backbone without updates."""
    return sum(math.prod(each.shape) for each in backbone.variables if each.dtype.is_floating)


def plain_weights(layer: keras.layers.Layer) -> list[np.ndarray]:
    """Returns the values that the weights of a layer would have with all updates merged, in their order."""
    updates = [update for inner in layer._flatten_layers() for update in vars(inner).get(_UPDATES, {}).values()]
    merged_of = {id(update.variable): update for update in updates}
    factors = {id(factor) for update in updates for factor in (update.a, update.b)}
    return [
        merged_of[id(weight)].merged() if id(weight) in merged_of else weight.numpy()
        for weight in layer.weights
        if id(weight) not in factors
    ]


def weights_of(backbone: keras.Model) -> dict[str, np.ndarray]:
    """Returns the values of all variables of a backbone, factors of updates included, by their names.

    Raises:
        BackboneError: Two variables have the same name.
    """
    values: dict[str, np.ndarray] = {}
    for variable in backbone.variables:
        name = variable_name(variable)
        if name in values:
            raise BackboneError(
                f"training.peft: the backbone has two variables that are called {name!r}, and what is trained of one "
                "could not be told from the other; expected a name for each, or no training.peft"
            )
        values[name] = variable.numpy()
    return values


@dataclass(frozen=True)
class _Held:
    """A kernel, and where it is held."""

    kernel: Kernel
    layer: Any  # The layer, or one within it.
    attribute: str


def _held(backbone: keras.Model) -> Iterator[_Held]:
    for layer in backbone.layers:
        inner = list(layer._flatten_layers())
        attention = {
            id(part) for each in inner if "Attention" in type(each).__name__ for part in each._flatten_layers()
        }
        for each in inner:
            for attribute, value in list(vars(each).items()):
                if attribute.endswith("kernel") and isinstance(value, tf.Variable) and len(value.shape) > 1:
                    shape = tuple(value.shape)
                    kind = "attention" if id(each) in attention else _kind(attribute, each, shape)
                    name = variable_name(value)
                    yield _Held(Kernel(name, layer.name, kind, shape, _summed(kind, each, shape)), each, attribute)


def _kind(attribute: str, layer: keras.layers.Layer, shape: tuple[int, ...]) -> KernelKind:
    if attribute == "depthwise_kernel":
        return "depthwise"
    if len(shape) == 2 or isinstance(layer, keras.layers.EinsumDense):
        return "dense"
    return "pointwise" if set(shape[:-2]) == {1} else "conv"


def _summed(kind: KernelKind, layer: keras.layers.Layer, shape: tuple[int, ...]) -> int:
    """Counts the axes of a kernel, from the first, that are summed over."""
    if isinstance(layer, keras.layers.EinsumDense):
        of_kernel, output = layer.equation.split(",")[1].split("->")
        kept = [place for place, axis in enumerate(of_kernel.strip()) if axis in output]
        return kept[0] if kept and kept[0] else len(shape) - 1
    return len(shape) - (2 if kind == "depthwise" else 1)


def _seeing(kind: type, attribute: str) -> type:
    """Returns the class of layers whose attribute gives the kernel with its update."""
    seen = property(lambda layer: vars(layer)[_UPDATES][attribute].kernel)
    body = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, attribute: seen}
    return types.new_class(kind.__name__, (kind,), exec_body=lambda namespace: namespace.update(body))
