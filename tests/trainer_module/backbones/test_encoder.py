"""The encoder of BERT and DistilBERT: against an independent computation, frozen, tuned in blocks, and served."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from hugging_face_folder import DISTILBERT, PIECES, save_encoder
from safetensors.numpy import load_file
from scipy.special import erf, softmax

from finetune.config import BackboneConfig
from trainer_module.backbones.hugging_face import WEIGHTS
from trainer_module.backbones.model import build_backbone
from transforms.piece_vocabulary import read_piece_vocabulary
from transforms.word_pieces import WordPieces

# Cosines that the model's page gives.
SENTENCES = ("The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium.")
SIMILARITIES = {(0, 1): 0.6660, (0, 2): 0.1046, (1, 2): 0.1411}
IDS = np.array([[2, 4, 5, 6, 3, 0, 0, 0], [2, 7, 3, 0, 0, 0, 0, 0], [2, 8, 9, 10, 11, 12, 13, 3]])


def independently(folder, ids: np.ndarray) -> np.ndarray:
    """Encodes one text without padding: [pieces] to [pieces, width], in float64, by the names of BERT's checkpoint."""
    weights = {name: value.astype(np.float64) for name, value in load_file(folder / WEIGHTS).items()}

    def dense(name, x):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name, x):
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return scaled * weights[f"{name}.gamma"] + weights[f"{name}.beta"]

    x = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm("embeddings.LayerNorm", x + weights["embeddings.token_type_embeddings.weight"][0])
    for block in range(2):
        place = f"encoder.layer.{block}"
        query, key, value = (
            dense(f"{place}.attention.self.{part}", x).reshape(len(ids), 2, 8).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        mixed = softmax(query @ key.swapaxes(1, 2) / math.sqrt(8), axis=-1) @ value
        mixed = dense(f"{place}.attention.output.dense", mixed.swapaxes(0, 1).reshape(len(ids), 16))
        x = norm(f"{place}.attention.output.LayerNorm", x + mixed)
        inner = dense(f"{place}.intermediate.dense", x)
        inner = dense(f"{place}.output.dense", inner * (1 + erf(inner / math.sqrt(2))) / 2)
        x = norm(f"{place}.output.LayerNorm", x + inner)
    return x


def built(folder: str, **text):
    return build_backbone(BackboneConfig(name="BERT", weights=folder, text={"max_pieces": 8, **text}))


@pytest.mark.parametrize(
    ("pooling", "pool"), [("cls", lambda x: x[0]), ("mean", lambda x: x.mean(0)), ("max", lambda x: x.max(0))]
)
def test_vectors_are_those_of_an_independent_computation(tmp_path, pooling, pool):
    network = built(save_encoder(tmp_path), pooling=pooling)
    found = network(tf.constant(IDS)).numpy()
    expected = [pool(independently(tmp_path, row[row != 0])) for row in IDS]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_text_without_pieces_gives_zeros(tmp_path):
    network = built(save_encoder(tmp_path))
    assert not network(tf.zeros([2, 8], tf.int64)).numpy().any()
    assert network(tf.zeros([0, 8], tf.int64)).shape == (0, 16)


@pytest.mark.parametrize("dtype", [np.float16, tf.bfloat16.as_numpy_dtype])
def test_weights_in_half_precision_become_float32(tmp_path, dtype):
    whole, half = built(save_encoder(tmp_path / "a")), built(save_encoder(tmp_path / "b", dtype=dtype))
    for one, other in zip(whole.weights, half.weights, strict=True):
        assert other.dtype == tf.float32
        np.testing.assert_array_equal(one.numpy().astype(dtype).astype(np.float32), other.numpy())


def test_distilbert_is_bert_without_types(tmp_path):
    """The same weights under DistilBERT's names, with the type of the first text added to each word."""
    save_encoder(tmp_path / "bert")
    save_encoder(tmp_path / "distil", DISTILBERT, "distilbert.")
    bert, distil = built(str(tmp_path / "bert")), built(str(tmp_path / "distil"))
    for layer in distil.layers:
        layer.set_weights(bert.get_layer(layer.name).get_weights())
    types = bert.get_layer("type_embeddings").get_weights()[0]
    distil.get_layer("word_embeddings").embeddings.assign_add(np.tile(types[:1], (len(PIECES), 1)))
    np.testing.assert_allclose(distil(IDS).numpy(), bert(IDS).numpy(), rtol=0, atol=1e-5)


def test_the_second_text_of_a_pair_has_another_type(tmp_path):
    network = built(save_encoder(tmp_path))
    types = network.get_layer("types")(tf.constant([[2, 5, 3, 6, 7, 3, 0, 0], [2, 5, 3, 0, 0, 0, 0, 0]]))
    assert types.numpy().tolist() == [[0, 0, 0, 1, 1, 1, 0, 0], [0] * 8]


def test_similarities_are_those_that_were_published(real_data):
    folder = str(real_data / "weights" / "minilm")
    network = build_backbone(BackboneConfig(name="BERT", weights=folder))
    vectors = network(WordPieces(read_piece_vocabulary(folder))(tf.constant(SENTENCES), 128)).numpy()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for (one, other), expected in SIMILARITIES.items():
        assert vectors[one] @ vectors[other] == pytest.approx(expected, abs=1e-3)
