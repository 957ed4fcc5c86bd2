"""Word pieces against those of Hugging Face's own tokenizer, token for token."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hugging_face_folder import PIECES, save_tokenizer
from tokenizers import Tokenizer

from transforms.features import BETWEEN_TEXTS
from transforms.piece_vocabulary import PieceVocabulary, read_piece_vocabulary
from transforms.word_pieces import WordPieces

LENGTH = 128
HOSTILE = [
    "",
    " \t\r\n\u3000\u2028\u00a0",
    "Sailing, sails!! 'the' boat's -- #boat ##s",
    "CAFÉ cafe\u0301 Ǻ ẛ̣ İstanbul ﬁsh Ⅻ ½ Σίσυφος STRASSE straße ǅ",
    "水水boat水 漢字かな交じり文 한국어 ไทย हिन्दी العربية עברית",
    "\U0002b81f\U0002b820\U0002b91f\U0002b920 \uf900 \U0002f800",
    "zero\u200bwidth soft\u00adhyphen left\u200eto\u202eright \ufeffmark null\x00 bell\x07 next\x85line \x1ea",
    "\ue000private\uf8ff \U000f0000use\U0010fffd \ufffd",
    "🙂⛵ 👩‍👩‍👧‍👦 🇪🇺 ☂️ 1️⃣",
    "a" * 100 + " " + "a" * 101 + " " + "é" * 100 + " " + "ab" * 60,
    "[CLS] [SEP] [PAD] [MASK] [UNK] [unused5]",
    "$1,000.50 e-mail@example.org https://x.y/z?a=b&c=d%20e #tag C++ a_b",
    "“quotes” ‘single’ «guillemets» – — … ¿que? ¡no! ・、。「」",
    "a\u0300\u0301\u0302\u0303" * 30,
    "I\u0307 \u0130 \u1e9e \u212a \u2126 \ufb03 \u01c5",
    "the boat " * 400,
]


def theirs(folder: Path, length: int | None = None) -> Tokenizer:
    """Hugging Face's tokenizer, which here takes no `[SEP]` that a text writes for the end of it."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if length:
        tokenizer.enable_truncation(length)
        tokenizer.enable_padding(length=length)
    return tokenizer


def other_ids(folder: Path, texts: Sequence[str]) -> list[str]:
    """The texts of which ours makes other ids, whole or cut to a length."""
    pieces = WordPieces(read_piece_vocabulary(str(folder)))
    whole, cut = (tf.function(call, autograph=False) for call in (pieces.encode, lambda x: pieces(x, LENGTH)))
    found = []
    for first in range(0, len(texts), 2000):
        part = texts[first : first + 2000]
        expected = [encoding.ids for encoding in theirs(folder).encode_batch(part)]
        of_length = np.array([encoding.ids for encoding in theirs(folder, LENGTH).encode_batch(part)])
        differ = (cut(tf.constant(part)).numpy() != of_length).any(axis=1)
        for text, ids, other, wanted in zip(part, whole(tf.constant(part)).to_list(), differ, expected, strict=True):
            if other or ids != wanted:
                found.append(text)
    return found


@pytest.fixture(scope="module")
def minilm(real_data: Path) -> Path:
    return real_data / "weights" / "minilm"


def test_hostile_texts_become_the_same_pieces(minilm):
    assert other_ids(minilm, HOSTILE) == []


@pytest.mark.parametrize(
    "normalizer", [{}, {"lowercase": False}, {"strip_accents": False}, {"handle_chinese_chars": False}]
)
def test_hostile_texts_become_the_same_pieces_of_a_small_vocabulary(tmp_path, normalizer):
    save_tokenizer(tmp_path, **normalizer)
    assert other_ids(tmp_path, HOSTILE) == []


@pytest.mark.parametrize("length", [None, 3, 4, 9, 128])
def test_hostile_pairs_become_the_same_pieces(minilm, length):
    all_pairs = zip(HOSTILE, [*HOSTILE[5:], *HOSTILE[:5]], strict=True)
    pairs = [pair for pair in all_pairs if BETWEEN_TEXTS not in "".join(pair)]
    tokenizer = theirs(minilm)
    if length:
        tokenizer.enable_truncation(length)
    expected = [encoding.ids for encoding in tokenizer.encode_batch(pairs)]
    texts = tf.constant(list(map(BETWEEN_TEXTS.join, pairs)))
    found = WordPieces(read_piece_vocabulary(str(minilm))).encode(texts, length)
    assert found.to_list() == expected


@pytest.mark.long
def test_every_character_that_both_know_is_read_alike(minilm):
    """Theirs knows Unicode 8: of characters that later versions added, or gave another category, it knows less."""
    given = [
        character
        for character in map(chr, range(1, 0x110000))
        if unicodedata.ucd_3_2_0.category(character) == unicodedata.category(character)
        and character != BETWEEN_TEXTS
        # Those of no version, among them the noncharacters, which TensorFlow takes for bytes that are not UTF-8.
        and unicodedata.category(character) not in ("Cn", "Cs")
    ]
    assert len(given) > 230_000
    # Four to a text: of those that differ, a text tells which.
    texts = [" ".join(f"ab{one}cd" for one in given[first : first + 4]) for first in range(0, len(given), 4)]
    assert other_ids(minilm, texts) == []


@pytest.mark.long
def test_real_texts_become_the_same_pieces(minilm, real_data):
    lines = (real_data / "text" / "sms_spam.tsv").read_text(encoding="utf-8").split("\n")
    texts = [line.split("\t", 1)[1] for line in lines if line]
    for split in ("train", "val", "test"):
        with (real_data / "text" / "goemotions" / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            texts += [row["text"] for row in csv.DictReader(file)]
    assert len(texts) == 5_574 + 43_410 + 5_426 + 5_427
    assert other_ids(minilm, texts) == []


@pytest.fixture(scope="module")
def pieces() -> WordPieces:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "sail", "##ing", "##s", "#", "##", "a", "##b", ",", "<", ""]
    return WordPieces(PieceVocabulary(tuple(vocabulary), lowercase=True, strip_accents=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"Sailing, sails", [4, 5, 11, 4, 6]),
        # No part of a word that pieces do not make up is kept, and a hash in it is no sign of going on.
        (b"sailx xsail a", [1, 1, 9]),
        (b"##s", [7, 7, 1]),
        (b"ab" + b"b" * 98 + b" ab" + b"b" * 99, [9, *[10] * 5]),
        (b"sail\xff\xfeing", [4, 5]),
        ("a\u226e".encode(), [9, 12]),
        (b"", []),
    ],
)
def test_texts_become_pieces(pieces, text, expected):
    found = pieces(tf.constant([text, b"a , a , a , a"]), 8).numpy()[0]
    assert found.tolist() == ([2, *expected[:6], 3] + [0] * 6)[:8]


def test_a_batch_may_be_empty(pieces):
    assert pieces(tf.constant([], tf.string), 8).shape == (0, 8)


def test_what_is_made_of_a_character_is_made_of_nothing_else_again():
    vocabulary = PieceVocabulary(tuple(PIECES), lowercase=True, strip_accents=True)
    for character in map(chr, range(0x3000)):
        once = vocabulary.simple_form(character)
        assert "".join(map(vocabulary.simple_form, once)).split() == once.split()
