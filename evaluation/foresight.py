"""Gates that no candidate could pass, or none could fail, on a test split of known sizes: said before training.

The best and the worst candidate there could be are played through the gates themselves, beside the champion and
baselines that make it easiest to pass, or to fail. What holds for them holds for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.evidence import CANDIDATE, CHAMPION, TestSet, evidence_for
from evaluation.gates import expand, judge_one
from evaluation.metrics import METRICS
from evaluation.metrics.interval_methods import Share
from evaluation.power import Counted, PairedShares, power_of
from evaluation.power import Share as ShareOf
from evaluation.predictions import DETECTION, MULTI_LABEL, SEGMENTATION
from evaluation.tasks import TASKS
from finetune.artifacts.findings import Interval
from finetune.config.evaluation import BASELINES, EACH, GateConfig

# A bootstrap of more examples takes a while, and gates that have so many are seldom out of reach.
BOOTSTRAPPED = 400
MAJORITY = "majority"
# What is assumed of two models that nobody has seen yet.
APART, RIGHT = 0.1, 0.9


@dataclass(frozen=True)
class Sizes:
    """Examples of a split: how many there are, and how many of each class."""

    examples: int
    classes: Mapping[str, int]


def foresee(gates: Sequence[GateConfig], task: str, test: Sizes, train: Sizes) -> list[str]:
    """Says which gates this test split cannot decide.

    Args:
        gates: Of the config. Those of the exported model, and of slices by other columns than `label`, are passed over,
            and so are those that take a bootstrap of many examples.
        task: Its name.
        test: Expected sizes of the test split.
        train: Of the train split, which says what the majority is.

    Returns:
        A sentence for each such gate, those that come from one `*` in one; none of a split without two classes, and
        none of boxes and masks, whose worst and best there is no saying.
    """
    if len(test.classes) < 2 or not test.examples or TASKS[task].measured_as in (DETECTION, SEGMENTATION):
        return []
    worlds = {
        (best, first): _world(task, test, train, best, first) for best in (True, False) for first in (True, False)
    }
    found = []
    for gate in gates:
        if METRICS[gate.metric].of_model or set(gate.slice) - {"label"} or _is_slow(gate, test):
            continue
        singles = expand([gate], worlds[True, True].cells)
        for best, problem in ((True, "no candidate could pass"), (False, "no candidate could fail")):
            world = worlds[best, gate.first_only]
            stuck = [one for one in singles if judge_one(one, evidence_for(one, world)).passed != best]
            if stuck:
                found.append(f"{_named(gate, stuck)}: {problem} on {test.examples:,} test examples{_of(stuck, test)}.")
    return found


def will_show(gate: GateConfig, test: Sizes) -> float | None:
    """Returns the distance from the bound that the test split will show in 80 % of cases, before any model is there.

    Two models are taken to differ on APART of the examples, and to be right on RIGHT of the others. None of a metric
    that is no share of examples, and where nothing can be shown.
    """
    if not isinstance(METRICS[gate.metric].interval, Share) or gate.compare == "ratio" or EACH in gate.slice.values():
        return None
    of_class = gate.of_class or gate.slice.get("label")
    examples = test.examples if of_class is None else test.classes.get(str(of_class), 0)
    if not examples or set(gate.slice) - {"label"}:
        return None
    bound, above = (gate.min, True) if gate.min is not None else (gate.max, False)
    assert bound is not None
    counted: Counted = ShareOf(round(bound * examples), examples)
    if gate.relative_to:
        apart = round(APART / 2 * examples)
        right = round(RIGHT * (examples - 2 * apart))
        counted = PairedShares(right, apart, apart, examples - 2 * apart - right)
    interval = Interval(-1.0, 1.0, gate.confidence or 0.95)
    proves = not gate.confidence or gate.refuses_when == "unproven"
    return power_of(bound, bound, interval, examples, above == proves, counted).smallest


def _is_slow(gate: GateConfig, test: Sizes) -> bool:
    if gate.confidence is None or test.examples <= BOOTSTRAPPED:
        return False
    return not isinstance(METRICS[gate.metric].interval, Share) or gate.compare == "ratio"


def _named(gate: GateConfig, stuck: Sequence[GateConfig]) -> str:
    return stuck[0].name if len(stuck) == 1 else gate.name


def _of(stuck: Sequence[GateConfig], test: Sizes) -> str:
    """How many of them are of the class or classes that these gates are about."""
    classes = [one.of_class or one.slice.get("label") for one in stuck]
    counts = [f"{test.classes.get(str(name), 0)} of {name}" for name in classes if name]
    more = f" and {len(counts) - 3} more classes" if len(counts) > 3 else ""
    return f", {', '.join(counts[:3])}{more}" if counts else ""


def _world(task: str, test: Sizes, train: Sizes, best: bool, first: bool) -> TestSet:
    """What all models say where the candidate is right about everything, or wrong; its rivals are the contrary.

    The majority is what it will be. A first model has no champion.
    """
    classes = sorted({*test.classes, *train.classes})
    counts = [test.classes.get(name, 0) for name in classes]
    shares = np.array([train.classes.get(name, 0) / max(train.examples, 1) for name in classes])
    several = TASKS[task].measured_as == MULTI_LABEL
    if several:
        labels = np.arange(test.examples)[:, np.newaxis] < np.array(counts)
        right, wrong, majority = labels, ~labels, np.tile(shares >= 0.5, (test.examples, 1))
    else:
        labels = np.repeat(np.arange(len(classes)), counts)
        right, wrong = (np.eye(len(classes), dtype=bool)[(labels + off) % len(classes)] for off in (0, 1))
        majority = np.tile(np.arange(len(classes)) == shares.argmax(), (len(labels), 1))
    rivals = [name for name in BASELINES if name != MAJORITY] + ([] if first else [CHAMPION])
    said = {CANDIDATE: right if best else wrong, MAJORITY: majority, **dict.fromkeys(rivals, wrong if best else right)}
    probabilities = {name: each.astype(np.float64) for name, each in said.items()}
    if several:
        return TestSet(classes, labels, {}, probabilities, said, task)
    nearest = {CANDIDATE: best, **dict.fromkeys(rivals, not best)}
    ranks = {name: np.full((len(labels), 2), 0 if found else len(labels)) for name, found in nearest.items()}
    # By chance, each place is taken once.
    ranks[MAJORITY] = np.arange(len(labels))[:, np.newaxis].repeat(2, axis=1)
    return TestSet(classes, labels, {}, probabilities, task=task, ranks=ranks)
