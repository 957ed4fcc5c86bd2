"""Pairs of pictures in a batch: blended (mixup), or one pasted into the other (CutMix), a pure function of a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from finetune.config import AugmentationConfig


class MixedLabels(NamedTuple):
    """Labels of the pictures that a batch of pairs is made of."""

    labels: Any  # Tensors [batch, ...], of the first of each pair.
    others: Any  # The same, of the second.
    share: tf.Tensor  # float32 [batch] in [0, 1]: how much of the first is in it.


def of_labels(each: Callable[[Any, tf.Tensor], tf.Tensor], labels: Any, said: tf.Tensor) -> tf.Tensor:
    """Applies a loss or an accuracy, float32 [batch], to labels, or to both of each pair by their shares.

    For cross-entropy, and for what a teacher said, that is the loss of the blended label, as mixup has it.
    """
    if not isinstance(labels, MixedLabels):
        return each(labels, said)
    return labels.share * each(labels.labels, said) + (1.0 - labels.share) * each(labels.others, said)


def mix(pixels: tf.Tensor, labels: Any, seed: tf.Tensor, config: AugmentationConfig) -> tuple[tf.Tensor, MixedLabels]:
    """Joins each picture with the next of its batch, the last with the first.

    Mixup blends in the share s ~ Beta(alpha, alpha), one for the batch (Zhang et al. 2018). CutMix pastes a rectangle
    of area 1 - s, centred anywhere and cut off at the border, and s becomes what is left of the picture (Yun et al.
    2019). With both, half of the batches each.

    Args:
        pixels: float32 [batch, height, width, channels].
        labels: Tensors [batch, ...].
        seed: int64 [2]; the same seed joins the same.
    """
    size = tf.shape(pixels)[0]
    others, partners = tf.nest.map_structure(lambda each: tf.roll(each, -1, 0), (labels, pixels))
    draws = tf.random.stateless_uniform([3], seed)

    def blended() -> tuple[tf.Tensor, tf.Tensor]:
        share = _beta(config.mixup, seed)
        return share * pixels + (1.0 - share) * partners, share

    def pasted() -> tuple[tf.Tensor, tf.Tensor]:
        inside = _rectangle(tf.shape(pixels)[1], tf.shape(pixels)[2], 1.0 - _beta(config.cutmix, seed), draws[1:])
        share = 1.0 - tf.reduce_mean(tf.cast(inside, tf.float32))
        return tf.where(inside[tf.newaxis, :, :, tf.newaxis], partners, pixels), share

    if config.mixup and config.cutmix:
        mixed, share = tf.cond(draws[0] < 0.5, blended, pasted)
    else:
        mixed, share = blended() if config.mixup else pasted()
    return tf.ensure_shape(mixed, pixels.shape), MixedLabels(labels, others, tf.fill([size], share))


def _beta(alpha: float, seed: tf.Tensor) -> tf.Tensor:
    """Draws from Beta(alpha, alpha), as the share of one of two draws from Gamma(alpha)."""
    gammas = tf.random.stateless_gamma([2], seed + tf.constant([0, 1], tf.int64), alpha)
    # Both can be 0 in float32 when alpha is small.
    return tf.math.divide_no_nan(gammas[0], gammas[0] + gammas[1])


def _rectangle(height: tf.Tensor, width: tf.Tensor, area: tf.Tensor, centre: tf.Tensor) -> tf.Tensor:
    """Returns bool [height, width]: what lies in a rectangle of a share of the area and the picture's proportions."""

    def within(length: tf.Tensor, middle: tf.Tensor) -> tf.Tensor:
        length = tf.cast(length, tf.float32)
        places = tf.range(length) + 0.5
        return tf.abs(places - middle * length) <= length * tf.sqrt(area) / 2.0

    return within(height, centre[0])[:, tf.newaxis] & within(width, centre[1])[tf.newaxis, :]
