"""The layers on top of the backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import tensorflow as tf
import tf_keras as keras

from finetune.config import HeadConfig, PhaseConfig, TrainingConfig
from finetune.errors import BackboneError

Pool = Callable[[Any, str], Any]

_REGULARIZERS = ("dropout", "spatial_dropout", "l1", "l2")


class Head(Protocol):
    """What a task puts on top of a backbone.

    Attributes:
        of_classes: Name of the layer that has so many weights for each class.
        strides: Pixels of the picture a cell of each map that it takes, where it takes maps from inside; else empty.
    """

    @property
    def of_classes(self) -> str: ...

    @property
    def strides(self) -> tuple[int, ...]: ...

    def opened(self, backbone: keras.Model) -> keras.Model:
        """Returns the backbone with the outputs that the head takes, and with its digest as `weights_sha256`.

        Raises:
            BackboneError: It has no such outputs.
        """

    def add(self, features: Any, pool: Pool, head: HeadConfig, classes: int, seed: int) -> keras.KerasTensor:
        """Adds the layers to what the opened backbone gives; returns the output of the network.

        Args:
            features: One tensor, or one for each output.
            pool: `Modality.pool`.
            head: The section of the config, with each regularizer at its strongest.
            classes: How many there are.
            seed: Seeds initial weights and dropout.
        """


@dataclass(frozen=True)
class DenseHead:
    """Dense layers on pooled features, with a probability for each class."""

    activation: str = "softmax"  # Keras' name of what makes probabilities.
    of_classes: str = "probabilities"
    strides: tuple[int, ...] = ()

    def opened(self, backbone: keras.Model) -> keras.Model:
        """Returns the backbone as it is."""
        return backbone

    def add(self, features: Any, pool: Pool, head: HeadConfig, classes: int, seed: int) -> keras.KerasTensor:
        """See `add_head`."""
        return add_head(features, pool, head, classes, seed, self.activation)


def add_head(
    features: keras.KerasTensor, pool: Pool, head: HeadConfig, classes: int, seed: int, activation: str = "softmax"
) -> keras.KerasTensor:
    """Drops channels, pools, then dense layers with dropout behind each, then one unit per class.

    Without dense layers, dropout stands before the last layer all the same.

    Args:
        features: float32 [batch, channels], or with more axes, which are pooled.
        pool: `Modality.pool`: makes [batch, channels] of features and the name of a layer.
        seed: Seeds initial weights and dropout; each layer gets its own seed from it.
        activation: Keras' name of what makes probabilities, as the task says.

    Returns:
        Probabilities, float32 [batch, classes].

    Raises:
        BackboneError: The features cannot be pooled, or channels of a vector are to be dropped.
    """
    rank = len(features.shape)
    if head.spatial_dropout and rank == 2:
        raise BackboneError(
            f"training.head.spatial_dropout: got {head.spatial_dropout:g}; this backbone gives a vector, which has no "
            "channels over a space. Leave it out, or use dropout."
        )
    x = features
    if head.spatial_dropout:
        x = SeededDropout(head.spatial_dropout, seed, spatial=True, name="head_spatial_dropout")(x)
    if rank > 2:
        x = pool(x, "head_pool")
    x = _hidden(x, head, seed, "head")
    return _dense(classes, activation, "probabilities", seed, head)(x)


def add_projection(vector: keras.KerasTensor, head: HeadConfig, width: int, seed: int, side: str) -> keras.KerasTensor:
    """Puts the hidden layers of a head, and a last one of `width` without activation, on float32 [batch, channels].

    Layers are named after the side.
    """
    return _dense(width, "linear", f"{side}_projection", seed, head)(_hidden(vector, head, seed, side))


def _hidden(x: keras.KerasTensor, head: HeadConfig, seed: int, name: str) -> keras.KerasTensor:
    for number, units in enumerate(head.units, start=1):
        x = _dense(units, "relu", f"{name}_dense_{number}", seed + number, head)(x)
        if head.dropout:
            x = SeededDropout(head.dropout, seed + number, name=f"{name}_dropout_{number}")(x)
    if head.dropout and not head.units:
        x = SeededDropout(head.dropout, seed, name=f"{name}_dropout")(x)
    return x


def _dense(units: int, activation: str, name: str, seed: int, head: HeadConfig) -> keras.layers.Dense:
    penalty = _Penalty(head.l1, head.l2) if head.l1 or head.l2 else None
    initial = keras.initializers.GlorotUniform(seed=seed)
    return keras.layers.Dense(
        units, activation, kernel_initializer=initial, kernel_regularizer=penalty, dtype="float32", name=name
    )


def with_all_regularizers(training: TrainingConfig) -> HeadConfig:
    """Returns the head with each regularizer at its strongest in any phase: what layers must be there."""
    settings = [regularizers_of(training.head, phase) for phase in training.phases]
    strongest = {name: max(values[name] for values in settings) for name in _REGULARIZERS} if settings else {}
    return training.head.model_copy(update=strongest)


def regularizers_of(head: HeadConfig, phase: PhaseConfig) -> dict[str, float]:
    """Returns the head's regularizers in one phase, by name."""
    own = phase.regularizers.model_dump()
    return {name: getattr(head, name) if own[name] is None else own[name] for name in _REGULARIZERS}


def regularize(model: keras.Model, head: HeadConfig, phase: PhaseConfig) -> None:
    """Sets the regularizers of a phase in the head of a model; compiled steps follow."""
    strength = regularizers_of(head, phase)
    for layer in model.layers:
        if isinstance(layer, SeededDropout):
            layer.strength.rate.assign(strength["spatial_dropout" if layer.spatial else "dropout"])
        penalty = getattr(layer, "kernel_regularizer", None)
        if isinstance(penalty, _Penalty):
            penalty.l1.assign(strength["l1"])
            penalty.l2.assign(strength["l2"])


class _Penalty(keras.regularizers.Regularizer):
    """Computes `l1 * sum(|x|) + l2 * sum(x^2)`, with factors that a phase may change."""

    def __init__(self, l1: float, l2: float):
        self.l1, self.l2 = (tf.Variable(value, trainable=False, dtype=tf.float32) for value in (l1, l2))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.l1 * tf.reduce_sum(tf.abs(x)) + self.l2 * tf.reduce_sum(tf.square(x))


class _Strength:
    """Holds how much is dropped, out of sight of Keras, which would take it for a weight of the model."""

    def __init__(self, rate: float):
        self.rate = tf.Variable(rate, trainable=False, dtype=tf.float32)


class SeededDropout(keras.layers.Layer):
    """Drops numbers by masks that are a function of its seed and of how often it was called.

    Keras' own draws from a generator inside TensorFlow, whose state cannot be saved: a run that goes on after a kill
    would draw other masks. The count of calls is a variable of this layer, saved with the weights.
    """

    def __init__(self, rate: float, seed: int, spatial: bool = False, **kwargs: Any):
        """Drops single numbers at `rate`, or with `spatial`, whole channels of [batch, ..., channels]."""
        super().__init__(**kwargs)
        self.strength = _Strength(rate)
        self.spatial = spatial
        self._seed = seed

    def build(self, input_shape: Any) -> None:
        self._calls = self.add_weight(
            "calls",
            (),
            tf.int64,
            initializer="zeros",
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        super().build(input_shape)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training:
            return x
        shape = tf.shape(x)
        if self.spatial:
            shape = tf.concat([shape[:1], tf.ones_like(shape[1:-1]), shape[-1:]], axis=0)
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = tf.stack([self._seed + 1_000_003 * tf.cast(replica, tf.int64), self._calls])
        rate = self.strength.rate
        kept = tf.random.stateless_uniform(shape, seed) >= rate
        self._calls.assign_add(1)
        return tf.where(kept, x / tf.cast(1.0 - rate, x.dtype), tf.zeros([], x.dtype))


def up_to_last_layer(model: keras.Model) -> keras.Model:
    """Returns the network up to what the last layer takes, be that in a network within it."""
    node = model.output.node
    if not isinstance(node.layer, keras.Model):
        return keras.Model(model.input, node.keras_inputs[0])
    inputs = node.keras_inputs
    return keras.Model(model.input, up_to_last_layer(node.layer)(inputs if len(inputs) > 1 else inputs[0]))
