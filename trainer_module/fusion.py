"""What joins a picture and its words: pooled vectors side by side, or words that look at places of the picture."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tf_keras as keras

from finetune.config.fusion import FusionConfig
from finetune.errors import BackboneError
from trainer_module.layers import PoolPieces, WhereWords
from trainer_module.modalities import MODALITIES
from transforms.backbone import Backbone
from transforms.features import IMAGE, TEXT
from transforms.sides import SIDES


def fuse(
    picture: keras.KerasTensor,
    words: keras.KerasTensor,
    there: keras.KerasTensor,
    record: Backbone,
    fusion: FusionConfig,
    seed: int,
) -> keras.KerasTensor:
    """Makes one vector of both sides.

    Args:
        picture: Features of the picture's network, a vector, or with axes of places.
        words: Features of the text's network, a vector, or those of each word, zero where there is none.
        there: int64 [batch, 2], 1 for each of `SIDES` that is there.
        record: Of both networks.
        fusion: How they are joined.
        seed: Seeds which sides are left out in training.

    Returns:
        float32 [batch, channels].

    Raises:
        BackboneError: Cross attention is asked for of a network that gives a vector, or a map of one place.
    """
    there = LeaveOutSides(fusion.missing, seed, name="sides_left")(there)
    if fusion.name == "concat":
        pooled = {IMAGE: pooled_side(picture, IMAGE, record), TEXT: pooled_side(words, TEXT, record)}
        both = [StandIn(side, name=f"{side}_or_stand_in")([vector, there]) for side, vector in pooled.items()]
        return keras.layers.Concatenate(name="both_sides")(both)
    for side, features, ranks in ((IMAGE, picture, (3, 4)), (TEXT, words, (3,))):
        shape = list(features.shape)
        if len(shape) not in ranks or (side == IMAGE and math.prod(shape[1:-1]) == 1):
            raise BackboneError(
                f"training.fusion: got 'cross_attention'; {record.sides[side].name} gives a vector {shape}, and words "
                f"look at places. Expected `concat`, or a backbone of {side} with "
                f"{'a map of features' if side == IMAGE else 'a vector of each word, such as BERT or GloVe'}."
            )
    places = picture
    if len(picture.shape) == 4:
        places = keras.layers.Reshape((-1, picture.shape[-1]), name="image_places")(picture)
    keys = PlacePositions(name="image_positions")(_projected(places, IMAGE, fusion))
    keys = StandIn(IMAGE, name="image_or_stand_in")([keys, there])
    queries = WhereWords(name="text_where_words")([_projected(words, TEXT, fusion), words])
    queries = StandIn(TEXT, first_alone=True, name="text_or_stand_in")([queries, there])
    attention = keras.layers.MultiHeadAttention(fusion.heads, fusion.width // fusion.heads, name="cross_attention")
    answered = keras.layers.Add(name="answered")([queries, attention(queries, keys)])
    answered = keras.layers.LayerNormalization(name="answered_norm")(answered)
    answered = WhereWords(name="answered_where_words")([answered, queries])
    return PoolPieces("mean", name="answered_pool")(answered)


def pooled_side(features: keras.KerasTensor, side: str, record: Backbone) -> keras.KerasTensor:
    """Makes one vector, float32 [batch, channels], of the features of a side's network, as the network has it."""
    if len(features.shape) == 2:
        return features
    if pooling := record.sides[side].pooling:
        return PoolPieces(pooling, name=f"{side}_pool")(features)
    return MODALITIES[side].pool(features, f"{side}_pool")


def _projected(features: keras.KerasTensor, side: str, fusion: FusionConfig) -> keras.KerasTensor:
    projected = keras.layers.Dense(fusion.width, name=f"{side}_projection")(features)
    return keras.layers.LayerNormalization(name=f"{side}_norm")(projected)


class LeaveOutSides(keras.layers.Layer):
    """Leaves out, in training, one side of some examples that have both.

    As of `SeededDropout`, which ones is a function of the seed and of how often the layer was called.
    """

    def __init__(self, rate: float, seed: int, **kwargs: Any):
        """Leaves out a side of a share `rate` of the examples, each side as often as the other."""
        super().__init__(**kwargs)
        self._rate, self._seed = rate, seed

    def build(self, input_shape: Any) -> None:
        self._calls = self.add_weight(
            "calls",
            (),
            tf.int64,
            initializer="zeros",
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        super().build(input_shape)

    def call(self, there: tf.Tensor, training: bool = False) -> tf.Tensor:
        """From int64 [batch, 2] to the same."""
        if not training or not self._rate:
            return there
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        # Apart from the seeds of dropout.
        seed = tf.stack([self._seed + 1_000_003 * tf.cast(replica, tf.int64) + (1 << 42), self._calls])
        drawn = tf.random.stateless_uniform(tf.shape(there)[:1], seed)
        self._calls.assign_add(1)
        left_out = tf.stack([drawn < self._rate / 2, drawn >= 1 - self._rate / 2], axis=1)
        has_both = tf.reduce_all(there > 0, axis=1, keepdims=True)
        return tf.where(left_out & has_both, tf.zeros_like(there), there)


class StandIn(keras.layers.Layer):
    """Puts a learned embedding in place of the features of a side that is not there."""

    def __init__(self, side: str, first_alone: bool = False, **kwargs: Any):
        """Takes one of `SIDES`, and whether the first place alone gets the embedding, and the others zeros."""
        super().__init__(**kwargs)
        self._column, self._first_alone = SIDES.index(side), first_alone

    def build(self, input_shape: Any) -> None:
        initial = keras.initializers.RandomNormal(stddev=0.05, seed=self._column)
        self._embedding = self.add_weight("embedding", (input_shape[0][-1],), initializer=initial)
        super().build(input_shape)

    def call(self, inputs: Any) -> tf.Tensor:
        """From features float32 [batch, ..., channels] and `there` int64 [batch, 2] to such features."""
        features, there = inputs
        is_there = there[:, self._column] > 0
        instead = self._embedding * tf.ones_like(features)
        if self._first_alone:
            instead *= tf.one_hot(0, tf.shape(features)[1])[tf.newaxis, :, tf.newaxis]
        return tf.where(tf.reshape(is_there, [-1] + [1] * (len(features.shape) - 1)), features, instead)


class PlacePositions(keras.layers.Layer):
    """Adds to each place of a picture a learned vector, as places alone do not tell left from right."""

    def build(self, input_shape: Any) -> None:
        # As large as what it is added to, whose layer is normalised: a small one is not learned in so few steps.
        initial = keras.initializers.RandomNormal(stddev=1.0, seed=1)
        self._positions = self.add_weight("positions", input_shape[1:], initializer=initial)
        super().build(input_shape)

    def call(self, places: tf.Tensor) -> tf.Tensor:
        """From float32 [batch, places, channels] to the same shape."""
        return places + self._positions
