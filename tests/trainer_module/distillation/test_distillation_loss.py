"""The loss of a taught example and its slopes, beside formulas in NumPy that share nothing with it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from finetune.config import DistillationConfig, TrainingConfig
from trainer_module.distillation.taught import TaughtLabels, taught_objective
from trainer_module.examples.mixing import MixedLabels, of_labels
from trainer_module.tasks import TASKS

NAMES = ("1", "2", "3", "4")
BATCH, CLASSES = 6, len(NAMES)


def drawn(seed: int = 1, size: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, size, (BATCH, CLASSES))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def single(student: np.ndarray, teacher: np.ndarray, labels: np.ndarray, weight: float, t: float) -> np.ndarray:
    """The loss of each example, from logits, float64."""
    soft, found = softmax(teacher / t), softmax(student / t)
    apart = (soft * (np.log(soft) - np.log(found))).sum(axis=1)
    return weight * t**2 * apart - (1 - weight) * np.log(softmax(student)[np.arange(BATCH), labels])


def multi(student: np.ndarray, teacher: np.ndarray, labels: np.ndarray, weight: float, t: float) -> np.ndarray:
    soft, found = sigmoid(teacher / t), sigmoid(student / t)
    apart = soft * np.log(soft / found) + (1 - soft) * np.log((1 - soft) / (1 - found))
    said = sigmoid(student)
    hard = -(labels * np.log(said) + (1 - labels) * np.log(1 - said))
    return (weight * t**2 * apart + (1 - weight) * hard).mean(axis=1)


def slopes(loss, student: np.ndarray) -> np.ndarray:
    """By central differences in float64."""
    found, step = np.zeros_like(student), 1e-5
    for place in np.ndindex(*student.shape):
        move = np.zeros_like(student)
        move[place] = step
        found[place] = ((loss(student + move) - loss(student - move)) / (2 * step))[place[0]]
    return found


def product(task: str, student: np.ndarray, teacher: np.ndarray, labels: np.ndarray, known=None, **config):
    """The loss and its slopes as training computes them, of probabilities as models give and serve them."""
    activation = {"single_label": (tf.nn.softmax, softmax), "multi_label": (tf.sigmoid, sigmoid)}[task]
    plain = TASKS[task].objective(TrainingConfig(), NAMES, None)
    objective = taught_objective(plain, TASKS[task], DistillationConfig(teacher="t", **config))
    known = np.ones(BATCH) if known is None else known
    said = tf.constant(activation[1](teacher), tf.float32)
    beside = TaughtLabels(tf.constant(labels), said, tf.constant(known, tf.float32))
    logits = tf.constant(student, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = objective.loss(beside, activation[0](logits))
    return losses.numpy(), tape.gradient(losses, logits).numpy()


CASES = [
    ("single_label", single, np.arange(BATCH) % CLASSES),
    ("multi_label", multi, np.random.default_rng(5).integers(0, 2, (BATCH, CLASSES)).astype(np.float32)),
]


@pytest.mark.parametrize(("task", "formula", "labels"), CASES, ids=["softmax", "sigmoids"])
@pytest.mark.parametrize("temperature", [1.0, 5.0, 20.0])
@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_loss_and_slopes_are_those_of_the_formula(task, formula, labels, temperature, weight):
    student, teacher = drawn(1), drawn(2)
    losses, found = product(task, student, teacher, labels, temperature=temperature, weight=weight)
    np.testing.assert_allclose(losses, formula(student, teacher, labels, weight, temperature), rtol=2e-4, atol=2e-5)
    expected = slopes(lambda moved: formula(moved, teacher, labels, weight, temperature), student)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-4)


def test_the_slope_of_the_softened_part_is_the_difference_of_both_times_the_temperature():
    # Hinton et al. 2015, equation 2, times T^2.
    student, teacher, temperature = drawn(1), drawn(2), 5.0
    _, found = product("single_label", student, teacher, CASES[0][2], temperature=temperature, weight=1.0)
    expected = temperature * (softmax(student / temperature) - softmax(teacher / temperature))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_slope_keeps_its_size_whatever_the_temperature():
    student, teacher = drawn(1), drawn(2)
    # At a high temperature, that of logits without their mean, divided by the number of classes (equation 4).
    _, found = product("single_label", student, teacher, CASES[0][2], temperature=100.0, weight=1.0)
    centred = (student - student.mean(axis=1, keepdims=True)) - (teacher - teacher.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(found, centred / CLASSES, atol=0.05)


def test_what_a_calibrated_teacher_serves_is_softened_further():
    student, teacher, labels = drawn(1), drawn(2), CASES[0][2]
    calibrated, _ = product("single_label", student, teacher / 2.0, labels, temperature=3.0, weight=1.0)
    soft, found = softmax(teacher / 6.0), softmax(student / 3.0)
    np.testing.assert_allclose(calibrated, 9 * (soft * np.log(soft / found)).sum(axis=1), rtol=1e-3)


def test_an_example_without_a_label_has_the_softened_part_alone():
    student, teacher, labels = drawn(1), drawn(2), CASES[0][2]
    known = np.array([1, 0, 1, 0, 1, 0])
    losses, _ = product("single_label", student, teacher, labels, known, weight=0.5)
    expected = np.where(
        known, single(student, teacher, labels, 0.5, 5.0), 0.5 * single(student, teacher, labels, 1.0, 5.0)
    )
    np.testing.assert_allclose(losses, expected, rtol=2e-4)


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_sure_teachers_and_models_give_finite_losses_and_slopes(task):
    sure = 200.0 * np.eye(CLASSES)[np.arange(BATCH) % CLASSES] - 100.0
    labels = CASES[list(TASKS).index(task)][2]
    with np.errstate(over="ignore"):
        losses, found = product(task, sure, sure[::-1].copy(), labels)
    assert np.isfinite(losses).all()
    assert np.isfinite(found).all()


def test_mixed_pairs_are_taught_by_both_by_their_shares():
    student, labels = softmax(drawn(1)).astype(np.float32), tf.constant(CASES[0][2])
    said, known = (tf.constant(each, tf.float32) for each in (softmax(drawn(2)), np.ones(BATCH)))
    one = TaughtLabels(labels, said, known)
    other = tf.nest.map_structure(lambda each: tf.roll(each, -1, 0), one)
    task = TASKS["single_label"]
    plain = task.objective(TrainingConfig(), NAMES, None)
    objective = taught_objective(plain, task, DistillationConfig(teacher="t"))
    mixed = of_labels(objective.loss, MixedLabels(one, other, tf.fill([BATCH], 0.3)), student)
    expected = 0.3 * objective.loss(one, student) + 0.7 * objective.loss(other, student)
    np.testing.assert_allclose(mixed, expected)
