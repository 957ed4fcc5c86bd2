"""What a task asks of the Transform graph: how the names of labels become what training compares with.

One task more is one file with an object like those in `TASKS`, and one line there; `check_task` is its contract.
No TensorFlow here; the methods import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from transforms.tasks.detection import Detection
from transforms.tasks.multi_label import MultiLabel
from transforms.tasks.segmentation import Segmentation
from transforms.tasks.single_label import SingleLabel

if TYPE_CHECKING:
    import tensorflow as tf


class TransformTask(Protocol):
    """What the Transform graph and its readers ask of a task."""

    key: str  # Name of what the Evaluator compares with.
    # What `read` gives of places in a picture, which move with it: `boxes`, a `mask`, or None.
    places: str | None

    def transform(
        self, raw: Mapping[str, tf.Tensor | tf.SparseTensor], settings: Mapping[str, Any]
    ) -> dict[str, tf.Tensor | tf.SparseTensor]:
        """Makes the features that say what is true of examples.

        Names are looked up in the vocabulary `classes`, which it makes of those of the train split; one that train
        does not have is -1.

        Args:
            raw: Features by name as the schema parses them, `label` string [batch, labels] among them.
            settings: Of the modality (`transforms.modalities.transform_settings`).

        Returns:
            By name, `label_index` int64 among them.
        """

    def spec(self) -> dict[str, Any]:
        """Says how those that `read` takes of one example are parsed, by name."""

    def read(self, parsed: Mapping[str, tf.Tensor | tf.SparseTensor], classes: int) -> tf.Tensor:
        """Turns parsed features, of one example or of a batch, into what training compares with."""

    def compared(self, parsed: Mapping[str, tf.Tensor | tf.SparseTensor], classes: int) -> tf.Tensor:
        """Turns parsed `label_index` into what the Evaluator compares with."""


TASKS: dict[str, TransformTask] = {
    "single_label": SingleLabel(),
    "multi_label": MultiLabel(),
    "detection": Detection(),
    "segmentation": Segmentation(),
}


@dataclass(frozen=True)
class Labels:
    """The way from what Transform writes to what training compares with."""

    task: TransformTask  # One of `TASKS`.
    classes: int  # How many classes there are.

    def feature_spec(self) -> dict[str, Any]:
        """Says how the transformed label of one example is parsed."""
        return self.task.spec()

    def read(self, parsed: Mapping[str, tf.Tensor | tf.SparseTensor]) -> tf.Tensor:
        """Reads the label of one parsed example, or those of a batch."""
        return self.task.read(parsed, self.classes)

    def compared(self, parsed: Mapping[str, tf.Tensor | tf.SparseTensor]) -> tf.Tensor:
        """Reads of a batch what the Evaluator compares with."""
        return self.task.compared(parsed, self.classes)
