"""What is added to a kernel in a network of TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from trainer_module.peft.low_rank import merged

# Where a layer keeps its updates, by the attribute that each stands for, or the name of the variable.
UPDATES = "_low_rank_updates"


@dataclass(frozen=True)
class Update:
    """An update is what is added to a kernel."""

    variable: tf.Variable  # The kernel, which stays as it is.
    a: tf.Variable  # float32 [rows, rank].
    b: tf.Variable  # float32 [rank, columns].
    scale: float

    @property
    def kernel(self) -> tf.Tensor:
        """Returns the kernel with the update, of the type that the layer computes in."""
        kernel = tf.convert_to_tensor(self.variable)
        update = tf.reshape(self.scale * tf.matmul(self.a, self.b), kernel.shape)
        return kernel + tf.cast(update, kernel.dtype)

    def merged(self) -> np.ndarray:
        """Returns the same as the kernel's own type has it."""
        return merged(self.variable.numpy(), self.a.numpy(), self.b.numpy(), self.scale)


def updates_in(layer: Any) -> dict[str, Update]:
    """Returns the updates of a layer, without those of layers within it."""
    found: dict[str, Update] = vars(layer).get(UPDATES, {})
    return found
