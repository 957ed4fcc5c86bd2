"""TensorBoard's event files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class TensorBoard:
    """Writes the event files of one training."""

    def __init__(self, folder: Path):
        """Makes the folder and opens a file in it."""
        import tensorflow as tf

        # What `tf.summary.scalar` writes; that is of the package tensorboard, which later TensorFlows do not bring.
        self._kind = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
        self._kind.plugin_data.plugin_name = "scalars"
        self._write = tf.summary.write
        self._writer = tf.summary.create_file_writer(str(folder))

    def log(self, values: Mapping[str, float], step: int, at: float) -> None:
        """Writes numbers of one step; TensorFlow itself notes when."""
        with self._writer.as_default():
            for name, value in values.items():
                self._write(name, value, step, self._kind)
        self._writer.flush()

    def close(self, succeeded: bool) -> None:
        self._writer.close()
