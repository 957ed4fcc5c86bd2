"""Mirror images of pictures, and the network that looks at both (test-time augmentation)."""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from trainer_module.heads import up_to_last_layer
from trainer_module.phases.setup import Setup
from transforms.features import IMAGE


def stand_for_pictures(setup: Setup) -> bool:
    """Says whether each example is a picture alone, whose mirror image has the same label."""
    return setup.flips and setup.train.inputs.modality == IMAGE and setup.train.labels.task.places is None


def mirrored(pictures: tf.Tensor) -> tf.Tensor:
    """Turns pictures [batch, height, width, channels] left to right."""
    return tf.reverse(pictures, [2])


def averaged(model: keras.Model) -> keras.Model:
    """Returns the network whose logits are the mean of those of a picture and of its mirror image.

    They are linear in what the last layer takes, so the mean is taken below it. The weights are shared, and both images
    go through the network in one batch. Krizhevsky et al. 2012, section 4.1, average probabilities of flips and crops.
    """
    pictures, last = model.input, model.layers[-1]
    both = keras.layers.Concatenate(axis=0)([pictures, mirrored(pictures)])
    values = up_to_last_layer(model)(both)
    plain, other = tf.split(values, 2)
    return keras.Model(pictures, last((plain + other) / 2))
