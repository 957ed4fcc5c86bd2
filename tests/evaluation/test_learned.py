"""What the champion learned from counts in no comparison with it, and in all that is said of the candidate alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from components.bulk_inferrer.answers import Answers
from components.bulk_inferrer.test_set import load_test_set, make_test_set, save_test_set
from evaluation.disagreement import contrast
from evaluation.evidence import CANDIDATE, CHAMPION, TestSet, evidence_for
from evaluation.predictions import SINGLE_LABEL
from evaluation.verdict import findings
from finetune.artifacts.findings import Reuse
from finetune.config.evaluation import GateConfig
from pipeline.report.sentences import reuse_sentences

NAMES = ["cat", "dog"]
# The champion is right on the first four, which it learned from, and on none else.
LEARNED = np.arange(10) < 4


def probabilities(right: np.ndarray) -> np.ndarray:
    """Of class 0, which is the label of all."""
    return np.where(right, 0.9, 0.2)[:, None] * [1, -1] + [0, 1]


@pytest.fixture
def test_set() -> TestSet:
    """Ten examples, of which the candidate has the last five."""
    models = {
        CANDIDATE: Answers(probabilities(np.arange(10) >= 5), NAMES),
        CHAMPION: Answers(probabilities(LEARNED), NAMES),
    }
    columns = {"site": ["a"] * 5 + ["b"] * 5}
    return make_test_set(SINGLE_LABEL, [["cat"]] * 10, columns, models, learned=LEARNED)


def gate(**keys) -> GateConfig:
    return GateConfig(**{"metric": "accuracy", "min": 0.0, **keys})


def test_a_gate_beside_the_champion_counts_the_others_alone(test_set):
    beside = evidence_for(gate(relative_to="champion"), test_set)
    assert (beside.value, beside.reference, beside.examples) == (pytest.approx(5 / 6), 0.0, 6)
    alone = evidence_for(gate(), test_set)
    assert (alone.value, alone.examples) == (0.5, 10)
    of_site = evidence_for(gate(relative_to="champion", slice={"site": "a"}), test_set)
    assert (of_site.value, of_site.examples) == (0.0, 1)


def test_without_a_list_every_example_counts(test_set):
    unknown = replace(test_set, learned=None)
    beside = evidence_for(gate(relative_to="champion"), unknown)
    assert (beside.value, beside.reference, beside.examples) == (0.5, pytest.approx(0.4), 10)


def test_where_the_champion_learned_from_all_nothing_is_shown(test_set):
    every = replace(test_set, learned=np.ones(10, dtype=bool))
    found = evidence_for(gate(relative_to="champion"), every)
    assert found.value is None
    assert found.missing == "the champion learned from all test examples"
    assert findings(every, [["site"]]).metrics["accuracy"].champion is None


def test_findings_and_differences_leave_them_out(test_set):
    found = findings(test_set, [["site"]])
    accuracy = found.metrics["accuracy"]
    assert (accuracy.value, accuracy.champion) == (0.5, 0.0)
    assert accuracy.change.low > 0
    assert {part.slice["site"]: (part.examples, part.value, part.champion) for part in found.slices} == {
        "a": (5, 0.0, 0.0),
        "b": (5, 1.0, 0.0),
    }
    apart = contrast(test_set)
    assert apart.gain.tolist() == [0, 0, 0, 0, 0, 2, 2, 2, 2, 2]
    assert contrast(replace(test_set, learned=None)).gain.tolist()[:4] == [-2] * 4


def test_it_survives_the_file(test_set, tmp_path):
    save_test_set([test_set], 10, str(tmp_path))
    read = load_test_set(str(tmp_path))
    assert read.learned.tolist() == LEARNED.tolist()
    assert evidence_for(gate(relative_to="champion"), read).examples == 6


def test_the_report_says_how_many():
    told = reuse_sentences(Reuse(look=1, examples=10, learned=4))
    assert told[-1] == "The champion learned from 4 of 10 test examples, which no comparison of the two counts."
    assert len(reuse_sentences(Reuse(look=1, examples=10, learned=0))) == len(told) - 1
