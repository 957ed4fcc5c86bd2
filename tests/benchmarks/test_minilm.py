"""BERT's tokenizer and encoder as the benchmarks make them of Hugging Face's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from benchmarks.minilm import SENTENCES, SIMILARITIES, minilm
from benchmarks.word_pieces import WordPieces, simple_form

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "sail", "##ing", "##s", "#", "cafe", "a", "##b", ",", "水", "<", "!"]


@pytest.fixture(scope="module")
def pieces() -> WordPieces:
    return WordPieces(VOCABULARY, length=8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sailing, sails", ["sail", "##ing", ",", "sail", "##s"]),
        ("CAFÉ cafe\u0301", ["cafe", "cafe"]),
        ("a水a", ["a", "水", "a"]),
        ("sail\tsail\u2003sail\u0085ing", ["sail", "sail", "sail", "##ing"]),
        # No part of a word that pieces do not make up is kept, and a hash in it is no sign of going on.
        ("sailx xsail a", ["[UNK]", "[UNK]", "a"]),
        ("ab" + "b" * 98 + " ab" + "b" * 99, ["a", *["##b"] * 5]),
        ("a" + "b" * 100, ["[UNK]"]),
        ("##s", ["#", "#", "[UNK]"]),
        ("\ufffd\u200ba\u226e", ["a", "<"]),
        ("[SEP] [PAD]", ["[UNK]"] * 6),
        ("", []),
        (" \n ", []),
    ],
)
def test_texts_become_pieces(pieces: WordPieces, text: str, expected: list[str]):
    found = pieces([text, "a ! a ! a ! a"])
    names = [VOCABULARY[id_] for id_ in found["input_word_ids"].numpy()[0]]
    assert names == (["[CLS]", *expected[:6], "[SEP]"] + ["[PAD]"] * 6)[:8]
    assert found["input_mask"].numpy()[0].sum() == min(len(expected) + 2, 8)
    assert not found["input_type_ids"].numpy().any()


def test_a_batch_may_be_empty(pieces: WordPieces):
    assert pieces(tf.constant([], tf.string))["input_word_ids"].shape == (0, 8)


def test_simple_forms_are_simple():
    # What is made of a character is made of nothing else again.
    for character in map(chr, range(0x3000)):
        once = simple_form(character)
        assert "".join(map(simple_form, once)).split() == once.split()


def test_similarities_are_those_that_were_published(real_data: Path, tmp_path: Path):
    encoder, preprocessor = (hub.load(str(folder)) for folder in minilm(tmp_path, length=32))
    vectors = encoder(preprocessor(list(SENTENCES)))["pooled_output"].numpy()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for (one, other), expected in SIMILARITIES.items():
        assert vectors[one] @ vectors[other] == pytest.approx(expected, abs=1e-3)
