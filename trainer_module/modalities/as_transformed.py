"""The input of a network that takes a value as Transform made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transforms.backbone import Backbone

if TYPE_CHECKING:
    import tf_keras as keras


class AsTransformed:
    """Changes nothing between Transform and the backbone."""

    def network_input(self, tensor: keras.KerasTensor) -> keras.KerasTensor:
        import tf_keras as keras

        return keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name)

    def prepare(self, value: keras.KerasTensor, record: Backbone) -> keras.KerasTensor:
        return value
