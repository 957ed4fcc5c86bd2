"""Which layers of the backbone a phase trains."""

from __future__ import annotations

from typing import Any

from pipeline.config import Unfreeze
from pipeline.errors import BackboneError


def trainable_layers(layers: int, unfreeze: Unfreeze) -> list[bool]:
    """Decides for each layer, in order from input to output, whether it trains.

    Args:
        layers: How many layers the backbone has.
        unfreeze: From the phase.

    Raises:
        BackboneError: More layers are asked for than there are.
    """
    count = layers if unfreeze.last_layers == "all" else unfreeze.last_layers
    if count > layers:
        raise BackboneError(f"unfreeze.last_layers: got {count}; the backbone has {layers} layers. For all, say `all`.")
    return [index >= layers - count for index in range(layers)]


def apply_freeze(backbone: Any, unfreeze: Unfreeze) -> None:
    """Sets `trainable` on each layer of a Keras model; takes effect at the next compile."""
    backbone.trainable = True
    for layer, trains in zip(backbone.layers, trainable_layers(len(backbone.layers), unfreeze), strict=True):
        layer.trainable = trains
