"""Classes of layers that see their kernels with updates, in the place of those that do not."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from trainer_module.peft.update import updates_in


def seeing(kind: type, attributes: Sequence[str]) -> type:
    """Returns the class of layers whose attributes give the kernels with their updates.

    Layers read a kernel from an attribute of their own whenever they are called.
    """
    return _subclass(kind, {name: _kernel(name) for name in attributes})


def _kernel(attribute: str) -> property:
    return property(lambda layer: updates_in(layer)[attribute].kernel)


def seeing_in_its_graph(kind: type) -> type:
    """Returns the class of layers whose variables hold the kernels with their updates while they are called.

    The graph of a SavedModel reads its variables by itself: they are set before and set back behind, bit by bit, and
    the gradient of each becomes that of the sum, which leads to the factors.
    """

    @tf.autograph.experimental.do_not_convert
    def call(layer: Any, inputs: Any, training: Any = None) -> Any:
        updates = list(updates_in(layer).values())
        held = [update.variable for update in updates]

        @tf.custom_gradient
        def run(*kernels: tf.Tensor) -> tuple[Any, Callable]:
            before = [tf.identity(variable) for variable in held]
            for variable, kernel in zip(held, kernels, strict=True):
                variable.assign(kernel)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(held)
                output = kind.call(layer, inputs, training)  # type: ignore[attr-defined]
            for variable, value in zip(held, before, strict=True):
                variable.assign(value)

            def gradient(*upstream: tf.Tensor, variables: Sequence[tf.Variable] = ()) -> tuple[list, list]:
                zero = tf.UnconnectedGradients.ZERO
                found = tape.gradient(output, held, list(upstream), unconnected_gradients=zero)
                return [tf.convert_to_tensor(each) for each in found], [None] * len(variables)

            return output, gradient

        return run(*(update.kernel for update in updates))

    return _subclass(kind, {"call": call})


def _subclass(kind: type, members: dict[str, Any]) -> type:
    body = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, **members}
    return types.new_class(kind.__name__, (kind,), exec_body=lambda namespace: namespace.update(body))
