"""From the bytes of an image file to the input of a backbone, in TensorFlow operations that training and serving share.

The two halves meet at a uint8 picture of the backbone's size: everything before it is the Transform graph
(`decode_and_resize`), everything after it is the model's first operation (`scale`). A picture in uint8 is a quarter of
its float32 size on disk, and augmentation can work on it in units that people know.
"""

from __future__ import annotations

import tensorflow as tf

from finetune.config.backbone import Scaling
from transforms import exif

# Means and standard deviations of the ImageNet training set, as in keras.applications.imagenet_utils.
_BGR_MEAN = (103.939, 116.779, 123.68)
_RGB_MEAN = (0.485, 0.456, 0.406)
_RGB_STD = (0.229, 0.224, 0.225)


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes one JPEG, PNG, BMP or GIF (first frame) to RGB; a JPEG is turned as its EXIF orientation says.

    Args:
        encoded: Scalar string, the bytes of the file.

    Returns:
        uint8 [height, width, 3] in [0, 255].

    Raises:
        tf.errors.InvalidArgumentError: The bytes are none of these formats, or are cut short.
    """
    pixels = decode_as_stored(encoded)
    return tf.cond(tf.io.is_jpeg(encoded), lambda: exif.upright(pixels, exif.orientation(encoded)), lambda: pixels)


def decode_as_stored(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes like `decode`, and turns nothing: whether bytes can be decoded does not depend on their orientation.

    Grey is repeated over the channels, alpha is dropped, CMYK is converted, 16 bits are reduced to 8.
    """

    def decode_other() -> tf.Tensor:
        return tf.io.decode_image(encoded, channels=3, expand_animations=False)

    pixels = tf.cond(tf.io.is_jpeg(encoded), lambda: decode_jpeg(encoded), decode_other)
    return tf.ensure_shape(pixels, [None, None, 3])


def decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG like `decode_as_stored`, which takes any format."""
    # The accurate inverse transform gives the same pixels as Pillow; TensorFlow's default is off by up to 8.
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")


def resize(image: tf.Tensor, size: int) -> tf.Tensor:
    """Resizes to a square, bilinear with anti-aliasing when shrinking (as Pillow does), without keeping the aspect.

    From uint8 [height, width, 3] to uint8 [size, size, 3], rounded to the nearest.
    """
    resized = tf.image.resize(image, (size, size), method="bilinear", antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)


# Transform traces its graph nine times, and reading the orientation takes many operations: this traces them once.
@tf.function(autograph=False)
def decode_and_resize(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes and resizes a batch, string [batch].

    Returns:
        string [batch]: each a serialised uint8 tensor [size, size, 3]; `parse_pixels` reads it back. As bytes, a
        picture keeps its size in a tf.Example; as a list of numbers it would grow.
    """

    def one(image_bytes: tf.Tensor) -> tf.Tensor:
        return tf.io.serialize_tensor(resize(decode(image_bytes), size))

    return tf.map_fn(one, encoded, fn_output_signature=tf.string)


# As above.
@tf.function(autograph=False)
def decode_and_resize_masks(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes and resizes masks as `transforms.masks` has them, string [batch], by nearest neighbour.

    Returns:
        string [batch]: each a serialised uint8 tensor [size, size].
    """

    def one(image_bytes: tf.Tensor) -> tf.Tensor:
        values = tf.io.decode_png(image_bytes, channels=1)
        return tf.io.serialize_tensor(tf.image.resize(values, (size, size), method="nearest")[..., 0])

    return tf.map_fn(one, encoded, fn_output_signature=tf.string)


def parse_pixels(serialised: tf.Tensor, size: int) -> tf.Tensor:
    """Reads one result of `decode_and_resize`: scalar string to uint8 [size, size, 3]."""
    return tf.ensure_shape(tf.io.parse_tensor(serialised, tf.uint8), [size, size, 3])


def scale(pixels: tf.Tensor, scaling: Scaling) -> tf.Tensor:
    """Brings pixels into the range that a backbone was trained with, as `transforms.backbone.Backbone.scaling` says.

    From [..., 3] RGB in [0, 255] of any numeric type to float32 of the same shape.
    """
    x = tf.cast(pixels, tf.float32)
    if scaling == "none":
        return x
    if scaling == "zero_to_one":
        return x / 255.0
    if scaling == "minus_one_to_one":
        return x / 127.5 - 1.0
    if scaling == "imagenet_bgr_mean":
        return tf.reverse(x, axis=[-1]) - tf.constant(_BGR_MEAN)
    if scaling == "imagenet_mean_std":
        return (x / 255.0 - tf.constant(_RGB_MEAN)) / tf.constant(_RGB_STD)
    raise ValueError(f"scaling: got {scaling!r}; expected one of {Scaling}")
