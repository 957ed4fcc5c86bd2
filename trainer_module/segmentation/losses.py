"""What a network that tells pixels apart is trained by, for each picture."""

from __future__ import annotations

import tensorflow as tf

from transforms.masks import VOID

# Smaller probabilities would make the loss infinite, as in Keras.
_LEAST = 1e-7


def losses(masks: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    """Returns the loss of each picture: cross-entropy, mean over its pixels, plus 1 less the soft Dice of its classes.

    Cross-entropy alone neglects small classes; Dice (Milletari, Navab and Ahmadi 2016, "V-Net", section 3) counts each
    class of the picture alike. Void pixels have no part in either; a picture of nothing else has a loss of 0.

    Args:
        masks: uint8 [batch, height, width], columns of classes, or VOID.
        probabilities: float32 [batch, height, width, classes].

    Returns:
        float32 [batch].
    """
    counted, truth = _told(masks, probabilities)
    entropy = -tf.reduce_sum(truth * tf.math.log(tf.maximum(probabilities, _LEAST)), axis=[1, 2, 3])
    found = probabilities * counted[..., tf.newaxis]
    hits, there, said = (tf.reduce_sum(each, axis=[1, 2]) for each in (truth * found, truth, found))
    dice = _mean_where(2.0 * hits / tf.maximum(there + said, 1.0), there > 0)
    pixels = tf.reduce_sum(counted, axis=[1, 2])
    return tf.where(pixels > 0, entropy / tf.maximum(pixels, 1.0) + 1.0 - dice, 0.0)


def overlaps(masks: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    """Returns the mean IoU of the classes that are in a picture or said to be, the likeliest one of each pixel.

    Shapes are as in `losses`; of a picture that is all void it is 1.
    """
    counted, truth = _told(masks, probabilities)
    said = tf.one_hot(tf.argmax(probabilities, axis=-1), probabilities.shape[-1]) * counted[..., tf.newaxis]
    hits = tf.reduce_sum(truth * said, axis=[1, 2])
    either = tf.reduce_sum(tf.maximum(truth, said), axis=[1, 2])
    mean = _mean_where(hits / tf.maximum(either, 1.0), either > 0)
    return tf.where(tf.reduce_any(either > 0, axis=1), mean, 1.0)


def _told(masks: tf.Tensor, probabilities: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns which pixels count, float32 [batch, height, width], and their classes, [..., classes]."""
    counted = tf.cast(masks != VOID, tf.float32)
    # One hot of a number beyond the classes is all zeros.
    return counted, tf.one_hot(tf.cast(masks, tf.int32), probabilities.shape[-1])


def _mean_where(values: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Returns the mean over the last axis of those that are chosen, 0 where none is."""
    chosen = tf.cast(where, tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(values * chosen, axis=-1), tf.reduce_sum(chosen, axis=-1))
