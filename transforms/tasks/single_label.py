"""One label an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from transforms import features

if TYPE_CHECKING:
    import tensorflow as tf


class SingleLabel:
    """The label is the line of its name in the vocabulary: int64, a scalar or [batch]."""

    key = features.LABEL_INDEX
    places: str | None = None

    def transform(
        self, raw: Mapping[str, tf.Tensor | tf.SparseTensor], settings: Mapping[str, Any]
    ) -> dict[str, tf.Tensor]:
        """Returns `label_index` int64 [batch]."""
        import tensorflow_transform as tft

        from transforms.columns import column

        names = column(raw[features.LABEL])
        return {features.LABEL_INDEX: tft.compute_and_apply_vocabulary(names, vocab_filename=features.CLASSES)}

    def spec(self) -> dict[str, Any]:
        import tensorflow as tf

        return {features.LABEL_INDEX: tf.io.FixedLenFeature([], tf.int64)}

    def read(self, parsed: Mapping[str, tf.Tensor], classes: int) -> tf.Tensor:
        return parsed[features.LABEL_INDEX]

    def compared(self, parsed: Mapping[str, tf.Tensor], classes: int) -> tf.Tensor:
        return self.read(parsed, classes)
