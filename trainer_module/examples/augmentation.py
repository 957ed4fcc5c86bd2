"""Random changes of training pictures, each a pure function of a seed, so that order and parallelism do not matter."""

from __future__ import annotations

import math

import tensorflow as tf

from finetune.config import AugmentationConfig


def augment(pixels: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
    """Changes one picture at random: uint8 [height, width, 3] to float32 of the same shape in [0, 255].

    The same seed, int64 [2], makes the same change.
    """
    image = tf.cast(pixels, tf.float32)
    draws = tf.random.stateless_uniform([7], seed, -1.0, 1.0)
    height, width = pixels.shape[0], pixels.shape[1]
    if config.rotation or config.zoom or config.shift:
        transform = _affine(draws, height, width, config)
        image = tf.raw_ops.ImageProjectiveTransformV3(
            images=image[tf.newaxis],
            transforms=transform[tf.newaxis],
            output_shape=[height, width],
            interpolation="BILINEAR",
            fill_mode="REFLECT",
            fill_value=0.0,
        )[0]
    if config.horizontal_flip:
        image = tf.cond(draws[4] < 0, lambda: tf.reverse(image, [1]), lambda: image)
    if config.contrast:
        mean = tf.reduce_mean(image, axis=[0, 1], keepdims=True)
        image = (image - mean) * (1.0 + config.contrast * draws[5]) + mean
    if config.brightness:
        image = image + 255.0 * config.brightness * draws[6]
    return tf.ensure_shape(tf.clip_by_value(image, 0.0, 255.0), pixels.shape)


def _affine(draws: tf.Tensor, height: int, width: int, config: AugmentationConfig) -> tf.Tensor:
    """Returns the projective transform, float32 [8], that maps output to input coordinates about the centre."""
    angle = 2.0 * math.pi * config.rotation * draws[0]
    scale = 1.0 + config.zoom * draws[1]
    cos, sin = scale * tf.cos(angle), scale * tf.sin(angle)
    centre_x, centre_y = (width - 1) / 2.0, (height - 1) / 2.0
    shift_x, shift_y = config.shift * width * draws[2], config.shift * height * draws[3]
    offset_x = centre_x - cos * centre_x + sin * centre_y + shift_x
    offset_y = centre_y - sin * centre_x - cos * centre_y + shift_y
    return tf.stack([cos, -sin, offset_x, sin, cos, offset_y, 0.0, 0.0])
