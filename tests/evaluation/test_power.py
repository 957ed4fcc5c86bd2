"""What a test split can show: the stated smallest differences are found in 80 % of simulated test splits."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from evaluation import power
from evaluation.evidence import CANDIDATE, CHAMPION, TestSet, evidence_for
from evaluation.gates import Evidence, judge_one
from evaluation.intervals import paired_ends, wilson_ends
from evaluation.power import POWER, PairedShares, Share, power_of, with_difference
from finetune.artifacts.findings import Interval
from finetune.config.evaluation import GateConfig

DRAWS = 20_000
# Four standard errors of a share of POWER in as many draws, and in the draws of `evaluation.power` that are looked at.
TOLERANCE = 4 * math.sqrt(POWER * (1 - POWER) * (1 / DRAWS + 1 / power.DRAWS))


def smallest_of(counted, bound, confidence, above=True):
    interval = Interval(-1.0, 1.0, confidence)
    return power_of(0.0, bound, interval, counted.examples, above, counted).smallest


def found(counted: PairedShares, difference: float, bound: float, confidence: float) -> float:
    worlds = np.random.default_rng(7).multinomial(counted.examples, with_difference(counted, difference), DRAWS)
    return float((paired_ends(worlds.T, confidence)[0] >= bound).mean())


@pytest.mark.parametrize("confidence", [0.95, 0.999])
@pytest.mark.parametrize("bound", [0.0, -0.02, 0.03])
@pytest.mark.parametrize(
    "counted",
    [
        PairedShares(45, 3, 2, 10),
        PairedShares(130, 5, 5, 10),
        PairedShares(140, 0, 0, 10),
        PairedShares(410, 20, 30, 40),
        PairedShares(1700, 60, 60, 180),
        PairedShares(9000, 300, 280, 420),
    ],
)
def test_eighty_percent_of_the_smallest_differences_of_pairs_are_found(counted, bound, confidence):
    smallest = smallest_of(counted, bound, confidence)
    assert found(counted, bound + smallest, bound, confidence) >= POWER - TOLERANCE
    assert found(counted, bound + 0.75 * smallest, bound, confidence) < POWER - TOLERANCE


@pytest.mark.parametrize(("hits", "examples", "bound"), [(27, 30, 0.7), (140, 150, 0.85), (900, 1000, 0.88)])
def test_eighty_percent_of_the_smallest_distances_of_a_share_are_found(hits, examples, bound):
    smallest = smallest_of(Share(hits, examples), bound, 0.95)
    draws = np.random.default_rng(7).binomial(examples, bound + smallest, DRAWS)
    assert (wilson_ends(draws, examples, 0.95)[0] >= bound).mean() == pytest.approx(POWER, abs=TOLERANCE)


def test_what_is_to_be_found_below_the_bound_mirrors_what_is_above():
    counted = PairedShares(120, 9, 4, 17)
    below = smallest_of(counted, -0.02, 0.95, above=False)
    assert below == smallest_of(PairedShares(120, 4, 9, 17), 0.02, 0.95)
    assert smallest_of(Share(30, 200), 0.1, 0.95, above=False) == smallest_of(Share(170, 200), 0.9, 0.95)


def test_too_few_examples_show_nothing():
    assert smallest_of(Share(3, 3), 0.9, 0.95) is None
    assert smallest_of(PairedShares(2, 0, 0, 0), 0.9, 0.95) is None


def models(random: np.random.Generator, skill: float, examples: int = 300) -> TestSet:
    """A candidate and a champion of two classes whose noise is partly the same."""
    labels = random.integers(0, 2, examples)
    shared, own = random.normal(size=(1, examples)), random.normal(size=(2, examples))
    scores = (2 * labels - 1) * np.array([[0.8 + skill], [0.8]]) + 0.8 * shared + 0.6 * own
    sure = 1 / (1 + np.exp(-scores))
    answers = {name: np.stack([1 - row, row], axis=1) for name, row in zip((CANDIDATE, CHAMPION), sure, strict=True)}
    return TestSet(["no", "yes"], labels, {}, answers)


@pytest.mark.parametrize("metric", ["auc", "accuracy"])
def test_eighty_percent_of_the_stated_differences_pass_the_gate_itself(metric):
    """As a user meets it: stated on one split, then found on others, through evidence and gate."""
    gate = GateConfig(metric=metric, min=0, relative_to="champion", confidence=0.95, refuse_when="unproven")
    random = np.random.default_rng(5)
    stated = np.median([judge_one(gate, evidence_for(gate, models(random, 0.0))).power.smallest for _ in range(9)])
    skill = _skill_of(metric, stated, random)
    trials = 400
    passed = [judge_one(gate, interval_of(evidence_for(gate, models(random, skill)))).passed for _ in range(trials)]
    # Four standard errors, and one more percent: the difference that a skill makes is simulated too.
    assert np.mean(passed) == pytest.approx(POWER, abs=0.01 + 4 * math.sqrt(POWER * (1 - POWER) / trials))


def interval_of(evidence: Evidence) -> Evidence:
    """What decides alone, so that no power is computed again for each split."""
    return replace(evidence, counted=None)


def _skill_of(metric: str, difference: float, random: np.random.Generator) -> float:
    """The skill by which the candidate is better by a difference; both are normal, so that it has a closed form."""
    normal = NormalDist()
    scale = math.sqrt(2) if metric == "auc" else 1.0
    return normal.inv_cdf(normal.cdf(0.8 * scale) + difference) / scale - 0.8


def test_more_labels_are_those_that_would_decide_what_was_measured():
    undecided = power_of(0.01, 0.0, Interval(-0.03, 0.05, 0.95), 200, True, None)
    # Half the width is 0.04, and 80 % of splits lie another 0.43 of it away at most.
    assert undecided.smallest == pytest.approx(0.04 * (1 + 0.8416 / 1.96), rel=1e-3)
    assert undecided.more_labels == math.ceil(200 * (undecided.smallest / 0.01) ** 2) - 200
    assert power_of(0.05, 0.0, Interval(0.01, 0.09, 0.95), 200, True, None).more_labels == 0
    assert power_of(0.0, 0.0, Interval(-0.03, 0.03, 0.95), 200, True, None).more_labels is None


def test_several_labels_an_example_are_paired_by_what_is_a_share_of_examples():
    random = np.random.default_rng(2)
    labels = random.random((200, 3)) < 0.4
    said = {CANDIDATE: labels ^ (random.random((200, 3)) < 0.05), CHAMPION: labels ^ (random.random((200, 3)) < 0.07)}
    test_set = TestSet(["a", "b", "c"], labels, {}, {k: v.astype(float) for k, v in said.items()}, said, "multi_label")
    found = {}
    for metric in ("exact_match", "micro_f1"):
        gate = GateConfig(metric=metric, min=0, relative_to="champion", confidence=0.95)
        found[metric] = evidence_for(gate, test_set), judge_one(gate, evidence_for(gate, test_set)).power
    evidence, shown = found["exact_match"]
    assert evidence.counted.examples == 200
    assert 0.01 < shown.smallest < 0.2
    evidence, shown = found["micro_f1"]
    assert evidence.counted is None
    width = evidence.interval.high - evidence.interval.low
    assert shown.smallest == pytest.approx(width / 2 * (1 + 0.8416 / 1.96), rel=1e-3)
