"""What a detector is trained by, for each picture."""

from __future__ import annotations

import tensorflow as tf

from trainer_module.detection.boxes import overlaps
from trainer_module.detection.decoding import split
from trainer_module.detection.targets import Targets, assign, centres

# A probability no closer to 0 or 1, as in CenterNet's own code.
_NEAREST = 1e-4
# How much edges count beside centres: that of TTFNet.
EDGES = 5.0
# Overlap from which a box is found, as in mAP@.5.
FOUND = 0.5


def centre_losses(targets: Targets, heat: tf.Tensor) -> tf.Tensor:
    """Returns the focal loss of centres, float32 [batch, height, width, classes] (CenterNet, equation 1).

    `-(1 - p)^2 log p` at a centre, `-(1 - y)^4 p^2 log(1 - p)` elsewhere, y being the Gaussian.
    """
    p = tf.clip_by_value(heat, _NEAREST, 1.0 - _NEAREST)
    there = (1.0 - p) ** 2 * tf.math.log(p)
    elsewhere = (1.0 - targets.heat) ** 4 * p**2 * tf.math.log(1.0 - p)
    return -tf.where(targets.heat >= 1.0, there, elsewhere) * targets.counted


def losses(truth: tf.Tensor, answer: tf.Tensor) -> tf.Tensor:
    """Returns the loss of each picture: centres and edges, both divided by the number of its boxes, or 1 without any.

    Args:
        truth: float32 [batch, boxes, 6], as `transforms.tasks.detection` reads it.
        answer: As `trainer_module.detection.decoding.split` takes it.

    Returns:
        float32 [batch].
    """
    heat, found = split(answer)
    boxes, classes, crowd = trimmed(truth)
    targets = assign(boxes, classes, crowd, answer.shape[1], answer.shape[2], heat.shape[-1])
    count = tf.reduce_sum(tf.cast((classes >= 0) & ~crowd, tf.float32), axis=1)
    centre = tf.reduce_sum(centre_losses(targets, heat), axis=[1, 2, 3])
    edges = tf.reduce_sum(targets.weights * (1.0 - overlaps(found, targets.boxes)[1]), axis=[1, 2])
    return (centre + EDGES * edges) / tf.maximum(count, 1.0)


def found_shares(truth: tf.Tensor, answer: tf.Tensor) -> tf.Tensor:
    """Returns the share of a picture's boxes whose centre's cell has their class as the likeliest, and their edges.

    A box with an IoU of FOUND is enough. Of a picture without boxes it is 1. Shapes as in `losses`.
    """
    heat, found = split(answer)
    boxes, classes, crowd = trimmed(truth)
    row, column = centres(boxes, answer.shape[1], answer.shape[2])
    at_centre = tf.stack([row, column], axis=-1)
    said = tf.argmax(tf.gather_nd(heat, at_centre, batch_dims=1), axis=-1, output_type=tf.int32)
    iou = overlaps(tf.gather_nd(found, at_centre, batch_dims=1), boxes)[0]
    real = tf.cast((classes >= 0) & ~crowd, tf.float32)
    hits = tf.reduce_sum(real * tf.cast((said == classes) & (iou >= FOUND), tf.float32), axis=1)
    count = tf.reduce_sum(real, axis=1)
    return tf.where(count > 0, hits / tf.maximum(count, 1.0), 1.0)


def trimmed(truth: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Takes truth apart: boxes float32 [batch, n, 4], classes int32 [batch, n] and crowds bool [batch, n].

    Of a batch, n is the largest number of boxes: the padding behind them is left out.
    """
    most = tf.reduce_max(tf.reduce_sum(tf.cast(truth[..., 4] >= 0, tf.int32), axis=1))
    truth = truth[:, : tf.maximum(most, 1)]
    return truth[..., :4], tf.cast(truth[..., 4], tf.int32), truth[..., 5] > 0
