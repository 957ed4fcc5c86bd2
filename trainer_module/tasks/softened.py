"""How far a model's outputs are from a teacher's when both are softened by a temperature (Hinton et al. 2015).

A served model gives probabilities. Their logarithms are its logits but for a constant, which a softmax does not see:
so `log(p) / T` is what softens a softmax, and `log(p / (1 - p)) / T` a sigmoid. Where a teacher was calibrated, its
probabilities are those of logits divided by its own temperature, and T softens it further.

The slope of a divergence shrinks with 1 / T^2. Multiplied by T^2, as both are here, it keeps its size whatever T is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

# Below it, a probability counts as this much: the logarithm of 0 is nothing to compute with.
LEAST = 1e-30
# 1 - p of float32 is no closer to 0.
_NEAREST = 1e-7


def divergence_of_softmax(teacher: tf.Tensor, student: tf.Tensor, temperature: float) -> tf.Tensor:
    """Returns `T^2 * KL(softened teacher || softened student)`.

    Args:
        teacher: float32 [batch, classes], probabilities that add up to 1.
        student: The same of the model.
        temperature: T, above 0.

    Returns:
        float32 [batch], from 0 on.
    """
    import tensorflow as tf

    def softened(probabilities: tf.Tensor) -> tf.Tensor:
        return tf.nn.log_softmax(tf.math.log(tf.maximum(probabilities, LEAST)) / temperature)

    wanted, found = softened(teacher), softened(student)
    return temperature**2 * tf.reduce_sum(tf.exp(wanted) * (wanted - found), axis=-1)


def divergence_of_sigmoids(teacher: tf.Tensor, student: tf.Tensor, temperature: float) -> tf.Tensor:
    """Returns the mean over labels of `T^2 * KL(softened teacher || softened student)`, each label for itself.

    Args:
        teacher: float32 [batch, labels], a probability of each label.
        student: The same of the model.
        temperature: T, above 0.

    Returns:
        float32 [batch], from 0 on.
    """
    import tensorflow as tf

    def softened(probabilities: tf.Tensor) -> tf.Tensor:
        inside = tf.clip_by_value(probabilities, _NEAREST, 1.0 - _NEAREST)
        return (tf.math.log(inside) - tf.math.log1p(-inside)) / temperature

    wanted, found = softened(teacher), softened(student)
    there, absent = tf.sigmoid(wanted), tf.sigmoid(-wanted)
    of_each = there * (tf.math.log_sigmoid(wanted) - tf.math.log_sigmoid(found))
    of_each += absent * (tf.math.log_sigmoid(-wanted) - tf.math.log_sigmoid(-found))
    return temperature**2 * tf.reduce_mean(of_each, axis=-1)
