"""What a task asks of the Transform graph: how the names of labels become what training compares with.

One task more is one file with an object like those in `TASKS`, and one line there; `check_task` is its contract.
No TensorFlow here; the methods import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from transforms import features
from transforms.tasks.multi_label import MultiLabel
from transforms.tasks.single_label import SingleLabel

if TYPE_CHECKING:
    import tensorflow as tf


class TransformTask(Protocol):
    """What the Transform graph and its readers ask of a task."""

    key: str  # Name of what the Evaluator compares with.

    def transform(self, names: tf.Tensor | tf.SparseTensor) -> tf.Tensor | tf.SparseTensor:
        """Looks names up in the vocabulary `classes`, which it makes of those of the train split.

        From string [batch, labels], as the schema parses the raw feature `label`, to int64, what is written as
        `label_index`; -1 for a name that train does not have.
        """

    def spec(self) -> Any:
        """Says how `label_index` of one example is parsed."""

    def read(self, indices: tf.Tensor | tf.SparseTensor, classes: int) -> tf.Tensor:
        """Turns parsed `label_index`, of one example or of a batch, into what training compares with."""


TASKS: dict[str, TransformTask] = {
    "single_label": SingleLabel(),
    "multi_label": MultiLabel(),
}


@dataclass(frozen=True)
class Labels:
    """The way from what Transform writes to what training compares with."""

    task: TransformTask  # One of `TASKS`.
    classes: int  # How many classes there are.

    def feature_spec(self) -> dict[str, Any]:
        """Says how the transformed label of one example is parsed."""
        return {features.LABEL_INDEX: self.task.spec()}

    def read(self, parsed: Mapping[str, tf.Tensor | tf.SparseTensor]) -> tf.Tensor:
        """Reads the label of one parsed example, or those of a batch."""
        return self.task.read(parsed[features.LABEL_INDEX], self.classes)
