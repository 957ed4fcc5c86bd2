"""Where what belongs to a picture or a text stands among all: against a search that looks at every one."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation import retrieval
from evaluation.evidence import value_interval
from evaluation.metrics import METRICS
from evaluation.predictions import SingleLabel
from evaluation.retrieval import NO_RANK, by_chance, ranks


def vectors_of(contents: np.ndarray, seed: int) -> np.ndarray:
    """Random vectors of length 1, the same for the same content."""
    drawn = np.random.default_rng(seed).normal(size=(2, contents.max() + 1, 6))
    found = np.stack([drawn[side][contents[:, side]] for side in (0, 1)], axis=1)
    return found / np.linalg.norm(found, axis=2, keepdims=True)


def searched(vectors: np.ndarray, contents: np.ndarray) -> np.ndarray:
    """Looks at every other side in turn."""
    whole = [number for number in range(len(contents)) if contents[number].all()]
    found = np.full(contents.shape, NO_RANK)
    for side in (0, 1):
        for number in whole:
            own = {contents[one, 1 - side] for one in whole if contents[one, side] == contents[number, side]}
            similar = {contents[one, 1 - side]: vectors[one, 1 - side] @ vectors[number, side] for one in whole}
            best = max(similar[one] for one in own)
            found[number, side] = sum(value > best for one, value in similar.items() if one not in own)
    return found


def test_ranks_are_those_of_a_search_one_by_one():
    contents = np.random.default_rng(1).integers(1, 12, (40, 2))
    contents[3, 0] = contents[7, 1] = 0
    contents[9] = 0
    vectors = vectors_of(contents, 2)
    assert ranks(vectors, contents).tolist() == searched(vectors, contents).tolist()


def test_blocks_change_nothing(monkeypatch):
    contents = np.arange(1, 41).reshape(20, 2)
    vectors = vectors_of(contents, 3)
    whole = ranks(vectors, contents)
    monkeypatch.setattr(retrieval, "_AT_ONCE", 45)
    assert np.array_equal(ranks(vectors, contents), whole)


def test_vectors_that_are_the_same_on_both_sides_find_each_other():
    contents = np.arange(1, 31)[:, np.newaxis].repeat(2, axis=1)
    vectors = vectors_of(contents, 4)
    vectors[:, 1] = vectors[:, 0]
    assert not ranks(vectors, contents).any()


def test_where_no_example_has_both_sides_there_is_nothing_to_find():
    contents = np.array([[1, 0], [0, 2]])
    assert (ranks(np.ones((2, 2, 3)), contents) == NO_RANK).all()
    assert (by_chance(contents) == NO_RANK).all()


def test_by_chance_every_order_is_as_likely():
    """Of five texts, one is a picture's; of 4,000 pictures, a fifth are a text's."""
    contents = np.stack([np.arange(1, 4001), np.arange(4000) % 5 + 1], axis=1)
    found = by_chance(contents)
    shares = np.bincount(found[:, 0], minlength=5) / 4000
    assert np.abs(shares - 0.2).max() < 0.03
    for k in (1, 5):
        assert np.mean(found[:, 1] < k) == pytest.approx(1 - 0.8**k, abs=0.03)


def test_recall_counts_those_that_have_both_sides():
    found = SingleLabel(
        np.zeros(6, int), np.eye(2)[[0] * 6], ranks=np.array([[0, 9]] * 2 + [[3, 4], [7, 0]] + [[-1, -1]] * 2)
    )
    values = {name: METRICS[name].value(found) for name in METRICS if "_recall_at_" in name}
    assert values == {
        "image_to_text_recall_at_1": 0.5,
        "image_to_text_recall_at_5": 0.75,
        "text_to_image_recall_at_1": 0.25,
        "text_to_image_recall_at_5": 0.5,
    }
    interval = value_interval(METRICS["image_to_text_recall_at_1"], found, 0.95)
    assert interval.low == pytest.approx(0.150, abs=1e-3), "Wilson's of 2 in 4"
    assert np.isnan(METRICS["image_to_text_recall_at_1"].value(found[4:]))
    assert np.isnan(METRICS["image_to_text_recall_at_1"].value(SingleLabel(found.labels, found.probabilities)))
