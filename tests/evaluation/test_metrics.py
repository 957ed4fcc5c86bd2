"""Metrics and intervals: against scikit-learn, published examples, and simulated test sets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from evaluation import intervals
from evaluation.evidence import CANDIDATE, CHAMPION, TestSet, change_interval, evidence_for, value_interval
from evaluation.gates import expand, judge
from evaluation.metrics import METRICS, metrics_of
from evaluation.metrics.calibration import CALIBRATION_BINS, reliability
from evaluation.predictions import MULTI_LABEL, SINGLE_LABEL, MultiLabel, SingleLabel
from finetune.config.evaluation import GateConfig

# They need more than predictions; recall at k has tests of its own, test_retrieval.py.
BEYOND = {"expected_cost", "retention", *(name for name in METRICS if "_recall_at_" in name)}
OVERALL = [name for name, metric in metrics_of(SINGLE_LABEL).items() if metric.overall and name not in BEYOND]
# As many as it takes for every metric to be defined.
CLASSES = dict.fromkeys(OVERALL, 5) | {"top_5_accuracy": 6}
OF_CLASS = ("precision", "recall", "f1")


def measure(metric: str, predictions, of_class: int | None = None) -> float:
    return METRICS[metric].value(predictions, of_class)


def noisy(labels: np.ndarray, classes: int, skill: float | np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Probabilities of a model of some skill; nothing else is known about the examples."""
    scores = random.normal(size=(len(labels), classes))
    scores[np.arange(len(labels)), labels] += skill
    odds = np.exp(1.5 * scores)
    return odds / odds.sum(axis=1, keepdims=True)


def predictions(examples: int = 300, classes: int = 5, skill: float = 1.5, seed: int = 1) -> SingleLabel:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, examples)
    return SingleLabel(labels, noisy(labels, classes, skill, random))


def by_bins(came_true: np.ndarray, promised: np.ndarray) -> float:
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    bins = [(promised > low) & (promised <= high) for low, high in itertools.pairwise(edges)]
    return sum(abs(came_true[b].mean() - promised[b].mean()) * b.mean() for b in bins if b.any())


def by_sklearn(metric: str, labels: np.ndarray, probabilities: np.ndarray) -> float:
    predicted = probabilities.argmax(axis=1)
    if metric == "accuracy":
        return sklearn_metrics.accuracy_score(labels, predicted)
    if metric == "loss":
        return sklearn_metrics.log_loss(labels, probabilities, labels=range(probabilities.shape[1]))
    if metric == "auc":
        return sklearn_metrics.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    if metric == "ece":
        return by_bins(predicted == labels, probabilities.max(axis=1))
    one_hot = np.eye(probabilities.shape[1])[labels]
    if metric == "brier":
        return ((probabilities - one_hot) ** 2).sum() / len(labels)
    if metric == "pr_auc":
        return sklearn_metrics.average_precision_score(one_hot, probabilities, average="macro")
    if metric.startswith("top_"):
        return sklearn_metrics.top_k_accuracy_score(labels, probabilities, k=int(metric.split("_")[1]))
    return sklearn_metrics.f1_score(labels, predicted, average=metric.removesuffix("_f1"), zero_division=0.0)


@pytest.mark.parametrize("metric", OVERALL)
@pytest.mark.parametrize("skill", [0.0, 1.5, 30.0])
def test_metrics_equal_those_of_scikit_learn(metric, skill):
    found = predictions(classes=CLASSES[metric], skill=skill)
    assert measure(metric, found) == pytest.approx(by_sklearn(metric, found.labels, found.probabilities), abs=1e-6)


@pytest.mark.parametrize("metric", OF_CLASS)
def test_metrics_of_a_class_equal_those_of_scikit_learn(metric):
    found = predictions(skill=0.5)
    # A class that is never predicted, and one that is never there.
    found.probabilities[:, 3] = 0
    chosen = found[found.labels != 4]
    score = getattr(sklearn_metrics, f"{metric}_score")
    expected = score(chosen.labels, chosen.predicted, labels=range(5), average=None, zero_division=0.0)
    assert [measure(metric, chosen, c) for c in range(5)] == pytest.approx(expected)


def roc_point(actual: np.ndarray, scores: np.ndarray, at: float = 0.95, reverse: bool = False) -> float:
    """Sensitivity at a specificity, or the reverse, by scikit-learn's curve."""
    false_alarms, hits, _ = sklearn_metrics.roc_curve(actual, scores, drop_intermediate=False)
    if reverse:
        return (1 - false_alarms)[hits >= at - 1e-9].max()
    return hits[1 - false_alarms >= at - 1e-9].max()


MULTI_LABEL_BY_SKLEARN = {
    "micro_f1": lambda found: sklearn_metrics.f1_score(found.actual, found.said, average="micro"),
    "macro_f1": lambda found: sklearn_metrics.f1_score(found.actual, found.said, average="macro"),
    "weighted_f1": lambda found: sklearn_metrics.f1_score(found.actual, found.said, average="weighted"),
    "mean_average_precision": lambda found: sklearn_metrics.average_precision_score(found.actual, found.probabilities),
    "auc": lambda found: sklearn_metrics.roc_auc_score(found.actual, found.probabilities),
    "exact_match": lambda found: sklearn_metrics.accuracy_score(found.actual, found.said),
    "hamming_loss": lambda found: sklearn_metrics.hamming_loss(found.actual, found.said),
    "loss": lambda found: np.mean(
        [sklearn_metrics.log_loss(*column) for column in zip(found.actual.T, found.probabilities.T, strict=True)]
    ),
    "ece": lambda found: by_bins(found.actual.ravel(), found.probabilities.ravel()),
    "retention": lambda found: sklearn_metrics.accuracy_score(
        found.actual[found.remembered], found.said[found.remembered]
    ),
}


def several_labels(seed: int = 1, examples: int = 200) -> MultiLabel:
    random = np.random.default_rng(seed)
    actual = random.random((examples, 4)) < [0.1, 0.3, 0.5, 0.9]
    probabilities = np.clip(random.normal(0.4 + 0.2 * actual, 0.2).round(2), 0.01, 0.99)
    said = probabilities >= [0.3, 0.4, 0.5, 0.6]
    return MultiLabel(actual, probabilities, said, remembered=np.arange(examples) % 3 > 0)


@pytest.mark.parametrize("metric", [name for name, metric in metrics_of(MULTI_LABEL).items() if metric.overall])
def test_metrics_of_several_labels_equal_those_of_scikit_learn(metric):
    found = several_labels()
    assert measure(metric, found) == pytest.approx(MULTI_LABEL_BY_SKLEARN[metric](found), abs=1e-9)


def test_metrics_of_each_label_equal_those_of_scikit_learn():
    found = several_labels()
    columns = list(zip(found.actual.T, found.probabilities.T, strict=True))
    by_sklearn = {
        "precision": sklearn_metrics.precision_score(found.actual, found.said, average=None),
        "recall": sklearn_metrics.recall_score(found.actual, found.said, average=None),
        "f1": sklearn_metrics.f1_score(found.actual, found.said, average=None),
        "specificity": sklearn_metrics.recall_score(~found.actual, ~found.said, average=None),
        "sensitivity_at_specificity": np.array([roc_point(*column) for column in columns]),
        "specificity_at_sensitivity": np.array([roc_point(*column, reverse=True) for column in columns]),
        "auc": sklearn_metrics.roc_auc_score(found.actual, found.probabilities, average=None),
        "mean_average_precision": sklearn_metrics.average_precision_score(
            found.actual, found.probabilities, average=None
        ),
    }
    assert set(by_sklearn) == {name for name, metric in metrics_of(MULTI_LABEL).items() if metric.per_class}
    for name, expected in by_sklearn.items():
        assert METRICS[name].class_values(found) == pytest.approx(expected.tolist()), name


def test_a_model_that_tells_no_classes_apart_is_right_about_the_first_k():
    labels = np.arange(5)
    for probabilities in (np.full((5, 5), 0.2), np.eye(5)[np.zeros(5, int)]):
        found = SingleLabel(labels, probabilities)
        assert measure("top_3_accuracy", found) == 0.6
        assert measure("accuracy", found) == 0.2


def test_no_more_classes_than_k_leave_top_k_accuracy_undefined():
    found = predictions(classes=3)
    assert np.isnan(measure("top_3_accuracy", found))
    assert measure("top_3_accuracy", predictions(classes=4)) > 0.9


def test_a_metric_that_is_undefined_is_not_a_number_and_refuses():
    one_class = SingleLabel(np.zeros(4, int), np.full((4, 2), 0.5))
    assert np.isnan(measure("auc", one_class))
    test_set = TestSet(["a", "b"], one_class.labels, {}, {CANDIDATE: one_class.probabilities})
    found = evidence_for(GateConfig(metric="auc", min=0.5), test_set)
    assert (found.value, found.missing) == (None, "it is undefined where all examples have the same label")


def test_the_reliability_bins_add_up_to_the_calibration_error():
    found = predictions()
    bins = reliability(found)
    assert sum(row["examples"] for row in bins) == len(found)
    error = sum(row["examples"] * abs(row["accuracy"] - row["confidence"]) for row in bins) / len(found)
    assert measure("ece", found) == pytest.approx(error, abs=1e-6)


def test_wilson_gives_the_published_figures():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    for hits, examples, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        found = intervals.wilson(hits, examples, 0.95)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_paired_shares_give_the_published_figures():
    # Newcombe 1998, "Improved confidence intervals for the difference ... paired data", table III, method 10.
    one = np.repeat([True, True, False, False], [36, 12, 2, 0])
    two = np.repeat([True, False, True, False], [36, 12, 2, 0])
    found = intervals.paired_shares(one, two, 0.95)
    assert (found.low, found.high) == pytest.approx((0.0569, 0.3404), abs=1e-4)
    turned = intervals.paired_shares(two, one, 0.95)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


@pytest.mark.parametrize("metric", OVERALL)
def test_intervals_hold_their_value_and_repeat(metric):
    found, other = (predictions(80, CLASSES[metric], skill=0.5, seed=seed) for seed in (1, 2))
    other = SingleLabel(found.labels, other.probabilities)
    interval = value_interval(METRICS[metric], found, 0.9)
    assert interval.low < measure(metric, found) < interval.high
    assert interval == value_interval(METRICS[metric], found, 0.9)
    assert (
        interval.high - interval.low
        < value_interval(METRICS[metric], found, 0.99).high - value_interval(METRICS[metric], found, 0.99).low
    )
    for compare in ("difference", "ratio"):
        change = change_interval(METRICS[metric], (found, other), compare, 0.9)
        values = measure(metric, found), measure(metric, other)
        assert change.low < (values[0] - values[1] if compare == "difference" else values[0] / values[1]) < change.high


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "weighted_f1", "auc", "pr_auc"])
def test_a_few_examples_all_right_prove_little(metric):
    labels = np.array([0, 1, 0, 1])
    assert value_interval(METRICS[metric], SingleLabel(labels, np.eye(2)[labels]), 0.95).low < 0.6


# The share of true values that intervals at 0.95 miss, over simulated test sets of a model whose truth is known.
@pytest.mark.parametrize("metric", OVERALL)
def test_intervals_miss_the_truth_no_more_often_than_they_may(metric):
    truth = measure(metric, predictions(100_000, CLASSES[metric], seed=9))
    misses = 0
    for seed in range(40):
        interval = value_interval(METRICS[metric], predictions(120, CLASSES[metric], seed=100 + seed), 0.95)
        misses += not interval.low <= truth <= interval.high
    # Of 40 draws at 0.05, more than 5 happen once in 70 times.
    assert misses <= 5


@pytest.mark.parametrize("metric", ["macro_f1", "loss", "ece"])
def test_of_many_examples_subsets_give_the_interval_that_all_would(metric, monkeypatch):
    calibrated = predictions(6_000, seed=3)
    too_sure = calibrated.probabilities**3
    found = SingleLabel(calibrated.labels, too_sure / too_sure.sum(axis=1, keepdims=True))
    whole = value_interval(METRICS[metric], found, 0.9)
    monkeypatch.setattr(intervals, "WHOLE", 5_000)
    monkeypatch.setattr(intervals, "SUBSET", 3_000)
    parts = value_interval(METRICS[metric], found, 0.9)
    width = whole.high - whole.low
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), abs=0.1 * width)
    assert parts.low != whole.low, "it is another draw"


def refusals(gates: list[GateConfig], make, trials: int = 50) -> list[list[str]]:
    """The names of the gates that fail, trial after trial; `make` gives a test set for a seed."""
    failed = []
    for seed in range(trials):
        test_set = make(seed)
        results = judge(expand(gates, test_set.cells), lambda gate: evidence_for(gate, test_set))  # noqa: B023
        failed.append([result.name for result in results if not result.passed])
    return failed


def duel(seed: int, worse_at: int | None = None, examples: int = 300) -> TestSet:
    """Two models of equal skill that err independently; the candidate may be worse at one class."""
    random = np.random.default_rng([seed, examples])
    labels = random.integers(0, 5, examples)
    names = np.array(["daisy", "dandelion", "rose", "sunflower", "tulip"])
    skill = np.where(labels == worse_at, -1.0, 2.0)
    models = {CANDIDATE: noisy(labels, 5, skill, random), CHAMPION: noisy(labels, 5, 2.0, random)}
    return TestSet(names.tolist(), labels, {"label": names[labels]}, models)


@pytest.mark.parametrize(
    "gate",
    [
        *({"metric": metric, "min": 0} for metric in ("accuracy", "macro_f1", "weighted_f1", "auc")),
        *({"metric": metric, "max": 0} for metric in ("loss", "ece")),
        {"metric": "accuracy", "min": 0, "slice": {"label": "*"}},
        {"metric": "recall", "min": 0, "of_class": "*"},
        {"metric": "loss", "max": 1, "compare": "ratio"},
    ],
    ids=lambda gate: f"{gate['metric']}{'_each' if 'slice' in gate or 'of_class' in gate else ''}",
)
def test_an_equal_candidate_is_refused_by_noise_no_more_often_than_the_level_allows(gate):
    """At 0.95, 2 of 50 trials may fail; the gate has no margin: any loss to the champion counts."""
    asked = GateConfig(**gate, relative_to="champion", confidence=0.95)
    failed = [names for names in refusals([asked], duel) if names]
    assert len(failed) <= 2


def test_without_confidence_noise_refuses_about_half_of_all_equal_candidates():
    """What the intervals are for; it also shows that the trials above can fail."""
    failed = refusals([GateConfig(metric="accuracy", min=0, relative_to="champion")], duel)
    assert 15 <= sum(map(bool, failed)) <= 35


def test_a_candidate_worse_at_one_class_is_refused_and_the_class_is_named():
    gate = GateConfig(metric="accuracy", min=0, relative_to="champion", slice={"label": "*"}, confidence=0.95)
    failed = refusals([gate], lambda seed: duel(seed, worse_at=2))
    rose = "accuracy - champion >= +0 on label=rose at 99 %"
    assert all(rose in names for names in failed)
    assert sum(len(names) > 1 for names in failed) <= 2, "other classes are refused by noise alone"


def test_a_margin_over_the_best_baseline():
    found = predictions(400, skill=3.0)
    shares = np.bincount(found.labels, minlength=5) / 400
    models = {
        CANDIDATE: found.probabilities,
        "majority": np.tile(shares, (400, 1)),
        "logistic_regression": noisy(found.labels, 5, 1.0, np.random.default_rng(5)),
    }
    best_of_all = {"teacher": np.eye(5)[found.labels]}
    test_set = TestSet(list("abcde"), found.labels, {}, {**models, **best_of_all})
    best = evidence_for(GateConfig(metric="accuracy", min=0.1, relative_to="baseline"), test_set)
    assert best.reference_name == "logistic regression", "nobody expects a pupil above its teacher"
    beside = evidence_for(GateConfig(metric="accuracy", min=-0.1, relative_to="teacher"), test_set)
    assert (beside.reference, beside.reference_name) == (1.0, "teacher")
    least = evidence_for(GateConfig(metric="loss", max=0, relative_to="baseline"), test_set)
    assert least.reference == min(measure("loss", test_set.of(name)) for name in list(models)[1:])
    named = evidence_for(GateConfig(metric="accuracy", min=0.1, relative_to="majority"), test_set)
    assert named.reference == pytest.approx(shares.max())
    absent = evidence_for(GateConfig(metric="accuracy", min=0.1, relative_to="from_scratch"), test_set)
    assert absent.missing == "from_scratch: no such baseline was scored"


def test_slices_are_by_the_values_of_columns_and_crosses():
    found = predictions(40, classes=2)
    sites = np.array(["a", "b"])[np.arange(40) % 2]
    columns = {"label": np.array(["x", "y"])[found.labels], "site": sites}
    test_set = TestSet(["x", "y"], found.labels, columns, {CANDIDATE: found.probabilities})
    assert test_set.combinations(["label", "site"]) == [["x", "a"], ["x", "b"], ["y", "a"], ["y", "b"]]
    both = {"label": "x", "site": "b"}
    one = evidence_for(GateConfig(metric="accuracy", min=0, slice=both), test_set)
    members = (columns["label"] == "x") & (sites == "b")
    assert (one.value, one.examples) == (found.correct[members].mean(), members.sum())
    nowhere = evidence_for(GateConfig(metric="accuracy", min=0, slice={"site": "c"}), test_set)
    assert (nowhere.value, nowhere.missing) == (None, "the test split has no example with site=c")
    stranger = evidence_for(GateConfig(metric="f1", min=0, of_class="z"), test_set)
    assert stranger.missing == "there is no class 'z'; there are x, y"


def test_counts_are_those_of_the_confusion_matrix():
    found = predictions()
    matrix = sklearn_metrics.confusion_matrix(found.labels, found.predicted)
    counts = found.counts(np.ones((1, len(found))))
    assert counts.hits[0].tolist() == np.diag(matrix).tolist()
    assert counts.actual[0].tolist() == matrix.sum(axis=1).tolist()
    assert counts.said[0].tolist() == matrix.sum(axis=0).tolist()
