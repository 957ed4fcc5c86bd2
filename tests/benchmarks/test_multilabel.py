"""What the benchmark of several labels compares with."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from benchmarks.multilabel import features_of, linked, regression


def test_fewer_texts_are_distinct_and_always_the_same(real_data: Path, tmp_path: Path):
    tables = [(linked(tmp_path / name, 500) / "train.csv").read_text() for name in ("one", "two")]
    assert tables[0] == tables[1]
    texts = [row["text"] for row in csv.DictReader(tables[0].splitlines(keepends=True))]
    assert len(set(texts)) == 500


def test_features_of_word_vectors_are_mean_and_maximum(real_data: Path):
    features = features_of("GloVe")
    both, one, other = features(["boat wave", "boat", "wave"])
    np.testing.assert_allclose(both[:50], (one + other)[:50] / 2, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(both[50:], np.maximum(one, other)[50:])


def test_the_regression_finds_what_is_there_and_its_thresholds_come_from_val():
    random = np.random.default_rng(0)

    def split(count: int) -> tuple[list[str], np.ndarray]:
        values = random.normal(size=(count, 2))
        return [f"{one} {two}" for one, two in values], values > 1.2

    def numbers(texts: list[str]) -> np.ndarray:
        return np.array([[float(number) for number in text.split()] for text in texts])

    found = regression({name: split(400) for name in ("train", "val", "test")}, numbers)
    assert min(found.values()) > 0.9
