"""SavedModels in the formats that backbones come in, made for tests."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
import tf_keras as keras


def vector_network(size: int | None = 12) -> keras.Model:
    """A network with BatchNorm from float32 [batch, size, size, 3] to [batch, 6]."""
    pixels = keras.Input((size, size, 3), name="inputs")
    x = keras.layers.Conv2D(6, 3, use_bias=False, name="block_1_conv")(pixels)
    x = keras.layers.BatchNormalization(momentum=0.5, name="block_1_bn")(x)
    x = keras.layers.ReLU(name="block_1_relu")(x)
    x = keras.layers.Conv2D(6, 3, name="block_2_conv")(x)
    return keras.Model(pixels, keras.layers.GlobalAveragePooling2D(name="pool")(x))


def save_for_hub(network: keras.Model, folder: Path, penalty: float = 0.0) -> Path:
    """Saves a network as TF Hub's reusable SavedModel with the common signature for feature vectors.

    Args:
        network: Its input in [0, 1].
        folder: Where to.
        penalty: Of the first layer with a kernel; 0 saves no regularisation loss.
    """
    spec = tf.TensorSpec([None, *network.input_shape[1:]], tf.float32, name="inputs")

    @tf.function(autograph=False)
    def call(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        return network(inputs, training=training)

    @tf.function(autograph=False, input_signature=[spec])
    def serve(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"default": call(inputs)}

    for training in (False, True):
        call.get_concrete_function(spec, training=training)
    module = _Reusable()
    module.__call__ = call
    module.variables = list(network.variables)
    module.trainable_variables = list(network.trainable_variables)
    module.regularization_losses = []
    if penalty:
        kernel = network.trainable_variables[0]

        @tf.function(autograph=False, input_signature=[])
        def loss() -> tf.Tensor:
            return penalty * tf.nn.l2_loss(kernel)

        module.regularization_losses.append(loss)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    return folder


class _Reusable(tf.__internal__.tracking.AutoTrackable):
    """Holds what the format asks for, under its names."""
