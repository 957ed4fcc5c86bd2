"""Classes by prompts: a class is the vector of texts that name it, and a picture is of the nearest one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras

from finetune.config.fusion import NAME
from trainer_module.alignment.vectors import Vectors
from transforms.columns import as_parsed
from transforms.features import TEXT
from transforms.inputs import Inputs
from transforms.sides import pack


def probabilities(vectors: Vectors, prompts: tf.Tensor) -> tf.Tensor:
    """Returns how probable each prompt is for each example: softmax of the scaled similarities.

    What a picture shows is asked of the picture; of an example without one, of its text.

    Args:
        vectors: Of n examples.
        prompts: float32 [prompts, width], of length 1.

    Returns:
        float32 [n, prompts].
    """
    asked = tf.where(vectors.there[:, :1], vectors.image, vectors.text)
    return tf.nn.softmax(vectors.scale * tf.matmul(asked, prompts, transpose_b=True), axis=1)


def with_classes(
    model: keras.Model,
    classes: Sequence[str],
    prompts: Sequence[str],
    transform_output: tft.TFTransformOutput,
    inputs: Inputs,
) -> keras.Model:
    """Returns the network from the same inputs to probabilities of classes, float32 [batch, classes].

    Args:
        model: A trained one, which gives what `Vectors` reads.
        classes: Names, in the order of the columns.
        prompts: Texts with a place for the name.
        transform_output: Makes transformed examples of texts.
        inputs: Reads them.
    """
    layer = ByPrompts(class_vectors(model, classes, prompts, transform_output, inputs), name="probabilities")
    return keras.Model(model.input, layer(model.output))


def class_vectors(
    model: keras.Model,
    classes: Sequence[str],
    prompts: Sequence[str],
    transform_output: tft.TFTransformOutput,
    inputs: Inputs,
) -> np.ndarray:
    """Returns float32 [classes, width]: the mean of the vectors of a class's prompts, brought to length 1 again."""
    transform, spec = transform_output.transform_features_layer(), transform_output.raw_feature_spec()[inputs.raw]
    of_classes = []
    for name in classes:
        texts = tf.constant([pack({TEXT: prompt.replace(NAME, name).encode()}) for prompt in prompts])
        value = inputs.read_batch(transform({inputs.raw: as_parsed(texts, spec)}))
        of_classes.append(tf.reduce_mean(Vectors.of(model(value, training=False)).text, axis=0))
    return tf.math.l2_normalize(tf.stack(of_classes), axis=-1).numpy()


class ByPrompts(keras.layers.Layer):
    """Classifies by the vectors of prompts, which do not train."""

    def __init__(self, prompts: np.ndarray, **kwargs: Any):
        """Takes float32 [classes, width]."""
        super().__init__(**kwargs)
        self._vectors = prompts

    def build(self, input_shape: Any) -> None:
        initial = keras.initializers.Constant(self._vectors)
        self._prompts = self.add_weight("prompts", self._vectors.shape, initializer=initial, trainable=False)
        super().build(input_shape)

    def call(self, output: tf.Tensor) -> tf.Tensor:
        """From what `Vectors` reads to float32 [batch, classes]."""
        return probabilities(Vectors.of(output), self._prompts)
