"""A table of word vectors as a backbone, such as GloVe or word2vec publish."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from finetune.config.backbone import BackboneConfig
from finetune.digests import check_sha256
from trainer_module.backbones.source import NamedSource, missing_weights
from trainer_module.frozen_features.recorded import Recorded
from trainer_module.phases.freezing import Layer
from transforms import features
from transforms.backbone import Backbone
from transforms.word_table import WordTable, read_word_table

if TYPE_CHECKING:
    import tf_keras as keras


class WordVectors(NamedSource):
    """Words and their vectors in a file; Transform makes ids of a text's words."""

    name = "word vectors"
    records = {"GloVe": Backbone("GloVe", modality="text", own_kind="word table")}
    kernels_by = None
    written_as = None

    def record(self, config: BackboneConfig) -> Backbone:
        """Returns the record with the table whose words are known."""
        preprocessing = {
            "vocabulary": _vocabulary(config),
            "unknown_words": config.text.unknown_words,
            "max_words": config.text.max_words,
        }
        return replace(self.records["GloVe"], preprocessing=preprocessing)

    def build(self, config: BackboneConfig) -> tuple[keras.Model, str | None]:
        """Builds the network: ids of words int64 [batch, max_words] to float32 [batch, max_words, dimensions]."""
        path, random = Path(_vocabulary(config)), config.weights == "random"
        digest = None if random else check_sha256(path, config.sha256)
        table = read_word_table(str(path))
        return word_vectors(table, config.text.unknown_words, config.text.max_words, random), digest

    def graph(self, config: BackboneConfig) -> Recorded | None:
        """Returns None: looking vectors up costs nothing that is worth keeping."""
        return None

    def layers(self, config: BackboneConfig) -> list[Layer]:
        """Returns the three: the input, the vectors, and what sets those of padding to zero."""
        vectors = Layer("word_vectors", ("word_vectors/embeddings",))
        return [Layer(features.WORD_IDS), vectors, Layer("where_words")]

    def problems(self, config: BackboneConfig) -> list[str]:
        """Holds the weights and the section `text` against what a table has."""
        problems = super().problems(config)
        if config.text.preprocessor:
            problems.append(
                f"backbone.text.preprocessor: got {config.text.preprocessor!r}; it is about handles, and {config.name} "
                "is none. Leave it out"
            )
        if config.weights == "random" and not config.text.vocabulary:
            problems.append(
                "backbone.text.vocabulary: missing; with random weights, expected the table whose words are known"
            )
        return problems

    def file_problems(self, config: BackboneConfig) -> list[str]:
        """Looks whether the tables are there."""
        problems = []
        if config.weights != "random" and not Path(config.source).is_file():
            problems.append(missing_weights(config))
        vocabulary = config.text.vocabulary
        if vocabulary and not Path(vocabulary).is_file():
            problems.append(
                f"backbone.text.vocabulary: got {vocabulary!r}, which is not a file here; expected a table of words"
            )
        return problems

    def with_random_weights(self, config: BackboneConfig) -> BackboneConfig:
        """Draws the vectors; the table still says which words there are."""
        text = config.text.model_copy(update={"vocabulary": _vocabulary(config)})
        return super().with_random_weights(config).model_copy(update={"text": text})


def _vocabulary(config: BackboneConfig) -> str:
    return config.text.vocabulary or config.source


def word_vectors(table: WordTable, unknown_words: str | int, max_words: int, random: bool = False) -> keras.Model:
    """Builds the backbone, whose layer `word_vectors` holds the vectors; where there is no word, it gives zeros.

    Words beside the table's, as `transforms.text.WordIds` numbers them, start from the mean of its vectors; `random`
    draws all from a normal distribution with the table's mean and deviation.
    """
    import tensorflow as tf
    import tf_keras as keras

    from trainer_module.layers import WhereWords
    from transforms.text import vector_count

    count, dimensions = vector_count(table, unknown_words), table.vectors.shape[1]
    rows = np.zeros((count, dimensions), np.float32)
    rows[1:] = table.vectors.mean(axis=0)
    if random:
        initial = keras.initializers.RandomNormal(float(table.vectors.mean()), float(table.vectors.std()))
    else:
        rows[1 : 1 + len(table.words)] = table.vectors
        initial = keras.initializers.Constant(rows)
    ids = keras.Input((max_words,), dtype=tf.int64, name=features.WORD_IDS)
    vectors = keras.layers.Embedding(count, dimensions, embeddings_initializer=initial, name="word_vectors")(ids)
    return keras.Model(ids, WhereWords(name="where_words")([vectors, ids]), name="WordVectors")
