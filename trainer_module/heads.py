"""The layers on top of the backbone."""

from __future__ import annotations

import tf_keras as keras

from pipeline.config import HeadConfig


def add_head(feature_map: keras.KerasTensor, head: HeadConfig, classes: int, seed: int) -> keras.KerasTensor:
    """Pools, then dense layers with dropout, then one softmax unit per class.

    Args:
        feature_map: float32 [batch, height, width, channels].
        head: Widths, dropout and penalty.
        classes: Number of classes.
        seed: Seeds initial weights and dropout; each layer gets its own seed from it.

    Returns:
        Probabilities, float32 [batch, classes].
    """
    penalty = keras.regularizers.L2(head.l2) if head.l2 else None

    def dense(units: int, activation: str, name: str, layer_seed: int) -> keras.layers.Dense:
        initial = keras.initializers.GlorotUniform(seed=layer_seed)
        return keras.layers.Dense(
            units, activation, kernel_initializer=initial, kernel_regularizer=penalty, dtype="float32", name=name
        )

    x = keras.layers.GlobalAveragePooling2D(name="head_pool")(feature_map)
    for number, units in enumerate(head.units, start=1):
        x = dense(units, "relu", f"head_dense_{number}", seed + number)(x)
        if head.dropout:
            x = keras.layers.Dropout(head.dropout, seed=seed + number, name=f"head_dropout_{number}")(x)
    return dense(classes, "softmax", "probabilities", seed)(x)
