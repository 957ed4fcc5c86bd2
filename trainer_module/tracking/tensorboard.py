"""TensorBoard's event files: curves, hyper-parameters (HParams plugin) and pictures."""

from __future__ import annotations

import base64
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainer_module.tracking.entries import Entry, Numbers, Picture, RunBegins, RunEnds


class TensorBoard:
    """Writes the event files of one training, and of each trial in a folder of its own, so that no curve starts anew.

    TensorFlow itself notes when something was written.
    """

    def __init__(self, folder: Path):
        """Takes the folder of the training, which is made with its first file."""
        import tensorflow as tf

        self._folder = folder
        # What `tf.summary.scalar` and `image` write; those are of the package tensorboard's own TensorFlow API.
        self._scalar = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_SCALAR")
        self._scalar.plugin_data.plugin_name = "scalars"
        self._image = tf.compat.v1.SummaryMetadata(data_class="DATA_CLASS_BLOB_SEQUENCE")
        self._image.plugin_data.plugin_name = "images"
        self._tf = tf
        self._writers: dict[str, Any] = {}

    def take(self, entry: Entry) -> None:
        """Writes an entry; of the pipeline's, which come after the training, none."""
        if not isinstance(entry, RunBegins | Numbers | Picture | RunEnds):
            return
        writer = self._writer(entry.run)
        with writer.as_default():
            if isinstance(entry, Numbers):
                for name, value in entry.values.items():
                    self._tf.summary.write(name, value, entry.step, self._scalar)
            elif isinstance(entry, Picture):
                png = base64.b64decode(entry.png)
                width, height = (str(int.from_bytes(png[at : at + 4], "big")).encode() for at in (16, 20))
                self._tf.summary.write(entry.name, [width, height, png], 0, self._image)
            else:
                self._tf.summary.experimental.write_raw_pb(_hyper_parameters(entry), 0)
        writer.flush()

    def close(self) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, run: str) -> Any:
        trial = run.partition("/")[2]
        if trial not in self._writers:
            self._writers[trial] = self._tf.summary.create_file_writer(str(self._folder / trial))
        return self._writers[trial]


def _hyper_parameters(entry: RunBegins | RunEnds) -> bytes:
    """Returns what the HParams plugin reads of a session that begins or ends."""
    from tensorboard.plugins.hparams import api_pb2, summary, summary_v2

    if isinstance(entry, RunBegins):
        values = {name: _value(text) for name, text in entry.parameters.items()}
        return bytes(summary_v2.hparams_pb(values, trial_id=entry.run).SerializeToString())
    status = api_pb2.STATUS_SUCCESS if entry.succeeded else api_pb2.STATUS_FAILURE
    return bytes(summary.session_end_pb(status, entry.at).SerializeToString())


def _value(text: str) -> bool | float | str:
    if text in ("True", "False"):
        return text == "True"
    with suppress(ValueError):
        return float(text)
    return text
