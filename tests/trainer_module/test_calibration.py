"""One number that makes probabilities mean what they say, and that changes no decision."""

from __future__ import annotations

import numpy as np
import pytest

from trainer_module.calibration import COLDEST, HOTTEST, calibrate, fit_temperature
from trainer_module.tasks import TASKS


def drawn(examples: int, classes: int, single: bool, seed: int = 1):
    """Logits that are true, and labels drawn by them."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (examples, classes))
    if single:
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        labels = np.array([random.choice(classes, p=row) for row in probabilities])
    else:
        labels = (random.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    return logits, labels


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.parametrize("sureness", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_how_much_too_sure_logits_are(task, sureness):
    true, labels = drawn(4000, 4, task == "single_label")
    found = calibrate(task, labels, true * sureness, "made up")
    assert found.temperature == pytest.approx(sureness, rel=0.06)
    assert found.loss_after <= found.loss_before
    targets = TASKS[task].targets(labels, 4)
    assert found.loss_after == pytest.approx(TASKS[task].of_logits(targets, true).losses.mean(), rel=1e-3)
    if sureness == 3.0:
        assert found.ece_after < found.ece_before / 3
    before, after = (
        TASKS[task].of_logits(targets, true * sureness / divisor).hits for divisor in (1.0, found.temperature)
    )
    np.testing.assert_array_equal(before, after)


def test_a_few_examples_that_are_all_right_do_not_make_certain():
    task = TASKS["single_label"]
    for examples, least in ((10, 0.25), (1000, COLDEST)):
        targets = task.targets(np.arange(examples) % 2, 2)
        surer, hotter = (fit_temperature(task, targets, sign * 4 * (targets - 0.5)) for sign in (1, -1))
        assert least <= surer < 1 < hotter <= HOTTEST
    assert fit_temperature(task, targets, np.zeros((1000, 2))) == pytest.approx(1.0, abs=1e-3)
