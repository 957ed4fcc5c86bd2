"""Which class each pixel is of; the labels of a picture are the classes in its mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from transforms import features
from transforms.masks import VOID
from transforms.tasks.multi_label import MultiLabel

if TYPE_CHECKING:
    import tensorflow as tf


class Segmentation:
    """What is true of a picture is a mask of the size that the backbone sees."""

    key = features.LABELS
    places: str | None = "mask"

    def transform(
        self, raw: Mapping[str, tf.Tensor | tf.SparseTensor], settings: Mapping[str, Any]
    ) -> dict[str, tf.Tensor | tf.SparseTensor]:
        """Returns `label_index` as of several labels, and `mask` string [batch]: serialised uint8 [size, size]."""
        from transforms.columns import column
        from transforms.image import decode_and_resize_masks

        masks = decode_and_resize_masks(column(raw[features.MASK]), settings["image_size"])
        return {**MultiLabel().transform(raw, settings), features.MASK: masks}

    def spec(self) -> dict[str, Any]:
        import tensorflow as tf

        return {**MultiLabel().spec(), features.MASK: tf.io.FixedLenFeature([], tf.string)}

    def read(self, parsed: Mapping[str, tf.Tensor | tf.SparseTensor], classes: int) -> tf.Tensor:
        """Returns uint8 [size, size], or [batch, size, size]: columns of classes, VOID where nothing is to be learned.

        That is also where a class is that the train split does not have.
        """
        import tensorflow as tf

        def one(serialised: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
            places = tf.pad(own, [[0, VOID + 1 - tf.shape(own)[0]]], constant_values=-1)
            columns = tf.gather(places, tf.cast(tf.io.parse_tensor(serialised, tf.uint8), tf.int32))
            return tf.ensure_shape(
                tf.cast(tf.where(columns < 0, tf.constant(VOID, columns.dtype), columns), tf.uint8), [None, None]
            )

        own = tf.sparse.to_dense(parsed[features.LABEL_INDEX], default_value=-1)
        if parsed[features.MASK].shape.rank == 0:
            return one(parsed[features.MASK], own)
        signature = tf.TensorSpec([None, None], tf.uint8)
        return tf.map_fn(lambda each: one(*each), (parsed[features.MASK], own), fn_output_signature=signature)

    def compared(self, parsed: Mapping[str, tf.SparseTensor], classes: int) -> tf.Tensor:
        """Returns the labels of each picture, multi-hot."""
        return MultiLabel().read(parsed, classes)
