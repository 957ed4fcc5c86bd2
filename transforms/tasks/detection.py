"""Boxes around objects; the labels of a picture are the classes of its boxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from transforms import features
from transforms.objects import MOST_OBJECTS
from transforms.tasks.multi_label import MultiLabel

if TYPE_CHECKING:
    import tensorflow as tf

# Of each object: edges, column of its class, and whether it is a crowd.
NUMBERS = 6


class Detection:
    """What is true of a picture is where its objects are, as many as there are."""

    key = features.LABELS
    places: str | None = "boxes"

    def transform(
        self, raw: Mapping[str, tf.Tensor | tf.SparseTensor], settings: Mapping[str, Any]
    ) -> dict[str, tf.Tensor | tf.SparseTensor]:
        """Returns `label_index` int64 [batch, labels of each], and `boxes` float32 [batch, NUMBERS times objects]."""
        import tensorflow as tf
        import tensorflow_transform as tft

        from transforms.columns import column

        names = raw[features.LABEL]
        if isinstance(names, tf.Tensor):
            names = tf.sparse.from_dense(tf.reshape(names, [tf.shape(names)[0], -1]))
        vocabulary = tft.vocabulary(names, vocab_filename=features.CLASSES)
        # The first line is the size of the picture.
        lines = tf.strings.split(column(raw[features.BOXES]), "\n")[:, 1:]
        fields = tf.strings.split(lines.flat_values, " ", maxsplit=NUMBERS - 1).to_tensor(shape=[None, NUMBERS])
        numbers = tf.strings.to_number(fields[:, : NUMBERS - 1])
        places = tft.apply_vocabulary(fields[:, NUMBERS - 1], vocabulary)
        rows = tf.concat([numbers[:, :4], tf.cast(places, tf.float32)[:, tf.newaxis], numbers[:, 4:]], axis=1)
        of_each = tf.RaggedTensor.from_row_splits(tf.reshape(rows, [-1]), lines.row_splits * NUMBERS)
        return {features.LABEL_INDEX: tft.apply_vocabulary(names, vocabulary), features.BOXES: of_each.to_sparse()}

    def spec(self) -> dict[str, Any]:
        import tensorflow as tf

        return {**MultiLabel().spec(), features.BOXES: tf.io.VarLenFeature(tf.float32)}

    def read(self, parsed: Mapping[str, tf.SparseTensor], classes: int) -> tf.Tensor:
        """Returns float32 [MOST_OBJECTS, NUMBERS], or [batch, ...] of it: the class is -1 where there is no object."""
        import tensorflow as tf

        numbers = tf.sparse.to_dense(parsed[features.BOXES], default_value=-1.0)
        missing = MOST_OBJECTS * NUMBERS - tf.shape(numbers)[-1]
        padding = [[0, 0]] * (numbers.shape.rank - 1) + [[0, missing]]
        return tf.reshape(tf.pad(numbers, padding, constant_values=-1.0), [*numbers.shape[:-1], MOST_OBJECTS, NUMBERS])

    def compared(self, parsed: Mapping[str, tf.SparseTensor], classes: int) -> tf.Tensor:
        """Returns the labels of each picture, multi-hot."""
        return MultiLabel().read(parsed, classes)
