"""LoRA in a Keras network: layers that see their kernels with an update of low rank, and back to plain ones.

Every kind of layer is adapted alike, attention within others included, and gradients reach the factors by themselves.
The kernel stays the variable that it was, with the same value, until `merge`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from finetune.config import PeftConfig
from finetune.config.peft import KernelKind
from finetune.errors import BackboneError
from trainer_module.peft.low_rank import initial, rank_of
from trainer_module.peft.seeing import seeing, seeing_in_its_graph
from trainer_module.peft.targets import Kernel, chosen
from trainer_module.peft.update import UPDATES, Update, updates_in
from trainer_module.phases.freezing import variable_name


def attach(backbone: keras.Model, peft: PeftConfig, seed: int) -> None:
    """Puts updates on the kernels of a backbone that `targets.chosen` says; it gives what it gave before.

    To be called under the strategy's scope. The factors become variables of the layers, behind those that they have.

    Raises:
        BackboneError: There is nothing to put them on.
    """
    held = list(_held(backbone))
    wanted = {kernel.name for kernel in chosen([each.kernel for each in held], peft, parameters_of(backbone))}
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    for layer, group in groupby((each for each in held if each.kernel.name in wanted), key=lambda each: each.layer):
        own, updates = list(group), {}
        in_graph = not all(each.attribute for each in own)
        if in_graph and replicas > 1:
            raise BackboneError(
                f"training.peft.method: got 'lora' with {replicas} replicas; the graph of {layer.name} reads its "
                "variables by itself, and one device at a time can set them. Expected one, or 'bitfit' or 'norm'"
            )
        for each in own:
            kernel = each.kernel
            values = initial(kernel.matrix, rank_of(kernel.matrix, peft.rank), seed, kernel.name)
            a, b = (tf.Variable(value, name=name) for value, name in zip(values, kernel.variables, strict=True))
            updates[each.attribute or kernel.name] = Update(each.variable, a, b, peft.scale)
            layer._trainable_weights.extend((a, b))
        vars(layer)[UPDATES] = updates
        kind = type(layer)
        layer.__class__ = seeing_in_its_graph(kind) if in_graph else seeing(kind, list(updates))


def merge(backbone: keras.Model) -> None:
    """Adds all updates to their kernels and takes them out: a plain network that gives the same."""
    for layer in backbone._flatten_layers():
        updates = updates_in(layer).values()
        if not updates:
            continue
        for update in updates:
            update.variable.assign(update.merged())
            # What was compiled before this sees the update still.
            update.b.assign(tf.zeros_like(update.b))
        factors = {id(factor) for update in updates for factor in (update.a, update.b)}
        layer._trainable_weights[:] = [each for each in layer._trainable_weights if id(each) not in factors]
        del vars(layer)[UPDATES]
        layer.__class__ = type(layer).__bases__[0]


def kernels_of(backbone: keras.Model) -> list[Kernel]:
    """Lists the kernels of a backbone, from input to output."""
    return [each.kernel for each in _held(backbone)]


def parameters_of(backbone: keras.Model) -> int:
    """Counts the numbers of a backbone without updates."""
    return sum(math.prod(each.shape) for each in backbone.variables if each.dtype.is_floating)


def plain_weights(layer: keras.layers.Layer) -> list[np.ndarray]:
    """Returns the values that the weights of a layer would have with all updates merged, in their order."""
    updates = [update for inner in layer._flatten_layers() for update in updates_in(inner).values()]
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
    variable: tf.Variable
    layer: Any  # The layer, or one within it.
    attribute: str | None  # None where it has none, and a graph of its own reads the variable.


def _held(backbone: keras.Model) -> Iterator[_Held]:
    attention = _attention(backbone)
    for layer in backbone.layers:
        for each in layer._flatten_layers():
            held = [(attribute, value) for attribute, value in vars(each).items() if isinstance(value, tf.Variable)]
            for attribute, value in held:
                if attribute.endswith("kernel") and len(value.shape) > 1:
                    shape = tuple(value.shape)
                    kind = "attention" if id(each) in attention else _kind(attribute, each, shape)
                    kernel = Kernel(variable_name(value), layer.name, kind, shape, _summed(kind, each, shape))
                    yield _Held(kernel, value, each, attribute)
            known = {id(value) for _, value in held}
            known |= {id(factor) for update in updates_in(each).values() for factor in (update.a, update.b)}
            for value in each._trainable_weights:
                if id(value) not in known and len(value.shape) > 1 and value.dtype.is_floating:
                    shape = tuple(value.shape)
                    kernel = Kernel(variable_name(value), layer.name, "variable", shape, len(shape) - 1)
                    yield _Held(kernel, value, each, None)


def _attention(backbone: keras.Model) -> set[int]:
    """Returns the ids of layers that are a part of attention: within it, or dense layers right before and behind it."""
    found = set()
    for layer in backbone.layers:
        parts = list(layer._flatten_layers())
        for each in parts:
            if "Attention" in type(each).__name__:
                found |= {id(part) for part in each._flatten_layers()}
        if "Attention" in type(layer).__name__:
            behind = [node.layer for node in layer._outbound_nodes]
            before = [source for node in layer._inbound_nodes for source, *_ in node.iterate_inbound()]
            found |= {id(each) for each in (*before, *behind) if isinstance(each, keras.layers.Dense)}
    return found


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
