"""Scores of very many examples: in bins, without more memory, and next to the exact area."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.metrics import METRICS, references
from evaluation.metrics.references import Answered


def answered(examples: int, seed: int) -> Answered:
    """Three classes: one hard to tell, one easy, and one that is rare and whose scores are all very small."""
    random = np.random.default_rng(seed)
    actual = random.random((examples, 3)) < (0.5, 0.3, 0.02)
    odds = random.normal(size=actual.shape) + actual * (1.0, 4.0, 2.0) - (0.0, 0.0, 12.0)
    probabilities = (1 / (1 + np.exp(-odds))).astype(np.float32)
    return Answered(actual, probabilities, probabilities > 0.5, one_label=False)


@pytest.mark.parametrize(("name", "off"), [("auc", 1e-5), ("mean_average_precision", 3e-4)])
def test_bins_give_almost_the_exact_area_however_examples_come(name, off, monkeypatch):
    parts = [answered(20_000, seed) for seed in range(3)]
    reference = METRICS[name].reference
    exact = reference.value(sum_of(reference, parts))
    monkeypatch.setattr(references, "EXACT_DECISIONS", 100_000)
    one, other = sum_of(reference, parts), sum_of(reference, parts[::-1])
    assert len(one.scores) == 0, "no example is kept"
    assert (one.counts == other.counts).all()
    assert reference.value(one) == pytest.approx(exact, abs=off)


@pytest.mark.parametrize("classes", [4, 1000])
def test_counts_take_little_memory_whatever_the_number_of_classes(classes):
    scores = np.full((references.EXACT_DECISIONS // classes + 1, classes), 0.5, np.float32)
    counts = references.Scores.of(scores > 0.7, scores).counts
    assert counts.sum() == scores.size
    assert counts.nbytes <= 64 * 1024**2


def sum_of(reference, parts):
    first, *others = map(reference.sums, parts)
    for other in others:
        first = first + other
    return first
