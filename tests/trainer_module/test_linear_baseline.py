"""The logistic regression inside a softmax layer, against scikit-learn's own probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trainer_module.tasks.regression import multinomial, one_vs_rest


@pytest.mark.parametrize("classes", [2, 4])
def test_the_layer_says_what_scikit_learn_says(classes):
    random = np.random.default_rng(1)
    labels = np.arange(90) % classes
    values = random.normal(size=(90, 6)) * [1, 10, 0.1, 1, 1, 0] + labels[:, np.newaxis] * [1, 3, 0.1, 0, 0, 0]
    expected = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(values, labels)
    kernel, offset = multinomial(values, labels, classes)
    odds = np.exp(values @ kernel + offset)
    assert odds / odds.sum(axis=1, keepdims=True) == pytest.approx(expected.predict_proba(values), abs=1e-4)


def test_a_class_without_examples_is_never_predicted():
    values = np.random.default_rng(1).normal(size=(30, 3))
    kernel, offset = multinomial(values, np.array([0, 2] * 15), 3)
    odds = np.exp(values @ kernel + offset)
    assert (odds[:, 1] / odds.sum(axis=1)).max() < 1e-12


def test_each_label_against_the_rest_says_what_scikit_learn_says():
    random = np.random.default_rng(1)
    values = random.normal(size=(90, 4)) * [1, 10, 0.1, 0]
    labels = (values[:, :3] * [1, 0.1, 10] + random.normal(size=(90, 3)) > [0, 1, -1]).astype(np.float32)
    kernel, offset = one_vs_rest(values, labels)
    for column in range(3):
        expected = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(values, labels[:, column])
        odds = np.exp(values @ kernel[:, column] + offset[column])
        assert odds / (1 + odds) == pytest.approx(expected.predict_proba(values)[:, 1], abs=1e-4)


def test_labels_that_all_have_or_none_has_are_always_said_so():
    values = np.random.default_rng(1).normal(size=(30, 3))
    kernel, offset = one_vs_rest(values, np.tile([1.0, 0.0], (30, 1)))
    logits = values @ kernel + offset
    assert logits[:, 0].min() > 30
    assert logits[:, 1].max() < -30
