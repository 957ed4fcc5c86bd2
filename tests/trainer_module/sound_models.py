"""A small network of log-mel patches."""

from __future__ import annotations

import tf_keras as keras


def tone_network(frames: int = 20, bands: int = 16) -> keras.Model:
    """From float32 [batch, frames, bands, 1] to a map with 8 channels."""
    x = log_mel = keras.Input((frames, bands, 1), name="patch")
    for number, filters in enumerate((4, 8), start=1):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", name=f"block{number}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"block{number}_norm")(x)
        x = keras.layers.ReLU(name=f"block{number}_relu")(x)
    return keras.Model(log_mel, x, name="tones")
