"""Encoders of texts as SavedModels, made for tests in the formats that TF Hub and Kaggle Models have them in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

WORDS = ["boat", "sail", "wave", "harbour", "fish", "cloud", "wing", "plane", "wind", "bird", "the", "a", "of", "and"]
LENGTH = 16


class StringEncoder(tf.Module):
    """As NNLM: strings in, the mean of their words' vectors out."""

    def __init__(self, dimensions: int = 12):
        super().__init__()
        random = np.random.default_rng(0)
        table = tf.lookup.KeyValueTensorInitializer(WORDS, tf.range(len(WORDS), dtype=tf.int64))
        self.words = tf.lookup.StaticVocabularyTable(table, num_oov_buckets=1)
        self.vectors = tf.Variable(random.normal(0, 1, (len(WORDS) + 1, dimensions)).astype(np.float32), name="vectors")

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        ids = tf.ragged.map_flat_values(self.words.lookup, tf.strings.split(texts))
        vectors = tf.ragged.map_flat_values(lambda flat: tf.gather(self.vectors, flat), ids)
        return tf.math.divide_no_nan(
            tf.reduce_sum(vectors, axis=1), tf.cast(ids.row_lengths(), tf.float32)[:, tf.newaxis]
        )


class WordPieces(tf.Module):
    """As BERT's preprocessor: strings in; ids of word pieces, their mask and their types out, in plain operations."""

    SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
    MOST_PIECES, LONGEST_PIECE = 4, 8

    def __init__(self):
        super().__init__()
        letters = "abcdefghijklmnopqrstuvwxyz"
        inner = [f"##{letter}" for letter in letters]
        self.pieces = list(dict.fromkeys([*self.SPECIAL, *WORDS, "##ing", *letters, *inner]))
        table = tf.lookup.KeyValueTensorInitializer(self.pieces, tf.range(len(self.pieces), dtype=tf.int64))
        self.table = tf.lookup.StaticHashTable(table, -1)

    def _greedy(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Cuts each word into the longest pieces that there are, from its beginning; [UNK] where there are none."""
        start = tf.zeros_like(words, tf.int32)
        length = tf.strings.length(words, unit="UTF8_CHAR")
        found = []
        for step in range(self.MOST_PIECES):
            best, taken = tf.fill(tf.shape(words), tf.constant(-1, tf.int64)), tf.zeros_like(start)
            for size in range(1, self.LONGEST_PIECE + 1):
                piece = tf.strings.substr(words, start, tf.fill(tf.shape(start), size), unit="UTF8_CHAR")
                ids = self.table.lookup(("##" if step else "") + piece)
                fits = (ids >= 0) & (start + size <= length)
                best, taken = tf.where(fits, ids, best), tf.where(fits, size, taken)
            found.append(best)
            start += taken
            # A position beyond the end is no error for an empty rest.
            start = tf.minimum(start, length)
        whole = tf.equal(start, length)[:, tf.newaxis]
        ids = tf.where(whole, tf.stack(found, axis=1), [[1] + [-1] * (self.MOST_PIECES - 1)])
        return tf.ragged.boolean_mask(ids, ids >= 0)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        words = tf.strings.split(tf.strings.lower(texts, encoding="utf-8"))
        pieces = tf.RaggedTensor.from_row_splits(self._greedy(words.values), words.row_splits)
        ids = pieces.merge_dims(1, 2)[:, : LENGTH - 2]
        edge = tf.ones([tf.shape(texts)[0], 1], tf.int64)
        ids = tf.concat([2 * edge, ids, 3 * edge], axis=1).to_tensor(0, shape=[None, LENGTH])
        ids = tf.cast(tf.ensure_shape(ids, [None, LENGTH]), tf.int32)
        return {
            "input_word_ids": ids,
            "input_mask": tf.cast(ids != 0, tf.int32),
            "input_type_ids": tf.zeros_like(ids),
        }


class Bert(tf.Module):
    """A BERT encoder (Devlin et al. 2019) of two layers with random weights."""

    def __init__(self, pieces: int, layers: int = 2, width: int = 16, heads: int = 2):
        super().__init__(name="bert")
        random = np.random.default_rng(0)
        self.heads = heads
        self.layers = layers
        self.weights: dict[str, tf.Variable] = {}

        def weight(name: str, *shape: int, value: float | None = None) -> None:
            initial = random.normal(0, 0.2, shape) if value is None else np.full(shape, value)
            self.weights[name] = tf.Variable(initial.astype(np.float32), name=f"bert/{name}")

        def dense(name: str, rows: int, columns: int) -> None:
            weight(f"{name}/kernel", rows, columns)
            weight(f"{name}/bias", columns, value=0.0)

        def norm(name: str) -> None:
            weight(f"{name}/gamma", width, value=1.0)
            weight(f"{name}/beta", width, value=0.0)

        weight("word_embeddings", pieces, width)
        weight("position_embeddings", LENGTH, width)
        weight("type_embeddings", 2, width)
        norm("embeddings_norm")
        for layer in range(layers):
            for part in ("query", "key", "value", "attention_output"):
                dense(f"layer_{layer}/{part}", width, width)
            dense(f"layer_{layer}/intermediate", width, 4 * width)
            dense(f"layer_{layer}/output", 4 * width, width)
            norm(f"layer_{layer}/attention_norm")
            norm(f"layer_{layer}/output_norm")
        dense("pooler", width, width)

    def _dense(self, name: str, x: tf.Tensor) -> tf.Tensor:
        return tf.tensordot(x, self.weights[f"{name}/kernel"], 1) + self.weights[f"{name}/bias"]

    def _norm(self, name: str, x: tf.Tensor) -> tf.Tensor:
        mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
        gamma, beta = self.weights[f"{name}/gamma"], self.weights[f"{name}/beta"]
        return (x - mean) * tf.math.rsqrt(variance + 1e-12) * gamma + beta

    def _heads(self, x: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(x)
        return tf.transpose(tf.reshape(x, [shape[0], shape[1], self.heads, x.shape[2] // self.heads]), [0, 2, 1, 3])

    def _attention(self, name: str, x: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        query, key, value = (self._heads(self._dense(f"{name}/{part}", x)) for part in ("query", "key", "value"))
        scores = tf.matmul(query, key, transpose_b=True) * (query.shape[-1] ** -0.5)
        scores += (1.0 - tf.cast(mask, tf.float32))[:, tf.newaxis, tf.newaxis] * -1e9
        mixed = tf.transpose(tf.matmul(tf.nn.softmax(scores), value), [0, 2, 1, 3])
        return self._dense(f"{name}/attention_output", tf.reshape(mixed, tf.shape(x)))

    def encode(self, inputs: dict[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        """From int32 [batch, length] each; dropout, which a test cannot repeat, is left out in training too."""
        x = (
            tf.gather(self.weights["word_embeddings"], inputs["input_word_ids"])
            + tf.gather(self.weights["type_embeddings"], inputs["input_type_ids"])
            + self.weights["position_embeddings"]
        )
        x = self._norm("embeddings_norm", x)
        for layer in range(self.layers):
            name = f"layer_{layer}"
            x = self._norm(f"{name}/attention_norm", x + self._attention(name, x, inputs["input_mask"]))
            inner = tf.nn.gelu(self._dense(f"{name}/intermediate", x))
            x = self._norm(f"{name}/output_norm", x + self._dense(f"{name}/output", inner))
        pooled = tf.tanh(self._dense("pooler", x[:, 0]))
        return {"pooled_output": pooled, "sequence_output": x, "default": pooled}


class _Reusable(tf.__internal__.tracking.AutoTrackable):
    """Holds what TF Hub's format asks for, under its names."""


def save_string_encoder(folder: Path) -> Path:
    module = StringEncoder()
    reusable = _Reusable()
    reusable.__call__ = module.__call__
    reusable.words, reusable.variables, reusable.trainable_variables = module.words, [module.vectors], [module.vectors]
    tf.saved_model.save(reusable, str(folder))
    return folder


def save_bert(folder: Path) -> tuple[Path, Path]:
    """Writes an encoder and its preprocessor; returns both folders."""
    pieces = WordPieces()
    tf.saved_model.save(pieces, str(folder / "preprocess"))
    bert = Bert(len(pieces.pieces))
    names = ("input_word_ids", "input_mask", "input_type_ids")
    spec = {name: tf.TensorSpec([None, LENGTH], tf.int32, name=name) for name in names}
    call = tf.function(bert.encode, autograph=False)
    for training in (False, True):
        call.get_concrete_function(spec, training=training)
    reusable = _Reusable()
    reusable.__call__ = call
    reusable.variables = reusable.trainable_variables = list(bert.weights.values())
    tf.saved_model.save(reusable, str(folder / "encoder"))
    return folder / "encoder", folder / "preprocess"
