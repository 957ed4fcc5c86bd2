"""The logistic regression inside a softmax layer, against scikit-learn's own probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trainer_module.linear_baseline import fit


@pytest.mark.parametrize("classes", [2, 4])
def test_the_layer_says_what_scikit_learn_says(classes):
    random = np.random.default_rng(1)
    labels = np.arange(90) % classes
    values = random.normal(size=(90, 6)) * [1, 10, 0.1, 1, 1, 0] + labels[:, np.newaxis] * [1, 3, 0.1, 0, 0, 0]
    expected = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(values, labels)
    kernel, offset = fit(values, labels, classes)
    odds = np.exp(values @ kernel + offset)
    assert odds / odds.sum(axis=1, keepdims=True) == pytest.approx(expected.predict_proba(values), abs=1e-4)


def test_a_class_without_examples_is_never_predicted():
    values = np.random.default_rng(1).normal(size=(30, 3))
    kernel, offset = fit(values, np.array([0, 2] * 15), 3)
    odds = np.exp(values @ kernel + offset)
    assert (odds[:, 1] / odds.sum(axis=1)).max() < 1e-12
