"""BERT (Devlin et al. 2019) with weights in Hugging Face's layout, as an encoder of texts in TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf


class Bert(tf.Module):
    """Encodes texts as the mean over their pieces, as sentence encoders do (Reimers and Gurevych 2019).

    Attributes:
        weights: By Hugging Face's name, float32; kernels are [inputs, outputs], as TensorFlow multiplies.
    """

    def __init__(self, config: Mapping[str, object], tensors: Mapping[str, np.ndarray]):
        """Makes variables of the tensors.

        Args:
            config: Hugging Face's `config.json`: `model_type` bert, `hidden_act` gelu, absolute positions.
            tensors: Of `model.safetensors`, by name, kernels [outputs, inputs].

        Raises:
            ValueError: The config describes another network.
        """
        super().__init__(name="bert")
        expected = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
        found = {name: config.get(name, value) for name, value in expected.items()}
        if found != expected:
            raise ValueError(f"config.json: got {found}; expected {expected}")
        self._layers = int(config["num_hidden_layers"])
        self._heads = int(config["num_attention_heads"])
        self._epsilon = float(config["layer_norm_eps"])
        self.weights = {
            name: tf.Variable(tensor.T if _is_kernel(name, tensor) else tensor, name=name)
            for name, tensor in tensors.items()
            if name.startswith(("embeddings.", "encoder.")) and tensor.dtype == np.float32
        }

    def __call__(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        """Encodes texts; in training too without dropout.

        Args:
            inputs: `input_word_ids`, `input_mask` and `input_type_ids`, each int32 [batch, length].
            training: Whether variables are trained, which changes nothing.

        Returns:
            `pooled_output`, the mean over the pieces that are not padding, float32 [batch, width].
        """
        # Columns in which every text has padding cost time and change nothing.
        longest = tf.reduce_max(tf.reduce_sum(inputs["input_mask"], axis=1))
        ids, mask, types = (inputs[name][:, :longest] for name in ("input_word_ids", "input_mask", "input_type_ids"))
        mask = tf.cast(mask, tf.float32)
        x = (
            tf.gather(self.weights["embeddings.word_embeddings.weight"], ids)
            + tf.gather(self.weights["embeddings.token_type_embeddings.weight"], types)
            + self.weights["embeddings.position_embeddings.weight"][:longest]
        )
        x = self._norm("embeddings.LayerNorm", x)
        for layer in range(self._layers):
            x = self._layer(f"encoder.layer.{layer}", x, mask)
        pooled = tf.reduce_sum(x * mask[..., tf.newaxis], axis=1) / tf.reduce_sum(mask, axis=1, keepdims=True)
        return {"pooled_output": pooled}

    def _layer(self, name: str, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Attends and computes: float32 [batch, length, width] to the same."""
        mixed = self._dense(f"{name}.attention.output.dense", self._attention(f"{name}.attention.self", x, mask))
        x = self._norm(f"{name}.attention.output.LayerNorm", x + mixed)
        inner = tf.nn.gelu(self._dense(f"{name}.intermediate.dense", x))
        return self._norm(f"{name}.output.LayerNorm", x + self._dense(f"{name}.output.dense", inner))

    def _attention(self, name: str, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        query, key, value = (self._split(self._dense(f"{name}.{part}", x)) for part in ("query", "key", "value"))
        scores = tf.matmul(query, key, transpose_b=True) * (query.shape[-1] ** -0.5)
        scores += (1.0 - mask[:, tf.newaxis, tf.newaxis]) * -1e9
        mixed = tf.transpose(tf.matmul(tf.nn.softmax(scores), value), [0, 2, 1, 3])
        return tf.reshape(mixed, tf.shape(x))

    def _split(self, x: tf.Tensor) -> tf.Tensor:
        """Gives each head its part: [batch, length, width] to [batch, heads, length, width / heads]."""
        shape = tf.shape(x)
        parts = tf.reshape(x, [shape[0], shape[1], self._heads, x.shape[2] // self._heads])
        return tf.transpose(parts, [0, 2, 1, 3])

    def _dense(self, name: str, x: tf.Tensor) -> tf.Tensor:
        return tf.tensordot(x, self.weights[f"{name}.weight"], 1) + self.weights[f"{name}.bias"]

    def _norm(self, name: str, x: tf.Tensor) -> tf.Tensor:
        mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
        scale = tf.math.rsqrt(variance + self._epsilon) * self.weights[f"{name}.weight"]
        return (x - mean) * scale + self.weights[f"{name}.bias"]


def _is_kernel(name: str, tensor: np.ndarray) -> bool:
    return name.startswith("encoder.") and tensor.ndim == 2
