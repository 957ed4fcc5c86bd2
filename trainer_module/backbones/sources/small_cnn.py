"""A small residual-free convolutional backbone for pictures of about 32 pixels: quick enough to pretrain in a demo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetune.config.backbone import BackboneConfig
from trainer_module.backbones.source import NamedSource
from transforms.backbone import Backbone

if TYPE_CHECKING:
    import tf_keras as keras

WIDTHS = (16, 32, 64)


class SmallCNN(NamedSource):
    """Our own network, whose weights are random or a file."""

    name = "SmallCNN"
    records = {"SmallCNN": Backbone("SmallCNN", image_size=32, scaling="minus_one_to_one")}

    def build(self, config: BackboneConfig) -> tuple[keras.Model, str | None]:
        """Builds the network of `small_cnn` with the weights of the config."""
        from trainer_module.backbones.weights_file import with_weights

        return with_weights(small_cnn(self.record(config).image_size), config)


def small_cnn(image_size: int) -> keras.Model:
    """Builds the network with random weights.

    Args:
        image_size: Height and width of the input in pixels; at least 8.

    Returns:
        A functional model from float32 [batch, size, size, 3] in [-1, 1] to float32 [batch, size/8, size/8, 64]; layers
        are named `block<N>_<kind>`, N from 1 at the input to 3 at the output.
    """
    import tf_keras as keras

    x = pixels = keras.Input((image_size, image_size, 3), name="image")
    for block, width in enumerate(WIDTHS, start=1):
        for half in ("a", "b"):
            x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"block{block}_conv_{half}")(x)
            x = keras.layers.BatchNormalization(momentum=0.9, name=f"block{block}_bn_{half}")(x)
            x = keras.layers.ReLU(name=f"block{block}_relu_{half}")(x)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return keras.Model(pixels, x, name="SmallCNN")
