"""A fitted head: what scikit-learn finds at the same penalty, chosen by examples that no fit had seen."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from trainer_module import probe
from trainer_module.probe import PENALTIES, fit_probe
from trainer_module.tasks import TASKS

SINGLE, MULTI = TASKS["single_label"], TASKS["multi_label"]


def clusters(examples: int, features: int, classes: int, noise: float = 3.0, seed: int = 1):
    """Features whose first dimensions tell the class, of widely different sizes and offsets, and labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(examples) % classes
    values = random.normal(0, noise, (examples, features))
    values[:, :classes] += 4 * np.eye(classes)[labels]
    scales = np.exp(random.normal(0, 2, features))
    return (values * scales + 5 * scales).astype(np.float32), labels


@pytest.mark.parametrize(("examples", "features"), [(60, 200), (300, 20)], ids=["rotated", "as it is"])
@pytest.mark.parametrize("classes", [2, 4])
def test_it_is_the_optimum_at_its_penalty(examples, features, classes):
    values, labels = clusters(examples, features, classes)
    found = fit_probe(SINGLE, values[np.newaxis], labels, classes, seed=1)
    scaler = StandardScaler().fit(values)
    # With two classes, both columns share the weights of one.
    strength = 1 / found.penalty if classes > 2 else 2 / found.penalty
    reference = LogisticRegression(C=strength, max_iter=10_000, tol=1e-8).fit(scaler.transform(values), labels)
    expected = reference.predict_proba(scaler.transform(values))
    np.testing.assert_allclose(
        SINGLE.of_logits(np.eye(classes)[labels], found.of(values)).probabilities, expected, atol=4e-3
    )


def test_no_step_of_it_is_one_that_may_not_converge(monkeypatch):
    def unlucky(*_, **__):
        raise np.linalg.LinAlgError("SVD did not converge")

    # As LAPACK's does on features of some networks, though they are finite.
    monkeypatch.setattr(np.linalg, "svd", unlucky)
    values, labels = clusters(60, 200, 2)
    assert fit_probe(SINGLE, values[np.newaxis], labels, 2, seed=1).loss < 0.7


def test_several_labels_are_fitted_each_against_the_rest():
    values, kinds = clusters(300, 12, 3)
    labels = np.stack([kinds == 0, kinds != 1, np.zeros(300)], axis=1).astype(np.float32)
    found = fit_probe(MULTI, values[np.newaxis], labels, 3, seed=1)
    scaler = StandardScaler().fit(values)
    probabilities = MULTI.of_logits(labels, found.of(values)).probabilities
    for column in (0, 1):
        # The loss is the mean over three labels.
        reference = LogisticRegression(C=1 / (3 * found.penalty), max_iter=10_000, tol=1e-8)
        expected = reference.fit(scaler.transform(values), labels[:, column]).predict_proba(scaler.transform(values))
        np.testing.assert_allclose(probabilities[:, column], expected[:, 1], atol=4e-3)
    assert probabilities[:, 2].max() < 1e-2, "a label that no example has"


def test_held_out_logits_are_of_fits_that_had_not_seen_the_example_or_its_mirror_image():
    random = np.random.default_rng(1)
    one = random.normal(size=(40, 100)).astype(np.float32)
    labels = random.integers(0, 2, 40)
    # Labels at random: whoever sees a view of an example in training says its label.
    found = fit_probe(SINGLE, np.stack([one, one]), labels, 2, seed=1)
    assert sorted(found.rows) == list(range(40))
    losses = SINGLE.of_logits(np.eye(2)[labels[found.rows]], found.logits).losses
    assert losses.mean() == pytest.approx(found.loss, rel=1e-4)
    assert found.loss > 0.6
    assert found.penalty >= PENALTIES[3], "nothing to learn wants the strongest penalties"


def test_the_penalty_is_the_one_with_the_lowest_loss_on_held_out_folds():
    values, labels = clusters(200, 30, 3)
    found = fit_probe(SINGLE, values[np.newaxis], labels, 3, seed=1)
    scaled = StandardScaler().fit_transform(values)
    rows, folds = probe._folds(labels, 1)

    def loss(penalty: float) -> float:
        total = 0.0
        for fold in np.unique(folds):
            seen, held_out = rows[folds != fold], rows[folds == fold]
            model = LogisticRegression(C=1 / (penalty * len(seen) / len(rows)), max_iter=5000)
            model.fit(scaled[seen], labels[seen])
            total += log_loss(labels[held_out], model.predict_proba(scaled[held_out]), normalize=False)
        return total / len(rows)

    assert loss(found.penalty) == min(loss(penalty) for penalty in PENALTIES)
    assert found.loss == pytest.approx(loss(found.penalty), rel=5e-3)


def test_folds_have_the_classes_in_equal_shares_and_many_examples_are_thinned_alike(monkeypatch):
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    rows, folds = probe._folds(labels, 3)
    for fold in range(probe.FOLDS):
        assert np.bincount(labels[rows[folds == fold]]).tolist() == [10, 6, 4]
    monkeypatch.setattr(probe, "MOST_IN_CROSS_VALIDATION", 50)
    rows, folds = probe._folds(labels, 3)
    assert np.bincount(labels[rows]).tolist() == [25, 15, 10]
    assert len(set(rows)) == 50
    values, labels = clusters(200, 10, 4)
    found = fit_probe(SINGLE, values[np.newaxis], labels, 4, seed=1)
    assert found.logits.shape == (50, 4)


def test_what_is_held_out_is_of_groups_that_the_fit_has_not_seen(monkeypatch):
    """Each patient has features and a label of its own: who has seen a patient knows all pictures of it."""
    random = np.random.default_rng(1)
    patients = np.repeat(np.arange(40), 8)
    values = (random.normal(size=(40, 60))[patients] + random.normal(0, 0.1, (320, 60))).astype(np.float32)
    labels = random.integers(0, 2, 40)[patients]
    names = [f"patient {number}" for number in patients]
    for most in (2500, 100):
        monkeypatch.setattr(probe, "MOST_IN_CROSS_VALIDATION", most)
        rows, folds = probe._folds(labels, 1, names)
        assert len(rows) == min(most, 320)
        assert all(len(set(folds[patients[rows] == patient])) == 1 for patient in set(patients[rows]))
        seen, unseen = (
            np.mean(probe.held_out_logits(SINGLE, values, labels, 2, 1, groups).argmax(axis=1) == labels)
            for groups in ([], names)
        )
        assert seen > 0.95
        assert unseen < 0.7
    together = fit_probe(SINGLE, values[np.newaxis], labels, 2, 1, groups=names)
    assert together.loss > 2 * fit_probe(SINGLE, values[np.newaxis], labels, 2, 1).loss
    assert len(set(probe._folds(labels, 1, ["one patient"] * 320)[1])) == probe.FOLDS


def test_features_that_are_the_same_for_all_tell_no_more_than_how_frequent_classes_are():
    labels = np.arange(40) % 4 // 3
    logits = probe.held_out_logits(SINGLE, np.ones((40, 100), np.float32), labels, 2, seed=1)
    assert (logits.argmax(axis=1) == 0).all()


def test_the_same_seed_fits_the_same_layer():
    values, labels = clusters(60, 100, 3)
    one, again, other = (fit_probe(SINGLE, values[np.newaxis], labels, 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.kernel, again.kernel)
    np.testing.assert_array_equal(one.logits, again.logits)
    assert not np.array_equal(one.rows, other.rows)


def test_weights_of_classes_count():
    values, labels = clusters(200, 5, 2, noise=8.0)
    plain, heavy = (
        SINGLE.of_logits(np.eye(2)[labels], fit_probe(SINGLE, values[np.newaxis], labels, 2, 1, weights).of(values))
        for weights in (None, [1.0, 5.0])
    )
    assert heavy.probabilities[:, 1].mean() > plain.probabilities[:, 1].mean() + 0.1


def test_odd_features_do_no_harm():
    values, labels = clusters(30, 8, 2)
    values[:, 0], values[:, 1] = 7.0, 1e6 + values[:, 2]
    found = fit_probe(SINGLE, values[np.newaxis], labels, 2, seed=1)
    assert np.isfinite(found.kernel).all()
    assert not found.kernel[0].any(), "a feature that never changes says nothing"
    two = fit_probe(SINGLE, values[np.newaxis, :2], labels[:2], 2, seed=1)
    assert np.isfinite(two.of(values)).all()
    lonely = labels.copy()
    lonely[0] = 2
    assert np.isfinite(fit_probe(SINGLE, values[np.newaxis], lonely, 3, seed=1).loss)


def test_every_example_gets_logits_of_a_fit_that_had_not_seen_it(monkeypatch):
    values, labels = clusters(300, 12, 3)
    few = probe.held_out_logits(SINGLE, values, labels, 3, seed=1)
    np.testing.assert_array_equal(few[fit_probe(SINGLE, values[np.newaxis], labels, 3, seed=1).rows[0]].shape, (3,))
    monkeypatch.setattr(probe, "MOST_IN_CROSS_VALIDATION", 100)
    logits = probe.held_out_logits(SINGLE, values, labels, 3, seed=1)
    assert logits.shape == (300, 3)
    agree = np.mean(logits.argmax(axis=1) == few.argmax(axis=1))
    assert agree > 0.95
    # An example that says of itself alone what it is cannot be known by a fit that has not seen it.
    own = np.zeros((300, 301), np.float32)
    own[np.arange(300), np.arange(300)] = 1
    blind = probe.held_out_logits(SINGLE, own, labels, 3, seed=1)
    assert np.mean(blind.argmax(axis=1) == labels) < 0.5
