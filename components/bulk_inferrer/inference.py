"""What Beam's workers do: read a file of examples once, and ask every model about it. They must not import TFX."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.utils.shared import Shared

from components.bulk_inferrer.answers import Answers
from components.bulk_inferrer.shard import Shard
from components.bulk_inferrer.tasks import TASKS
from evaluation.evidence import ALONE, CANDIDATE
from finetune.errors import RunError
from transforms import features
from transforms.records import read_records
from transforms.sides import SIDES, side_alone, unpack

BATCH = 32
# Signature of models that have vectors of pictures and texts.
EMBED = "embed"


class AskModels(beam.DoFn):
    """Asks models about each example of a file: (file, path of the Shard to write) -> nothing.

    Each worker reads files and models by their paths and writes to a path of its own; nothing else is shared.
    """

    def __init__(self, task: str, models: Mapping[str, str], columns: Sequence[str]):
        """Takes SavedModel folders by the names of the models, and the raw features to keep for slices."""
        self._task = task
        self._paths = dict(models)
        self._columns = list(columns)
        # One of each model a process, however many of its threads do this.
        self._shared = Shared()

    def setup(self) -> None:
        """Loads the models."""
        self._models = self._shared.acquire(self._load)

    def process(self, element: tuple[str, str]) -> Iterator[None]:
        """Writes what is known and said of the examples of a file.

        Raises:
            RunError: A model serves another task.
        """
        file, target = element
        paths: list[str] = []
        digests: list[str] = []
        labels: list[list[str]] = []
        objects: list[str] = []
        columns: dict[str, list[str]] = {column: [] for column in self._columns}
        answers: dict[str, list[Answers]] = defaultdict(list)
        vectors: dict[str, list[np.ndarray]] = defaultdict(list)
        contents: list[tuple[int, ...]] = []
        for batch in read_records([file]).batch(BATCH).prefetch(1):
            examples = [tf.train.Example.FromString(record).features.feature for record in batch.numpy()]
            for feature in examples:
                paths.append(_text(feature[features.PATH]))
                digests.append(_text(feature[features.SHA256]))
                labels.append([value.decode("utf-8", "replace") for value in feature[features.LABEL].bytes_list.value])
                objects.append(TASKS[self._task].places(feature))
                for column, values in columns.items():
                    values.append(_text(feature[column]))
                if features.IMAGE_TEXT in feature:
                    sides = unpack(feature[features.IMAGE_TEXT].bytes_list.value[0])
                    contents.append(tuple(_number_of(sides[side]) for side in SIDES))
            for name, model in self._models.of_name.items():
                served = model.signatures["serving_default"](examples=batch)
                answers[name].append(self._answer(name, served, examples))
                if EMBED in model.signatures:
                    embedded = model.signatures[EMBED](examples=batch)
                    vectors[name].append(np.stack([embedded[side].numpy() for side in SIDES], axis=1))
                for side, alone in ALONE.items() if name == CANDIDATE and features.IMAGE_TEXT in examples[0] else ():
                    of_side = tf.constant([side_alone(record, side) for record in batch.numpy()])
                    served = model.signatures["serving_default"](examples=of_side)
                    answers[alone].append(self._answer(alone, served, examples))
        if not any(columns.get(features.SPAN, ())):
            columns.pop(features.SPAN, None)
        models = {name: _joined(found, vectors[name]) for name, found in answers.items()}
        known = np.array(contents) if contents else None
        Shard(paths, digests, labels, columns, models, objects, known).write(Path(target))
        yield from ()

    def _load(self) -> _Models:
        return _Models({name: tf.saved_model.load(path) for name, path in self._paths.items()})

    def _answer(self, name: str, served: Mapping[str, tf.Tensor], examples: Sequence[Mapping[str, Any]]) -> Answers:
        """Returns what a model says of a batch; of masks, which are large, what they come to."""
        outputs = {key: value.numpy() for key, value in served.items()}
        task = TASKS[self._task]
        try:
            said, found = task.said(outputs), task.found(outputs, examples)
        except KeyError as missing:
            raise RunError(
                f"{self._paths.get(name, name)} serves {', '.join(sorted(outputs))} and not {missing}; expected a "
                "model of the task that the config names. Where the champion is of another task, take a new `name` or "
                "`output_dir`."
            ) from None
        classes = [name.decode() for name in outputs["classes"][0]]
        return Answers(outputs["probabilities"], classes, said, found)


def _joined(batches: Sequence[Answers], vectors: Sequence[np.ndarray]) -> Answers:
    """A task says something of every batch, or of none."""
    said = [each.said for each in batches if each.said is not None]
    found = [each.found for each in batches if each.found is not None]
    return Answers(
        np.concatenate([each.probabilities for each in batches]),
        batches[0].classes,
        np.concatenate(said) if said else None,
        np.concatenate(found) if found else None,
        np.concatenate(vectors) if vectors else None,
    )


class _Models:
    """Models by name: a dict cannot be shared, since nothing can refer to it weakly."""

    def __init__(self, of_name: dict[str, Any]):
        self.of_name = of_name


def _number_of(content: bytes) -> int:
    """Returns the same number for the same content, 0 for none."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big", signed=True) if content else 0


def _text(feature: Any) -> str:
    kind = feature.WhichOneof("kind")
    value = next(iter(getattr(feature, kind).value), "") if kind else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
