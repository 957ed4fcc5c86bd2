"""Asks a served model about raw examples; what it said of each is kept from run to run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.teacher.classes import KEY, check_outputs, columns_of
from finetune.errors import RunError
from finetune.example_cache import ExampleCache
from registry.versions import model_digest

# Pictures that are in memory, and go through the teacher, together.
BATCH = 32


class Teacher:
    """Gives the probabilities of a served model in the order of our classes."""

    def __init__(self, name: str, folder: Path, task: str, classes: Sequence[str]):
        """Loads the model.

        Args:
            name: What messages call it.
            folder: Of the SavedModel.
            task: Of the model that learns.
            classes: Its classes, in their order.

        Raises:
            RunError: The folder holds no SavedModel, or one of another task.
        """
        self._name, self._task, self._classes = name, task, list(classes)
        try:
            # Held on to: a signature does not keep its model alive.
            self._model = tf.saved_model.load(str(folder))
            self._signature = self._model.signatures["serving_default"]
        except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
            raise RunError(
                f"{KEY}: {name} is not served ({error}). Expected a SavedModel with the signature `serving_default`."
            ) from error
        check_outputs(name, self._signature.structured_outputs, task)
        self.digest = model_digest(folder)
        self._columns: np.ndarray[Any, Any] | None = None

    def answers(
        self, values: Iterable[tuple[str, bytes]], cache: ExampleCache | None, tell: Callable[[int], None]
    ) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
        """Yields key and probabilities of each example, as `answered` does."""
        return ((key, found) for key, _, found in self.answered(values, cache, tell))

    def answered(
        self, values: Iterable[tuple[str, bytes]], cache: ExampleCache | None, tell: Callable[[int], None]
    ) -> Iterator[tuple[str, bytes, np.ndarray[Any, Any]]]:
        """Yields key, raw feature and probabilities, float32 [classes], of each example, in their order.

        Args:
            values: Key and raw feature of each, such as the bytes of a picture.
            cache: What was kept under these keys; None keeps nothing.
            tell: Is called with the number of examples of each batch.

        Raises:
            DataError: The teacher's classes are not ours.
            RunError: The teacher cannot answer.
        """
        stream = iter(values)
        while batch := list(islice(stream, BATCH)):
            kept = {key: cache.get(key.encode()) if cache else None for key, _ in batch}
            found = {key: np.frombuffer(row, np.float32) for key, row in kept.items() if row is not None}
            new = {key: value for key, value in batch if key not in found}
            if new:
                for key, row in zip(new, self._ask(list(new.values())), strict=True):
                    found[key] = row
                    if cache:
                        cache.put(key.encode(), row.tobytes())
            tell(len(batch))
            yield from ((key, value, found[key]) for key, value in batch)

    def cache(self, folder: Path, max_bytes: float) -> ExampleCache:
        """Opens what is kept of its answers, under all that they depend on besides the examples."""
        made_by = {"teacher": self.digest, "classes": self._classes, "batch": BATCH, "tensorflow": tf.__version__}
        return ExampleCache(folder, json.dumps(made_by, sort_keys=True), max_bytes)

    def _ask(self, values: list[bytes]) -> np.ndarray[Any, Any]:
        # A batch of another size may be computed in another order, and so to other bits.
        filled = values + values[:1] * (BATCH - len(values))
        try:
            served: dict[str, Any] = self._signature(examples=tf.constant(filled))
        except tf.errors.OpError as error:
            raise RunError(
                f"{KEY}: {self._name} cannot answer about these examples: {error.message}. Expected a model of the "
                "same kind of examples."
            ) from error
        if self._columns is None:
            names = [name.decode() for name in served["classes"][0].numpy()]
            self._columns = columns_of(self._name, names, self._classes)
        probabilities: np.ndarray[Any, Any] = served["probabilities"].numpy()[: len(values), self._columns]
        return np.ascontiguousarray(probabilities, np.float32)
