"""BERT's tokenizer (Devlin et al. 2019) of TensorFlow's own operations, so that it is part of the served graph."""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Sequence

import tensorflow as tf

from transforms.features import BETWEEN_TEXTS
from transforms.piece_vocabulary import END, GOES_ON, START, UNKNOWN, PieceVocabulary
from transforms.text import NO_WORD, valid_utf8

# Stands here for what vocabularies write before a piece that goes on with a word: no word has it in it.
_MARK = "\x01"
_NO_PIECE, _NOTHING = -2, -1
# Each ideograph is a word by itself. The blocks are those of Hugging Face's tokenizer.
_IDEOGRAPH = (
    r"[\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B81F}\x{2B920}-\x{2CEAF}"
    r"\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}]"
)
_PRIVATE_USE = r"[\x{E000}-\x{F8FF}\x{F0000}-\x{10FFFF}]"
# Private use, unassigned, surrogates: a pattern removes the first, the second stay, and UTF-8 has no third.
_NOT_IN_TABLE = ("Co", "Cn", "Cs")


class WordPieces(tf.Module):
    """Turns texts into the ids of their word pieces."""

    def __init__(self, vocabulary: PieceVocabulary):
        """Builds the tables."""
        super().__init__(name="word_pieces")
        self._most_characters = vocabulary.most_characters
        self._space_ideographs = vocabulary.space_ideographs
        self._unknown, self._start, self._end = map(vocabulary.id_of, (UNKNOWN, START, END))
        ids = {
            _MARK + piece[len(GOES_ON) :] if piece.startswith(GOES_ON) else piece: number
            for number, piece in enumerate(vocabulary.pieces)
            if piece not in ("", GOES_ON)
        }
        self._longest = max(map(len, ids))
        self._ids = _table(list(ids), list(ids.values()), _NO_PIECE)
        forms = {
            character: form for character in _assigned() if (form := vocabulary.simple_form(character)) != character
        }
        self._forms = _table(list(forms), list(forms.values()), _MARK)

    def __call__(self, texts: tf.Tensor, length: int) -> tf.Tensor:
        """Makes an encoder's input.

        Args:
            texts: string [batch]; bytes that are not UTF-8 are left out. BETWEEN_TEXTS makes a pair of a text.
            length: Pieces of a text or pair, with those at the ends of texts; what comes after them is left out, of a
                pair from the longer text first.

        Returns:
            int64 [batch, length], padded with NO_WORD.
        """
        ids = self.encode(texts, length).to_tensor(NO_WORD, shape=[None, length])
        return tf.ensure_shape(ids, [None, length])

    def encode(self, texts: tf.Tensor, length: int | None = None) -> tf.RaggedTensor:
        """Returns the ids of pieces, with those at the ends of texts, as they are: int64 [batch, (pieces)]."""
        clean = valid_utf8(texts)
        first = tf.strings.regex_replace(clean, f"(?s){BETWEEN_TEXTS}.*", "")
        second = tf.strings.regex_replace(clean, f"(?s)^[^{BETWEEN_TEXTS}]*{BETWEEN_TEXTS}?", "")
        is_pair = tf.strings.regex_full_match(clean, f"(?s).*{BETWEEN_TEXTS}.*")
        count = tf.shape(texts)[0]
        pieces = self._pieces(tf.concat([first, second], axis=0))
        one, other = pieces[:count], pieces[count:]
        if length is not None:
            rooms = _rooms(one.row_lengths(), other.row_lengths(), length - 2 - tf.cast(is_pair, tf.int64))
            one, other = map(_cut_off, (one, other), rooms)
        edge = tf.ones([count, 1], tf.int64)
        last = tf.ragged.boolean_mask(self._end * edge, is_pair[:, tf.newaxis])
        return tf.concat([self._start * edge, one, self._end * edge, other, last], axis=1)

    def _pieces(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Cuts texts into the ids of pieces: string [texts] to int64 [texts, (pieces)]."""
        words = self.words(texts)
        # Most words of a batch occur in it more than once.
        distinct, places = tf.unique(words.values)
        pieces = tf.RaggedTensor.from_row_splits(tf.gather(self.cut(distinct), places), words.row_splits)
        return pieces.merge_dims(1, 2)

    def words(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Cuts texts at white space and around punctuation: string [batch] to simple forms, string [batch, (words)]."""
        characters = tf.strings.unicode_split(tf.strings.regex_replace(texts, _PRIVATE_USE, ""), "UTF-8")
        simple = tf.strings.reduce_join(tf.ragged.map_flat_values(self._simple, characters), axis=-1)
        if self._space_ideographs:
            simple = tf.strings.regex_replace(simple, f"({_IDEOGRAPH})", r" \1 ")
        return tf.strings.split(simple)

    def _simple(self, characters: tf.Tensor) -> tf.Tensor:
        forms = self._forms.lookup(characters)
        return tf.where(forms == _MARK, characters, forms)

    def cut(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Cuts each word from its beginning on, each time into the longest piece that there is.

        Args:
            words: string [words].

        Returns:
            Ids, int64 [words, (pieces)]; of a word that no pieces make up, that of the unknown one alone.
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
            rest = tf.strings.substr(rest, taken, tf.fill(tf.shape(taken), self._most_characters), unit="UTF8_CHAR")
            rest = tf.where((rest == "") | (found == _NO_PIECE), "", _MARK + rest)
            column = tf.tensor_scatter_nd_update(tf.fill(tf.shape(rests), tf.constant(_NOTHING, tf.int64)), rows, found)
            return (
                tf.tensor_scatter_nd_update(rests, rows, rest),
                tf.concat([pieces, column[:, tf.newaxis]], axis=1),
            )

        fits = tf.strings.length(words, unit="UTF8_CHAR") <= self._most_characters
        none = tf.where(fits, tf.constant(_NOTHING, tf.int64), tf.constant(_NO_PIECE, tf.int64))
        _, pieces = tf.while_loop(
            lambda rests, pieces: tf.reduce_any(rests != ""),
            next_piece,
            (tf.where(fits, words, ""), none[:, tf.newaxis]),
            (tf.TensorSpec([None], tf.string), tf.TensorSpec([None, None], tf.int64)),
        )
        known = tf.reduce_all(pieces != _NO_PIECE, axis=1, keepdims=True)
        unknown_alone = tf.where(
            tf.range(tf.shape(pieces)[1]) == 0, tf.constant(self._unknown, tf.int64), tf.constant(_NOTHING, tf.int64)
        )
        pieces = tf.where(known, pieces, unknown_alone)
        return tf.ragged.boolean_mask(pieces, pieces != _NOTHING)


def _rooms(one: tf.Tensor, other: tf.Tensor, room: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Shares the room for pieces out between the texts of pairs, as Hugging Face's `longest_first` does.

    All are int64 [batch]: the pieces that the texts have, and the room for both together.
    """
    shorter, longer = tf.minimum(one, other), tf.maximum(one, other)
    half = room // 2
    of_shorter = tf.minimum(shorter, half)
    of_longer = tf.where(shorter <= half, room - shorter, room - half)
    fits = one + other <= room
    rooms = tf.where(fits, shorter, of_shorter), tf.where(fits, longer, of_longer)
    swapped = one > other
    return tf.where(swapped, rooms[1], rooms[0]), tf.where(swapped, rooms[0], rooms[1])


def _cut_off(pieces: tf.RaggedTensor, room: tf.Tensor) -> tf.RaggedTensor:
    places = tf.ragged.range(pieces.row_lengths())
    return tf.ragged.boolean_mask(pieces, places < room[:, tf.newaxis])


@functools.cache
def _assigned() -> Sequence[str]:
    """Returns the characters that the table has an entry for, where they change."""
    return [
        character
        for character in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(character) not in _NOT_IN_TABLE
    ]


def _table(keys: list[str], values: list[str] | list[int], default: str | int) -> tf.lookup.StaticHashTable:
    dtype = tf.string if isinstance(default, str) else tf.int64
    return tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant(keys), tf.constant(values, dtype)), default
    )
