"""One label an example."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transforms import features

if TYPE_CHECKING:
    import tensorflow as tf


class SingleLabel:
    """The label is the line of its name in the vocabulary: int64, a scalar or [batch]."""

    key = features.LABEL_INDEX

    def transform(self, names: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
        """Returns int64 [batch]."""
        import tensorflow_transform as tft

        from transforms.columns import column

        return tft.compute_and_apply_vocabulary(column(names), vocab_filename=features.CLASSES)

    def spec(self) -> tf.io.FixedLenFeature:
        import tensorflow as tf

        return tf.io.FixedLenFeature([], tf.int64)

    def read(self, indices: tf.Tensor, classes: int) -> tf.Tensor:
        return indices
