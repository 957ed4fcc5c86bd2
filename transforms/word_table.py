"""Tables of word vectors: GloVe's text, word2vec's text with its header, or a JSON object. No TensorFlow here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TextIO

import numpy as np

from finetune.errors import BackboneError

_EXPECTED = (
    "expected a table of word vectors: a JSON object of word to list of numbers, or a line a word, with its numbers "
    "after it, as GloVe and word2vec publish them"
)


@dataclass(frozen=True)
class WordTable:
    """Words and their vectors."""

    words: list[str]  # Each once, in the order of the file.
    vectors: np.ndarray  # float32 [words, dimensions].
    lowercase: bool  # Whether no word has a capital letter: texts are then put into lower case.


def read_word_table(path: str) -> WordTable:
    """Reads a table; of a word that it has twice, the first vector counts.

    Raises:
        BackboneError: The file is not there, is no such table, or has vectors of several lengths or bad numbers.
    """
    try:
        # Words may be odd Unicode spaces: a line ends at a line feed and nowhere else.
        with open(path, encoding="utf-8-sig", newline="\n") as file:
            first = next((character for character in iter(lambda: file.read(1), "") if not character.isspace()), "")
            file.seek(0)
            rows = _json_rows(path, file) if first == "{" else _text_rows(path, file)
            return _table(path, rows)
    except (OSError, UnicodeDecodeError) as error:
        raise BackboneError(
            f"backbone.weights: {path!r} cannot be read as UTF-8 text ({error}); {_EXPECTED}."
        ) from None


def _table(path: str, rows: Iterator[tuple[str, str, object]]) -> WordTable:
    words: list[str] = []
    # Grows by numbers and not by arrays, so that the largest tables take little more than they hold.
    held = bytearray()
    seen: set[str] = set()
    dimensions = 0
    for where, word, numbers in rows:
        try:
            vector = np.asarray(numbers, dtype=np.float32)
        except (TypeError, ValueError):
            raise BackboneError(f"backbone.weights: {path!r}, {where}: a vector with what is no number.") from None
        dimensions = dimensions or vector.size
        if vector.shape != (dimensions,) or not np.isfinite(vector).all():
            found = f"{vector.size} numbers" if vector.shape != (dimensions,) else "a number that is not finite"
            raise BackboneError(f"backbone.weights: {path!r}, {where}: got {found}; expected {dimensions} finite ones.")
        if word and word not in seen:
            seen.add(word)
            words.append(word)
            held += vector.tobytes()
    if not words or not dimensions:
        raise BackboneError(f"backbone.weights: got {path!r}, which has no vector; {_EXPECTED}.")
    vectors = np.frombuffer(held, np.float32).reshape(len(words), dimensions)
    return WordTable(words, vectors, all(word == word.lower() for word in words))


def _json_rows(path: str, file: TextIO) -> Iterator[tuple[str, str, object]]:
    try:
        table = json.load(file)
    except (ValueError, RecursionError) as error:
        raise BackboneError(f"backbone.weights: {path!r} is not valid JSON ({error}); {_EXPECTED}.") from None
    for word, numbers in table.items():
        yield f"word {word!r}", word, numbers


def _text_rows(path: str, lines: Iterable[str]) -> Iterator[tuple[str, str, object]]:
    dimensions = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if not dimensions:
            fields = line.rstrip().split(" ")
            if len(fields) == 2 and all(field.isdigit() for field in fields):
                continue  # word2vec's header: how many words and dimensions.
            dimensions = len(fields) - 1
            if dimensions < 1:
                shown = line.rstrip()[:60]
                raise BackboneError(f"backbone.weights: {path!r}, line {number}: got {shown!r}; {_EXPECTED}.")
        # From the right: a few words of the largest tables have spaces in them.
        word, *numbers = line.rstrip().rsplit(" ", dimensions)
        yield f"line {number}", word, numbers
