"""Random changes of training pictures, each a pure function of a seed, so that order and parallelism do not matter."""

from __future__ import annotations

import math

import tensorflow as tf

from finetune.config import AugmentationConfig
from trainer_module.examples.trivial_augment import trivial_augment
from trainer_module.examples.warp import warp, warp_mask

# Of what random erasing takes away, and of what a random-resized crop keeps (Zhong et al. 2020; Szegedy et al. 2015).
ERASED_AREA = (0.02, 1 / 3)
CROP_RATIO = 4 / 3
# Of an object that a crop cuts.
LEAST_LEFT = 0.25
# Apart from the seeds of all other draws, whose first number is an epoch's.
_LATER, _NOISE = (1 << 40, 0), (1 << 41, 0)


def augment(pixels: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
    """Changes one picture at random: uint8 [height, width, 3] to float32 of the same shape in [0, 255].

    The same seed, int64 [2], makes the same change.
    """
    image = tf.cast(pixels, tf.float32)
    draws = tf.random.stateless_uniform([7], seed, -1.0, 1.0)
    # What came later draws for itself, so that a config without it makes the changes that it always made.
    more = tf.random.stateless_uniform([12], seed + tf.constant(_LATER, tf.int64), -1.0, 1.0)
    height, width = pixels.shape[0], pixels.shape[1]
    if config.rotation or config.zoom or config.shift or config.random_resized_crop:
        image = warp(image, _affine(draws, more, height, width, config))
    if config.horizontal_flip:
        image = tf.cond(draws[4] < 0, lambda: tf.reverse(image, [1]), lambda: image)
    if config.contrast:
        mean = tf.reduce_mean(image, axis=[0, 1], keepdims=True)
        image = (image - mean) * (1.0 + config.contrast * draws[5]) + mean
    if config.brightness:
        image = image + 255.0 * config.brightness * draws[6]
    if config.saturation:
        grey = tf.reduce_mean(image, axis=-1, keepdims=True)
        image = (image - grey) * (1.0 + config.saturation * more[4]) + grey
    image = tf.clip_by_value(image, 0.0, 255.0)
    if config.trivial_augment:
        image = trivial_augment(image, more[5:7])
    if config.random_erasing:
        image = _erased(image, (more[7:12] + 1.0) / 2.0, seed, config.random_erasing)
    return tf.ensure_shape(image, pixels.shape)


def moved(objects: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig, height: int, width: int) -> tf.Tensor:
    """Moves objects with the picture that `augment` changes by the same seed, where that crops and flips it.

    What is cut off is no longer there; of an object of which less than LEAST_LEFT is left, it is not told whether one
    should still find it: it is marked as a crowd.

    Args:
        objects: float32 [objects, 6], as `transforms.tasks.detection` reads them.
        height, width: Of the picture, in pixels.

    Returns:
        The same shape.
    """
    draws = tf.random.stateless_uniform([7], seed, -1.0, 1.0)
    upper, left, lower, right, column, crowd = tf.unstack(objects, axis=-1)
    if config.random_resized_crop:
        more = tf.random.stateless_uniform([12], seed + tf.constant(_LATER, tf.int64), -1.0, 1.0)
        across, _, offset_x, _, down, offset_y, _, _ = tf.unstack(_affine(draws, more, height, width, config))
        # The transform is of pixels' middles, from the changed picture to the one before.
        left, right = ((edge * width - 0.5 - offset_x) / across for edge in (left, right))
        upper, lower = ((edge * height - 0.5 - offset_y) / down for edge in (upper, lower))
        left, right = ((edge + 0.5) / width for edge in (left, right))
        upper, lower = ((edge + 0.5) / height for edge in (upper, lower))
    if config.horizontal_flip:
        flips = draws[4] < 0
        left, right = tf.where(flips, 1.0 - right, left), tf.where(flips, 1.0 - left, right)
    whole = (lower - upper) * (right - left)
    upper, left, lower, right = (tf.clip_by_value(edge, 0.0, 1.0) for edge in (upper, left, lower, right))
    area = (lower - upper) * (right - left)
    crowd = tf.where(area < LEAST_LEFT * whole, 1.0, crowd)
    column = tf.where(area > 0.0, column, -1.0)
    return tf.ensure_shape(tf.stack([upper, left, lower, right, column, crowd], axis=-1), objects.shape)


def moved_mask(mask: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig, height: int, width: int) -> tf.Tensor:
    """Moves a mask with the picture that `augment` changes by the same seed; beyond its borders it is void.

    Args:
        mask: uint8 [height, width], as `transforms.tasks.segmentation` reads it.
        height, width: Of the picture, in pixels.

    Returns:
        The same shape.
    """
    draws = tf.random.stateless_uniform([7], seed, -1.0, 1.0)
    mask = tf.ensure_shape(mask, [height, width])
    if config.rotation or config.zoom or config.shift or config.random_resized_crop:
        more = tf.random.stateless_uniform([12], seed + tf.constant(_LATER, tf.int64), -1.0, 1.0)
        mask = warp_mask(mask, _affine(draws, more, height, width, config))
    if config.horizontal_flip:
        mask = tf.cond(draws[4] < 0, lambda: tf.reverse(mask, [1]), lambda: mask)
    return mask


# By what `transforms.tasks` says that labels have.
MOVED = {"boxes": moved, "mask": moved_mask}


def _affine(draws: tf.Tensor, more: tf.Tensor, height: int, width: int, config: AugmentationConfig) -> tf.Tensor:
    """Returns the projective transform, float32 [8], that maps output to input coordinates about the centre."""
    angle = 2.0 * math.pi * config.rotation * draws[0]
    scale = 1.0 + config.zoom * draws[1]
    cos, sin = scale * tf.cos(angle), scale * tf.sin(angle)
    centre_x, centre_y = (width - 1) / 2.0, (height - 1) / 2.0
    shift_x, shift_y = config.shift * width * draws[2], config.shift * height * draws[3]
    if not config.random_resized_crop:
        # As it always was, operation by operation: TensorFlow rounds other forms of the same sum otherwise.
        offset_x = centre_x - cos * centre_x + sin * centre_y + shift_x
        offset_y = centre_y - sin * centre_x - cos * centre_y + shift_y
        return tf.stack([cos, -sin, offset_x, sin, cos, offset_y, 0.0, 0.0])
    across, down = _crop_sides(more[:2], config.random_resized_crop)
    # Anywhere, as long as it lies within the picture.
    shift_x += (1.0 - across) * width / 2.0 * more[2]
    shift_y += (1.0 - down) * height / 2.0 * more[3]
    matrix = [across * cos, -down * sin, across * sin, down * cos]
    offset_x = centre_x - matrix[0] * centre_x - matrix[1] * centre_y + shift_x
    offset_y = centre_y - matrix[2] * centre_x - matrix[3] * centre_y + shift_y
    return tf.stack([matrix[0], matrix[1], offset_x, matrix[2], matrix[3], offset_y, 0.0, 0.0])


def _crop_sides(draws: tf.Tensor, least_area: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws the sides of a crop, in shares of width and height: area and the logarithm of the ratio are uniform."""
    area = 1.0 - (1.0 - least_area) * (draws[0] + 1.0) / 2.0
    ratio = tf.exp(math.log(CROP_RATIO) * draws[1])
    # A side longer than the picture gives its excess to the other, so that the area stays.
    ratio = tf.clip_by_value(ratio, area, 1.0 / area)
    return tf.sqrt(area * ratio), tf.sqrt(area / ratio)


def _erased(image: tf.Tensor, draws: tf.Tensor, seed: tf.Tensor, share: float) -> tf.Tensor:
    """Fills a rectangle with noise in a share of the pictures (Zhong et al. 2020, algorithm 1)."""
    height, width = image.shape[0], image.shape[1]
    area = ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * draws[1]
    ratio = tf.exp(math.log(CROP_RATIO) * (2.0 * draws[2] - 1.0))
    down, across = tf.sqrt(area * ratio), tf.sqrt(area / ratio)

    def within(length: int, side: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
        start, places = draw * (1.0 - side) * length, tf.range(length, dtype=tf.float32) + 0.5
        return (places >= start) & (places <= start + side * length)

    inside = within(height, down, draws[3])[:, tf.newaxis] & within(width, across, draws[4])[tf.newaxis, :]
    noise = tf.random.stateless_uniform(image.shape, seed + tf.constant(_NOISE, tf.int64), 0.0, 255.0)
    return tf.where(inside[..., tf.newaxis] & (draws[0] < share), noise, image)
