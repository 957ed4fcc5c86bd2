from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.data_checks import embedding_map as module
from evaluation.data_checks.check import TEST, TRAIN, VAL, Examples
from evaluation.data_checks.embedding_map import embedding_map


def examples(count: int = 90, several: bool = False) -> Examples:
    random = np.random.default_rng(0)
    of_class = np.arange(count) % 3
    labels = np.eye(3, dtype=bool)[of_class]
    if several:
        labels[:, 0] = True
    splits = np.repeat([TRAIN, VAL, TEST], count // 3)
    held_out = np.where(labels, 0.9, 0.05).astype(np.float32)
    held_out[:2] = held_out[:2, ::-1]
    held_out[splits == TEST] = np.nan
    features = (6 * np.eye(3)[of_class] + random.normal(size=(count, 3))).astype(np.float32)
    return Examples(
        [f"{row}.jpg" for row in range(count)], splits, ["a", "b", "c"], labels, not several, features, held_out
    )


def test_what_looks_alike_is_near_and_the_map_is_the_same_each_time() -> None:
    found = embedding_map(examples())
    assert found == embedding_map(examples())
    places = np.array([(point.x, point.y) for point in found.points])
    of_class = np.array([point.of_class for point in found.points])
    distances = np.linalg.norm(places[:, np.newaxis] - places, axis=2) + np.diag([np.inf] * len(places))
    assert np.mean(of_class[distances.argmin(axis=1)] == of_class) > 0.9


def test_points_say_split_and_mistake_and_test_is_not_judged() -> None:
    found = embedding_map(examples())
    assert [point.split for point in found.points[::30]] == [TRAIN, VAL, TEST]
    assert [point.mistaken for point in found.points[:3]] == [True, False, False], "the second is symmetric"
    assert {point.mistaken for point in found.points if point.split == TEST} == {None}


def test_several_labels_count_for_the_rarest() -> None:
    found = embedding_map(examples(several=True))
    assert [point.of_class for point in found.points[:3]] == [0, 1, 2]
    none = examples(several=True)
    none.labels[4] = False
    assert embedding_map(none).points[4].of_class == -1


def test_of_very_many_examples_some_are_drawn(monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_POINTS", 40)
    found = embedding_map(examples())
    assert len(found.points) == 40
    assert found.examples == 90


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_features_that_are_all_the_same_give_a_map(value: float) -> None:
    same = replace(examples(), features=np.full((90, 3), value, np.float32))
    assert len(embedding_map(same).points) == 90


def test_too_few_give_none() -> None:
    assert embedding_map(examples(9)) is None
