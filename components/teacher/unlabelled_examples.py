"""Writes pictures without labels as Transform writes those with labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.teacher.classes import names_said
from transforms import features
from transforms.graph import TransformGraph
from transforms.modalities import MODALITIES
from transforms.records import serialise

_BATCH = 32


class UnlabelledExamples:
    """Transformed examples whose labels are what the teacher says."""

    def __init__(self, graph: tft.TFTransformOutput, modality: str, classes: Sequence[str], one_label: bool):
        """Loads the Transform graph."""
        self._raw, self._classes, self._one_label = MODALITIES[modality].raw, classes, one_label
        self._graph = TransformGraph(graph, self._raw)

    def write(
        self, answered: Iterable[tuple[str, bytes, np.ndarray[Any, Any]]], path: Path
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Writes a TFRecord file; none where there is no example.

        Args:
            answered: Key, raw feature and the teacher's probabilities, float32 [classes], of each.
            path: Of the file.

        Returns:
            The probabilities by key.
        """
        stream = iter(answered)
        said: dict[str, np.ndarray[Any, Any]] = {}
        with tf.io.TFRecordWriter(str(path)) as writer:
            while batch := list(islice(stream, _BATCH)):
                records = [self._raw_example(*each) for each in batch]
                for parts in zip(self._graph.of_raw(records), self._graph.of_others(records), strict=True):
                    # Parts of a message, one after the other, are the message.
                    writer.write(b"".join(parts))
                said |= {key: probabilities for key, _, probabilities in batch}
        if not said:
            path.unlink()
        return said

    def _raw_example(self, key: str, value: bytes, probabilities: np.ndarray[Any, Any]) -> bytes:
        names = [name.encode() for name in names_said(probabilities, self._classes, self._one_label)]
        labels = np.array(names, object)
        # Where examples have groups, each of these is one.
        own = {features.SHA256: key.encode(), features.GROUP: key.encode()}
        return serialise({self._raw: value, features.LABEL: labels, **own})
