"""BERT's tokenizer (Devlin et al. 2019) of TensorFlow's own operations, so that it can be part of a graph."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence

import tensorflow as tf

PADDING, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
# BERT's own limit; a longer word is an unknown one.
_MOST_CHARACTERS = 100
# What vocabularies write before a piece that goes on with a word, and what stands for it here: no word has it in it.
_GOES_ON, _MARK = "##", "\x01"
_NO_PIECE, _NOTHING = -2, -1
# Each ideograph is a word by itself. The blocks are those of BERT's own tokenizer.
_IDEOGRAPH = (
    r"[\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}]"
)
_PRIVATE_USE = r"[\x{E000}-\x{F8FF}\x{F0000}-\x{10FFFF}]"
# Private use, unassigned, surrogates: a pattern removes the first, the second stay, and UTF-8 has no third.
_NOT_IN_TABLE = ("Co", "Cn", "Cs")


def simple_form(character: str) -> str:
    """Returns what BERT reads in place of a character.

    White space becomes a space, control characters and accents nothing, other letters small ones, and punctuation gets
    a space on either side.
    """
    if character in "\t\n\r" or unicodedata.category(character).startswith("Z"):
        return " "
    if character == "\N{REPLACEMENT CHARACTER}" or unicodedata.category(character).startswith("C"):
        return ""
    parts = (part for part in unicodedata.normalize("NFD", character) if unicodedata.category(part) != "Mn")
    return "".join(f" {part} " if _is_punctuation(part) else part.lower() for part in parts)


def _is_punctuation(character: str) -> bool:
    """Tells whether a character is punctuation to BERT: in ASCII, all that is neither letter nor digit."""
    if character.isascii():
        return not character.isalnum()
    return unicodedata.category(character).startswith("P")


class WordPieces(tf.Module):
    """Turns texts into the ids of their word pieces."""

    def __init__(self, vocabulary: Sequence[str], length: int):
        """Builds the tables.

        Args:
            vocabulary: Pieces, each at the place of its id; those that go on with a word begin with `##`.
            length: Pieces of a text, with the two at its ends; those after them are left out.
        """
        super().__init__(name="word_pieces")
        self._length = length
        self._padding, self._unknown, self._start, self._end = map(
            list(vocabulary).index, (PADDING, UNKNOWN, START, END)
        )
        keys = [_MARK + piece[len(_GOES_ON) :] if piece.startswith(_GOES_ON) else piece for piece in vocabulary]
        self._longest = max(map(len, keys))
        self._ids = _table(keys, tf.range(len(keys)), _NO_PIECE)
        assigned = (
            character
            for character in map(chr, range(sys.maxunicode + 1))
            if unicodedata.category(character) not in _NOT_IN_TABLE
        )
        forms = {character: form for character in assigned if (form := simple_form(character)) != character}
        self._forms = _table(list(forms), list(forms.values()), _MARK)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def __call__(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Makes an encoder's inputs.

        Args:
            text: string [batch], UTF-8.

        Returns:
            `input_word_ids`; `input_mask`, 1 where there is a piece and 0 at padding; and `input_type_ids`, all 0;
            each int32 [batch, length].
        """
        words = self.words(text)
        pieces = tf.RaggedTensor.from_row_splits(self.cut(words.values), words.row_splits).merge_dims(1, 2)
        edge = tf.ones([tf.shape(text)[0], 1], tf.int32)
        ids = tf.concat([self._start * edge, pieces[:, : self._length - 2], self._end * edge], axis=1)
        ids = tf.ensure_shape(ids.to_tensor(self._padding, shape=[None, self._length]), [None, self._length])
        mask = tf.sequence_mask(tf.minimum(pieces.row_lengths() + 2, self._length), self._length, tf.int32)
        return {"input_word_ids": ids, "input_mask": mask, "input_type_ids": tf.zeros_like(ids)}

    def words(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Cuts texts at white space and around punctuation: string [batch] to simple forms, string [batch, (words)]."""
        characters = tf.strings.unicode_split(tf.strings.regex_replace(text, _PRIVATE_USE, ""), "UTF-8")
        simple = tf.strings.reduce_join(tf.ragged.map_flat_values(self._simple, characters), axis=-1)
        return tf.strings.split(tf.strings.regex_replace(simple, f"({_IDEOGRAPH})", r" \1 "))

    def _simple(self, characters: tf.Tensor) -> tf.Tensor:
        forms = self._forms.lookup(characters)
        return tf.where(forms == _MARK, characters, forms)

    def cut(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Cuts each word from its beginning on, each time into the longest piece that there is.

        Args:
            words: string [words].

        Returns:
            Ids, int32 [words, (pieces)]; of a word that no pieces make up, that of the unknown one alone.
        """
        sizes = tf.range(self._longest, 0, -1)

        def next_piece(rests: tf.Tensor, pieces: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            rows = tf.where(rests != "")
            rest = tf.gather_nd(rests, rows)
            # What is shorter than a size is taken whole.
            beginnings = tf.strings.substr(rest[:, tf.newaxis], 0 * sizes, sizes, unit="UTF8_CHAR")
            ids = self._ids.lookup(beginnings)
            longest = tf.argmax(ids != _NO_PIECE, axis=1)
            found = tf.gather(ids, longest, batch_dims=1)
            taken = tf.minimum(tf.gather(sizes, longest), tf.strings.length(rest, unit="UTF8_CHAR"))
            rest = tf.strings.substr(rest, taken, tf.fill(tf.shape(taken), _MOST_CHARACTERS), unit="UTF8_CHAR")
            rest = tf.where((rest == "") | (found == _NO_PIECE), "", _MARK + rest)
            column = tf.tensor_scatter_nd_update(tf.fill(tf.shape(rests), _NOTHING), rows, found)
            return (
                tf.tensor_scatter_nd_update(rests, rows, rest),
                tf.concat([pieces, column[:, tf.newaxis]], axis=1),
            )

        fits = tf.strings.length(words, unit="UTF8_CHAR") <= _MOST_CHARACTERS
        _, pieces = tf.while_loop(
            lambda rests, pieces: tf.reduce_any(rests != ""),
            next_piece,
            (tf.where(fits, words, ""), tf.where(fits, _NOTHING, _NO_PIECE)[:, tf.newaxis]),
            (tf.TensorSpec([None], tf.string), tf.TensorSpec([None, None], tf.int32)),
        )
        known = tf.reduce_all(pieces != _NO_PIECE, axis=1, keepdims=True)
        unknown_alone = tf.where(tf.range(tf.shape(pieces)[1]) == 0, self._unknown, _NOTHING)
        pieces = tf.where(known, pieces, unknown_alone)
        return tf.ragged.boolean_mask(pieces, pieces != _NOTHING)


def _table(keys: Sequence[str], values: Sequence[str] | tf.Tensor, default: str | int) -> tf.lookup.StaticHashTable:
    return tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant(keys), tf.constant(values)), default
    )
