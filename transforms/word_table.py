"""Tables of word vectors: GloVe's text, word2vec's text with its header, or a JSON object. No TensorFlow here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BackboneError(
            f"backbone.weights: {path!r} cannot be read as UTF-8 text ({error}); {_EXPECTED}."
        ) from None
    rows = _json_rows(path, text) if text.lstrip()[:1] == "{" else _text_rows(path, text)
    words, vectors = [], []
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
            vectors.append(vector)
    if not words or not dimensions:
        raise BackboneError(f"backbone.weights: got {path!r}, which has no vector; {_EXPECTED}.")
    return WordTable(words, np.stack(vectors), all(word == word.lower() for word in words))


def _json_rows(path: str, text: str) -> Iterator[tuple[str, str, object]]:
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BackboneError(f"backbone.weights: {path!r} is not valid JSON ({error}); {_EXPECTED}.") from None
    for word, numbers in table.items():
        yield f"word {word!r}", word, numbers


def _text_rows(path: str, text: str) -> Iterator[tuple[str, str, object]]:
    dimensions = 0
    # Not `splitlines`: words may be odd Unicode spaces, at which that would cut too.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        if not dimensions:
            fields = line.rstrip().split(" ")
            if len(fields) == 2 and all(field.isdigit() for field in fields):
                continue  # word2vec's header: how many words and dimensions.
            dimensions = len(fields) - 1
            if dimensions < 1:
                raise BackboneError(f"backbone.weights: {path!r}, line {number}: got {line[:60]!r}; {_EXPECTED}.")
        # From the right: a few words of the largest tables have spaces in them.
        word, *numbers = line.rstrip().rsplit(" ", dimensions)
        yield f"line {number}", word, numbers
