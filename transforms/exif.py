"""The orientation in a JPEG's EXIF data, in TensorFlow operations: cameras save pictures as the sensor lies.

Sources: ITU-T T.81 for the segments of a JPEG, TIFF 6.0 for the entries of a directory, EXIF 2.3 for the tag.
"""

from __future__ import annotations

import tensorflow as tf

# EXIF comes before the picture, in one segment of at most 64 KiB, behind at most one other that is usual.
_HEAD_BYTES = 2**17
_MOST_SEGMENTS = 32
_MOST_ENTRIES = 128
_EXIF = [0x45, 0x78, 0x69, 0x66, 0, 0]
_ORIENTATION_TAG = 0x0112


def orientation(jpeg: tf.Tensor) -> tf.Tensor:
    """Reads how a JPEG, the bytes of a file as a scalar string, is to be turned.

    Returns:
        Scalar int32 from 1 to 8; 1, which is upright, where there is no EXIF data or it makes no sense.
    """
    # One byte more, so that there is something to read in an empty string.
    head = tf.io.decode_raw(tf.strings.substr(jpeg, 0, _HEAD_BYTES) + "\0", tf.uint8)
    size = tf.size(head)

    def at(place: tf.Tensor) -> tf.Tensor:
        """The bytes at these places, zero beyond the end."""
        inside = tf.logical_and(place >= 0, place < size)
        return tf.where(inside, tf.cast(tf.gather(head, tf.clip_by_value(place, 0, size - 1)), tf.int32), 0)

    def two(place: tf.Tensor, little: tf.Tensor) -> tf.Tensor:
        first, second = at(place), at(place + 1)
        return tf.where(little, first + 256 * second, 256 * first + second)

    def is_exif(place: tf.Tensor) -> tf.Tensor:
        return tf.logical_and(at(place + 1) == 0xE1, tf.reduce_all(at(place + 4 + tf.range(6)) == _EXIF))

    def goes_on(place: tf.Tensor) -> tf.Tensor:
        is_segment = tf.logical_and(at(place) == 0xFF, at(place + 1) != 0xDA)
        return tf.logical_and(is_segment, tf.logical_not(is_exif(place)))

    def following(place: tf.Tensor) -> tuple[tf.Tensor]:
        return (place + 2 + tf.maximum(two(place + 2, tf.constant(False)), 2),)

    (segment,) = tf.while_loop(goes_on, following, (tf.constant(2),), maximum_iterations=_MOST_SEGMENTS)
    header = segment + 10
    little = at(header) == 0x49
    low, high = two(header + 4, little), two(header + 6, little)
    directory = header + tf.where(little, low, high)
    entries = directory + 2 + 12 * tf.range(_MOST_ENTRIES)
    listed = tf.range(_MOST_ENTRIES) < two(directory, little)
    found = tf.logical_and(listed, two(entries, little) == _ORIENTATION_TAG)
    value = tf.reduce_max(tf.where(found, two(entries + 8, little), 0))
    return tf.where(tf.logical_and(is_exif(segment), tf.logical_and(value >= 1, value <= 8)), value, 1)


def upright(picture: tf.Tensor, turned: tf.Tensor) -> tf.Tensor:
    """Turns a picture [height, width, channels] as `orientation` says, like `PIL.ImageOps.exif_transpose`.

    Returns:
        The same pixels, [height, width, channels] or [width, height, channels].
    """

    def is_one_of(*values: int) -> tf.Tensor:
        return tf.reduce_any(turned == tf.constant(values))

    picture = tf.cond(turned >= 5, lambda: tf.transpose(picture, [1, 0, 2]), lambda: picture)
    picture = tf.cond(is_one_of(2, 3, 6, 7), lambda: tf.reverse(picture, [1]), lambda: picture)
    return tf.cond(is_one_of(3, 4, 7, 8), lambda: tf.reverse(picture, [0]), lambda: picture)
