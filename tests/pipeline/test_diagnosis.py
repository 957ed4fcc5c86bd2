"""What the course of a training says: each finding on the curve that shows it, and on no other."""

from __future__ import annotations

import pytest

from finetune.artifacts.run_summary import RunSummary
from finetune.artifacts.training_history import CurvePoint
from pipeline.report.diagnosis import diagnose

HEALTHY = ([1.0, 0.5, 0.3, 0.25, 0.24], [0.9, 0.6, 0.45, 0.42, 0.42])
CALIBRATION = {
    "temperature": 2,
    "measured_on": "val",
    "loss_before": 1,
    "loss_after": 0,
    "ece_before": 0,
    "ece_after": 0,
}


def course(losses, val_losses, **changes):
    points = [
        CurvePoint(phase="tune", epoch=epoch, loss=loss, accuracy=0.9, val_loss=val, val_accuracy=0.9,
                   learning_rate=1e-5)
        for epoch, (loss, val) in enumerate(zip(losses, val_losses, strict=True), start=1)
    ]  # fmt: skip
    best = min(range(len(points)), key=lambda place: val_losses[place])
    row = {"name": "tune", "epochs": len(points), "seconds": 1, "trainable_parameters": 1, "total_parameters": 1}
    row |= {"val_loss": min(val_losses), "val_accuracy": 0.9, "best_epoch": best + 1, **changes}
    return points, row


def said(losses, val_losses, val=1000, search=None, calibration=None, last_accuracy=0.9, **changes) -> list[str]:
    points, row = course(losses, val_losses, **changes)
    points[-1] = points[-1].model_copy(update={"val_accuracy": last_accuracy})
    facts = {"phases": [row], "splits": {"val": val}, "search": search, "calibration": calibration}
    return diagnose(points, RunSummary(run_id="1", status="pushed", **facts))


def test_a_healthy_course_says_nothing():
    assert said(*HEALTHY) == []
    assert diagnose([], RunSummary(run_id="1", status="failed")) == []


@pytest.mark.parametrize(
    ("losses", "val_losses", "changes", "words"),
    [
        (
            [1.0, 0.5, 0.2, 0.1],
            [0.6, 0.5, 0.52, 0.6],
            {},
            ("tune over-fits", "epoch 2 on", "0.500 to 0.600", "0.500 to 0.100", "`training.phases[0].epochs` to"),
        ),
        (
            [1.0, 0.8, 0.7, 0.6, 0.5],
            [1.0, 0.9, 0.8, 0.7, 0.6],
            {},
            ("tune under-fits", "last 1 of 5 epochs", "0.700 to 0.600", "Raise `training.phases[0].epochs`"),
        ),
        (
            [1.0, 0.999, 0.998, 0.995],
            [1.0, 0.999, 0.998, 0.997],
            {},
            ("tune hardly moves", "1.000 to 0.995", "rate of 1e-05", "training.phases[0].learning_rate"),
        ),
        (
            [1.0, 0.5, 0.2, 0.1],
            [0.6, 0.7, 0.8, 0.9],
            {"best_epoch": 0, "val_loss": 0.55},
            ("tune did nothing", "in 4 epochs", "lower than the 0.550", "training.phases[0].learning_rate"),
        ),
        (*HEALTHY, {"interpolation": 0.0}, ("tune did nothing",)),
    ],
)  # fmt: skip
def test_each_finding_has_its_numbers_and_its_key(losses, val_losses, changes, words):
    (sentence,) = said(losses, val_losses, **changes)
    for expected in words:
        assert expected in sentence


def test_a_phase_that_stopped_early_does_not_want_more_epochs_and_noise_is_no_overfitting():
    falling = [1.0, 0.8, 0.7, 0.6, 0.5], [1.0, 0.9, 0.8, 0.7, 0.6]
    assert said(*falling, stopped_early=True) == []
    assert said([1.0, 0.5, 0.2, 0.1], [0.6, 0.5, 0.52, 0.54]) == []
    assert said([1.0, 0.5, 0.6, 0.55], [0.6, 0.5, 0.52, 0.6]) == [], "training gains nothing either"
    assert said([1.0, float("nan"), 0.2], [0.6, 0.5, 0.9]) == []
    assert said([1.0, 0.5], [0.5, 0.9]) == [], "two epochs are no trend"


def test_what_the_temperature_takes_back_is_no_overfitting_unless_fewer_are_right():
    rising = [1.0, 0.5, 0.2, 0.1], [0.6, 0.5, 0.52, 0.6]
    assert said(*rising, calibration=CALIBRATION) == []
    (sentence,) = said(*rising, calibration=CALIBRATION, last_accuracy=0.89)
    assert "tune over-fits" in sentence


@pytest.mark.parametrize(("val", "wide"), [(90, True), (139, False), (30, True), (0, False)])
def test_too_few_validation_examples_are_told(val, wide):
    found = said(*HEALTHY, val=val)
    assert bool(found) == wide
    if val == 90:
        assert "on 90 examples an accuracy of 90%" in found[0]
        assert "within 6 points" in found[0]
        assert "`data.splits.val`" in found[0]
        assert "139 would do for 5 points" in found[0]


def test_a_search_names_no_phase_of_the_config():
    search = {"candidates": [], "chosen": "a", "reason": "b", "budget_minutes": 1, "seconds": 1, "val_examples": 1}
    (sentence,) = said([1.0, 0.5, 0.2, 0.1], [0.6, 0.5, 0.52, 0.6], search=search)
    assert "training.phases[0]" not in sentence
