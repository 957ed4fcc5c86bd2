"""TrivialAugment (Müller and Hutter 2021): one change at a random strength, from their wide set."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from trainer_module.examples.warp import warp

Change = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

# Strongest values of the wide set, table 7 of the paper; shifts there are 32 of 224 pixels.
SHEAR, SHIFT, TURN, ENHANCE, FEWEST_BITS = 0.99, 32 / 224, math.radians(135.0), 0.99, 2
_GREY = (0.299, 0.587, 0.114)


def trivial_augment(image: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Changes one picture: float32 [height, width, 3] in [0, 255] to the same.

    Args:
        draws: float32 [2] in [-1, 1): which change, and how strong it is, either way.
    """
    chosen = tf.cast((draws[0] + 1.0) / 2.0 * len(CHANGES), tf.int32)
    strength = draws[1]
    branches = [lambda change=change: change(image, strength) for change in CHANGES.values()]
    changed = tf.switch_case(tf.clip_by_value(chosen, 0, len(CHANGES) - 1), branches)
    return tf.clip_by_value(tf.ensure_shape(changed, image.shape), 0.0, 255.0)


def _moved(image: tf.Tensor, matrix: list[tf.Tensor | float]) -> tf.Tensor:
    """Moves a picture about its centre; [a, b, c, d] and shifts [x, y] in shares of it, from output to input."""
    a, b, c, d, x, y = matrix
    height, width = image.shape[0], image.shape[1]
    centre_x, centre_y = (width - 1) / 2.0, (height - 1) / 2.0
    transform = [
        a, b, centre_x - a * centre_x - b * centre_y + x * width,
        c, d, centre_y - c * centre_x - d * centre_y + y * height,
        0.0, 0.0,
    ]  # fmt: skip
    return warp(image, tf.stack([tf.cast(value, tf.float32) for value in transform]))


def _turn(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    cos, sin = tf.cos(TURN * strength), tf.sin(TURN * strength)
    return _moved(image, [cos, -sin, sin, cos, 0.0, 0.0])


def _blended(other: Callable[[tf.Tensor], tf.Tensor]) -> Change:
    """Moves a picture away from another version of it, or towards that, as Pillow's enhancements do."""

    def change(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
        return other(image) + (1.0 + ENHANCE * strength) * (image - other(image))

    return change


def _grey(image: tf.Tensor) -> tf.Tensor:
    return tf.tensordot(image, tf.constant(_GREY), 1)[..., tf.newaxis]


def _smooth(image: tf.Tensor) -> tf.Tensor:
    """Averages neighbours with the weights of Pillow's SMOOTH."""
    kernel = tf.constant([[1.0, 1.0, 1.0], [1.0, 5.0, 1.0], [1.0, 1.0, 1.0]]) / 13.0
    kernel = tf.tile(kernel[:, :, tf.newaxis, tf.newaxis], [1, 1, 3, 1])
    padded = tf.pad(image, [[1, 1], [1, 1], [0, 0]], "REFLECT")
    return tf.nn.depthwise_conv2d(padded[tf.newaxis], kernel, [1, 1, 1, 1], "VALID")[0]


def _posterize(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    step = 2.0 ** tf.round(tf.abs(strength) * (8 - FEWEST_BITS))
    return tf.floor(image / step) * step


def _solarize(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    return tf.where(image < 255.0 * (1.0 - tf.abs(strength)), image, 255.0 - image)


def _autocontrast(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    low, high = tf.reduce_min(image, [0, 1]), tf.reduce_max(image, [0, 1])
    return tf.where(high > low, (image - low) * tf.math.divide_no_nan(255.0, high - low), image)


def _equalize(image: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    """Brings each channel to evenly used values, as Pillow does: by the running sum of its histogram."""

    def channel(values: tf.Tensor) -> tf.Tensor:
        values = tf.cast(tf.round(values), tf.int32)
        counts = tf.math.bincount(tf.reshape(values, [-1]), minlength=256, maxlength=256)
        filled = tf.boolean_mask(counts, counts > 0)
        step = (tf.reduce_sum(filled) - filled[-1]) // 255
        table = tf.minimum((tf.cumsum(counts, exclusive=True) + step // 2) // tf.maximum(step, 1), 255)
        return tf.cast(tf.where(step > 0, tf.gather(table, values), values), tf.float32)

    return tf.stack([channel(image[..., number]) for number in range(3)], axis=-1)


CHANGES: dict[str, Change] = {
    "identity": lambda image, strength: image,
    "shear_x": lambda image, strength: _moved(image, [1.0, SHEAR * strength, 0.0, 1.0, 0.0, 0.0]),
    "shear_y": lambda image, strength: _moved(image, [1.0, 0.0, SHEAR * strength, 1.0, 0.0, 0.0]),
    "shift_x": lambda image, strength: _moved(image, [1.0, 0.0, 0.0, 1.0, SHIFT * strength, 0.0]),
    "shift_y": lambda image, strength: _moved(image, [1.0, 0.0, 0.0, 1.0, 0.0, SHIFT * strength]),
    "turn": _turn,
    "brightness": _blended(tf.zeros_like),
    "colour": _blended(_grey),
    "contrast": _blended(lambda image: tf.reduce_mean(_grey(image)) + tf.zeros_like(image)),
    "sharpness": _blended(_smooth),
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
}
