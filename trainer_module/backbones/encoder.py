"""The encoder of BERT and DistilBERT as a Keras network (Devlin et al. 2019; Sanh et al. 2019)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras as keras
from safetensors import safe_open

from finetune.config.backbone import Pooling
from trainer_module.backbones.hugging_face import WEIGHTS, Architecture, tensor_names
from trainer_module.layers import PoolPieces, Positions, SelfAttention, TextTypes, TrimWords, WhereWords, gelu_tanh
from transforms import features

# Deviation of initial weights, of BERT's own.
_DEVIATION = 0.02


def encoder(architecture: Architecture, pieces: int, pooling: Pooling, end: int) -> keras.Model:
    """Builds the encoder with random weights.

    There is no dropout in it, whatever the checkpoint was trained with: as BatchNorm, an encoder is called in inference
    mode. What leaves a block is zero where there is no piece, and so tells the next which places there are: each block
    can be a frozen network's last.

    Args:
        architecture: Sizes and activation.
        pieces: Of a text, with padding.
        pooling: What becomes of the vectors of a text's pieces.
        end: Id of the piece that ends a text.

    Returns:
        A functional model from ids int64 [batch, pieces], of which NO_WORD is none, to float32 [batch, width].
    """
    layer, width = keras.layers, architecture.width

    def initial() -> keras.initializers.Initializer:
        return keras.initializers.TruncatedNormal(stddev=_DEVIATION)

    def embedding(count: int, name: str) -> keras.layers.Layer:
        return layer.Embedding(count, width, embeddings_initializer=initial(), name=name)

    def dense(units: int, name: str, activation: Any = None) -> keras.layers.Layer:
        return layer.Dense(units, activation, kernel_initializer=initial(), name=name)

    def norm(name: str) -> keras.layers.Layer:
        return layer.LayerNormalization(epsilon=architecture.epsilon, name=name)

    inputs = keras.Input((pieces,), dtype=tf.int64, name=features.PIECE_IDS)
    ids = TrimWords(name="trim")(inputs)
    parts = [embedding(architecture.vocabulary, "word_embeddings")(ids)]
    if architecture.types:
        parts.append(embedding(architecture.types, "type_embeddings")(TextTypes(end, name="types")(ids)))
    parts.append(embedding(architecture.positions, "position_embeddings")(Positions(name="positions")(ids)))
    x = norm("embeddings_norm")(layer.Add(name="embeddings")(parts))
    x = WhereWords(name="embeddings_where_pieces")([x, ids])
    activation = {"gelu": "gelu", "relu": "relu"}.get(architecture.activation, gelu_tanh)
    for number in range(1, architecture.blocks + 1):
        name, below = f"block{number}", x
        projected = [dense(width, f"{name}_{part}")(x) for part in ("query", "key", "value")]
        mixed = SelfAttention(architecture.heads, name=f"{name}_attention")([*projected, below])
        mixed = dense(width, f"{name}_attention_output")(mixed)
        x = norm(f"{name}_attention_norm")(layer.Add(name=f"{name}_attention_sum")([x, mixed]))
        inner = dense(architecture.inner, f"{name}_intermediate", activation)(x)
        inner = dense(width, f"{name}_output")(inner)
        x = norm(f"{name}_output_norm")(layer.Add(name=f"{name}_sum")([x, inner]))
        x = WhereWords(name=f"{name}_where_pieces")([x, below])
    return keras.Model(inputs, PoolPieces(pooling, dtype="float32", name="pool")(x), name="BERT")


def load_checkpoint(network: keras.Model, folder: str, architecture: Architecture) -> None:
    """Gives the encoder the weights of a folder, in float32 whatever they are stored in.

    Raises:
        BackboneError: There are none that fit.
    """
    with safe_open(Path(folder) / WEIGHTS, framework="tf") as file:
        for (layer, variable), name in tensor_names(folder, architecture).items():
            value = tf.cast(file.get_tensor(name), tf.float32)
            target = getattr(network.get_layer(layer), variable)
            target.assign(tf.transpose(value) if variable == "kernel" else value)
