"""Metrics by scikit-learn inside TFMA's combiner: what it gathers, in however many pieces."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow_model_analysis")

from tensorflow_model_analysis.metrics import metric_types

from components.evaluator.eval_config import in_tfma
from components.evaluator.reference_metric import BLOCK, ReferenceMetric
from components.evaluator.tasks import TASKS
from components.evaluator.tasks.contract import check_task
from evaluation.metrics import METRICS, metrics_of
from evaluation.predictions import SINGLE_LABEL, SingleLabel
from transforms.tasks import TASKS as TRANSFORM_TASKS

NAMES = np.array([b"a", b"b", b"c"])


def element(label: int, probabilities: list[float], said: int | None = None) -> metric_types.StandardMetricInputs:
    said = int(np.argmax(probabilities)) if said is None else said
    served = {"probabilities": np.array(probabilities), "classes": NAMES, "label": NAMES[said : said + 1]}
    return metric_types.StandardMetricInputs(labels=np.array([label]), predictions=served)


def computed(metric, examples) -> dict:
    """Runs a metric's combiner over two pieces, one of them summed up already, then its derived computation."""
    collected, derived = metric.computations(model_names=[""], output_names=[""], example_weighted=False)
    combiner = collected.combiner
    pieces = []
    for piece in (examples[:2], examples[2:]):
        accumulator = combiner.create_accumulator()
        for example in piece:
            accumulator = combiner.add_input(accumulator, element(*example))
        pieces.append(accumulator)
    pieces[0] = combiner.compact(pieces[0])
    return derived.result(combiner.extract_output(combiner.merge_accumulators(pieces)))


EXAMPLES = [(0, [0.7, 0.2, 0.1]), (1, [0.5, 0.3, 0.2]), (2, [0.1, 0.1, 0.8]), (1, [0.2, 0.6, 0.2])]
PREDICTIONS = SingleLabel(
    np.array([label for label, _ in EXAMPLES]), np.array([row for _, row in EXAMPLES], np.float32)
)


REFERENCES = [name for name, metric in metrics_of(SINGLE_LABEL).items() if metric.reference]


@pytest.mark.parametrize("name", REFERENCES)
def test_a_metric_is_that_of_all_pieces(name):
    ((key, value),) = computed(ReferenceMetric(name, SINGLE_LABEL), EXAMPLES).items()
    assert (key.name, value) == (name, pytest.approx(METRICS[name].value(PREDICTIONS)))


def test_what_is_served_is_judged_and_not_what_is_most_probable():
    told = [(0, [0.7, 0.2, 0.1], 0), (1, [0.5, 0.3, 0.2], 1), (2, [0.1, 0.1, 0.8], 2), (1, [0.2, 0.6, 0.2], 0)]
    for examples, accuracy in ((EXAMPLES, 0.75), (told, 0.75), ([(*example, 2) for example in EXAMPLES], 0.25)):
        ((_, value),) = computed(ReferenceMetric("accuracy", SINGLE_LABEL), examples).items()
        assert value == accuracy


def test_a_mistake_in_our_predictions_is_none_in_the_second_opinion(monkeypatch):
    before = {name: computed(ReferenceMetric(name, SINGLE_LABEL), EXAMPLES) for name in REFERENCES}
    for name in ("actual", "said", "predicted", "correct", "losses", "decisions"):
        monkeypatch.setattr(SingleLabel, name, property(lambda self, name=name: 1 / 0))
    assert before == {name: computed(ReferenceMetric(name, SINGLE_LABEL), EXAMPLES) for name in REFERENCES}


def test_a_worker_holds_a_block_and_sums_however_many_examples_it_sees():
    computation, _ = ReferenceMetric("auc", SINGLE_LABEL).computations(
        model_names=[""], output_names=[""], example_weighted=False
    )
    accumulator = computation.combiner.create_accumulator()
    for _ in range(BLOCK // 2):
        for example in EXAMPLES:
            accumulator = computation.combiner.add_input(accumulator, element(*example))
        assert len(accumulator.examples) < BLOCK
    assert accumulator.sums["loss"][1] == 2 * BLOCK


def test_every_metric_of_all_examples_is_in_tfma():
    recalls = {name for name in METRICS if "_recall_at_" in name}
    beyond_tfma = {"expected_cost", "retention", *recalls, *metrics_of("detection"), *metrics_of("segmentation")}
    assert all(in_tfma(metric) for metric in METRICS.values() if metric.overall and metric.name not in beyond_tfma)


def test_a_class_that_a_model_does_not_know_is_a_miss_and_no_error():
    """Transform gives -1 to a label that is not in its vocabulary, as of a champion trained before the class was."""
    ((_, loss),) = computed(ReferenceMetric("loss", SINGLE_LABEL), [*EXAMPLES, (-1, [0.9, 0.05, 0.05])]).items()
    assert loss == pytest.approx((METRICS["loss"].value(PREDICTIONS) * 4 - np.log(1e-7)) / 5, rel=1e-3)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_keeps_the_contract(name):
    check_task(TASKS[name], TRANSFORM_TASKS[name])
