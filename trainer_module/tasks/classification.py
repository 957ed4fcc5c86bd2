"""What all tasks share whose network gives a probability for each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

    from trainer_module.heads import Head


class Classification:
    """The output of the network is probabilities, float32 [batch, classes]."""

    activation: str
    refused: Mapping[str, str] = {}

    def head(self) -> Head:
        """Returns dense layers."""
        from trainer_module.heads import DenseHead

        return DenseHead(self.activation)

    def probabilities(self, output: tf.Tensor) -> tf.Tensor:
        """Returns the output."""
        return output

    def answers(self, output: tf.Tensor) -> tf.Tensor:
        """Returns the output."""
        return output
