"""Geometry of boxes. A box is (y_min, x_min, y_max, x_max) in shares of height and width, as in `tf.image`."""

from __future__ import annotations

import tensorflow as tf


def areas(boxes: tf.Tensor) -> tf.Tensor:
    """Returns the area of each box: float32 [..., 4] to [...]; 0 where it ends before it begins."""
    y_min, x_min, y_max, x_max = tf.unstack(boxes, axis=-1)
    return tf.maximum(y_max - y_min, 0.0) * tf.maximum(x_max - x_min, 0.0)


def overlaps(boxes: tf.Tensor, others: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Compares boxes pair by pair, float32 [..., 4] each.

    Returns:
        The intersection over union in [0, 1], and the generalised one in (-1, 1], which falls on where boxes lie apart
        (Rezatofighi et al. 2019, "Generalized intersection over union"): float32 [...] each.
    """
    start, end = tf.maximum(boxes[..., :2], others[..., :2]), tf.minimum(boxes[..., 2:], others[..., 2:])
    both = areas(tf.concat([start, end], axis=-1))
    either = areas(boxes) + areas(others) - both
    start, end = tf.minimum(boxes[..., :2], others[..., :2]), tf.maximum(boxes[..., 2:], others[..., 2:])
    around = areas(tf.concat([start, end], axis=-1))
    iou = tf.math.divide_no_nan(both, either)
    return iou, iou - tf.math.divide_no_nan(around - either, around)
