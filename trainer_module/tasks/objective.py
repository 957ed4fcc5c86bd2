"""What training minimises and measures. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
