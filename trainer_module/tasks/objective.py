"""What training minimises and measures, and how much each class counts in it. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetune.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import tensorflow as tf

# From the labels and the probabilities float32 [batch, classes] of a batch to float32 [batch].
OfEachExample = Callable[["tf.Tensor", "tf.Tensor"], "tf.Tensor"]


@dataclass(frozen=True)
class Objective:
    """An objective is made of three numbers for each example."""

    loss: OfEachExample  # What training minimises the mean of.
    val_loss: OfEachExample  # What early stopping watches the mean of: without smoothing, focus or weights.
    accuracy: OfEachExample  # What is shown beside it, in [0, 1].


def between(none: Objective, all_smoothed: Objective, smoothing: Callable[[], tf.Tensor]) -> Objective:
    """Returns the objective at a label smoothing that compiled steps ask for, in [0, 1].

    Losses are linear in their targets, so that of any smoothing lies between those of none and of 1.
    """

    def loss(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
        plain = none.loss(labels, probabilities)
        return plain + smoothing() * (all_smoothed.loss(labels, probabilities) - plain)

    return Objective(loss, none.val_loss, none.accuracy)


def named_weights(wanted: Mapping[str, float], names: Sequence[str]) -> list[float]:
    """Returns the weight of each class in their order; classes that the mapping leaves out count 1.

    Raises:
        DataError: A name is none of the classes.
    """
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise DataError(
            f"training.class_weights: got {unknown[0]!r}; expected names of classes: {', '.join(names)}."
            + did_you_mean(unknown[0], names)
        )
    return [wanted.get(name, 1.0) for name in names]


def check_all_present(names: Sequence[str], counts: Sequence[int]) -> None:
    """Refuses to balance what is not there.

    Raises:
        DataError: A class has no example.
    """
    absent = [name for name, count in zip(names, counts, strict=True) if not count]
    if absent:
        raise DataError(
            f"training.class_weights: got 'balanced'; {', '.join(absent)} has no example in train. Give weights "
            "by name, or examples of every class."
        )
