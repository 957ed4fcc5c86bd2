"""A table of word vectors and labelled texts, made for tests: words that the table has tell the class."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

TOPICS = {
    "sea": ["boat", "sail", "wave", "harbour", "fish"],
    "sky": ["cloud", "wing", "plane", "wind", "bird"],
}
COMMON = ["the", "a", "of", "and", "it", "'s", ",", "."]
ODD = {
    "empty": b"",
    "spaces": b" \n\t ",
    "unknown": b"qwertz zxcvb",
    "not utf-8": b"the boat \xff\xfe caf\xe9",
    "emoji": "🙂 the ⛵ sail 🐟".encode(),
    "begins like an example": b"\n\nboat",
    "very long": b"the wave " * 50_000,
}


def write_word_table(path: Path) -> Path:
    """Vectors of 8 dimensions: words of a topic lie about its own direction."""
    random = np.random.default_rng(0)
    vectors = {word: random.normal(0, 0.3, 8) for word in COMMON}
    for direction, words in enumerate(TOPICS.values()):
        vectors |= {word: random.normal(0, 0.3, 8) + 2 * np.eye(8)[direction] for word in words}
    path.write_text(json.dumps({word: vector.round(4).tolist() for word, vector in vectors.items()}))
    return path


def write_texts(path: Path, count: int) -> Path:
    """A TSV with the columns label, text and length."""
    random = np.random.default_rng(1)
    lines = ["label\ttext\tlength"]
    for number in range(count):
        topic = list(TOPICS)[number % 2]
        words = [TOPICS[topic][number % 5], *random.choice([*TOPICS[topic], *COMMON], 4 + number % 5)]
        lines.append(f"{topic}\t{' '.join(words)} {number}\t{'long' if len(words) > 6 else 'short'}")
    path.write_text("\n".join(lines) + "\n")
    return path
