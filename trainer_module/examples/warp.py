"""Moves the pixels of a picture."""

from __future__ import annotations

import tensorflow as tf

from transforms.masks import VOID


def warp(image: tf.Tensor, transform: tf.Tensor) -> tf.Tensor:
    """Moves a picture, float32 [height, width, channels], to one of the same shape; its borders are mirrored.

    Args:
        transform: float32 [8], the projective transform from output to input coordinates.
    """
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=transform[tf.newaxis],
        output_shape=[image.shape[0], image.shape[1]],
        interpolation="BILINEAR",
        fill_mode="REFLECT",
        fill_value=0.0,
    )[0]


def warp_mask(mask: tf.Tensor, transform: tf.Tensor) -> tf.Tensor:
    """Moves a mask, uint8 [height, width], as `warp` does a picture: to the nearest pixel, void beyond its borders."""
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=mask[tf.newaxis, :, :, tf.newaxis],
        transforms=transform[tf.newaxis],
        output_shape=[mask.shape[0], mask.shape[1]],
        interpolation="NEAREST",
        fill_mode="CONSTANT",
        fill_value=float(VOID),
    )[0, ..., 0]
