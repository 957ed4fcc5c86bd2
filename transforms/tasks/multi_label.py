"""Any number of labels an example, none included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from transforms import features

if TYPE_CHECKING:
    import tensorflow as tf


class MultiLabel:
    """The label is multi-hot: float32 [classes] or [batch, classes], 1 for each label that is there and 0 elsewhere.

    Written are the lines of the names in the vocabulary, as many as there are, so that a record is as small with
    thousands of labels; and their number need not be known while the graph is built.
    """

    key = features.LABELS
    places: str | None = None

    def transform(
        self, raw: Mapping[str, tf.Tensor | tf.SparseTensor], settings: Mapping[str, Any]
    ) -> dict[str, tf.SparseTensor]:
        """Returns `label_index` int64 [batch, labels of each]."""
        import tensorflow as tf
        import tensorflow_transform as tft

        names = raw[features.LABEL]
        if isinstance(names, tf.Tensor):
            # A schema that was given may say that each example has the same number of labels.
            names = tf.sparse.from_dense(tf.reshape(names, [tf.shape(names)[0], -1]))
        return {features.LABEL_INDEX: tft.compute_and_apply_vocabulary(names, vocab_filename=features.CLASSES)}

    def spec(self) -> dict[str, Any]:
        import tensorflow as tf

        return {features.LABEL_INDEX: tf.io.VarLenFeature(tf.int64)}

    def read(self, parsed: Mapping[str, tf.SparseTensor], classes: int) -> tf.Tensor:
        """Returns the multi-hot vector; a label that the vocabulary lacks is left out."""
        import tensorflow as tf

        hot = tf.one_hot(tf.sparse.to_dense(parsed[features.LABEL_INDEX], default_value=-1), classes)
        return tf.minimum(tf.reduce_sum(hot, axis=-2), 1.0)

    def compared(self, parsed: Mapping[str, tf.SparseTensor], classes: int) -> tf.Tensor:
        return self.read(parsed, classes)
