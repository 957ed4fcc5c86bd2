"""Whether the differences that a verdict says it can show are shown: `python -m benchmarks.power`.

Candidate and champion of three classes (or of four labels an example) share part of their noise. On test splits where
both are equally good, each gate states the smallest difference that it finds in 80 % of cases at 95 %; the median of
25 splits is taken. Then the candidate is made better by just that much, as 200,000 examples tell, and the gate itself
judges 400 test splits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import numpy as np

from benchmarks.tables import machine, save, table
from evaluation.evidence import CANDIDATE, CHAMPION, TestSet, evidence_for
from evaluation.gates import judge_one
from evaluation.metrics import METRICS
from evaluation.power import POWER
from finetune.config.evaluation import GateConfig

STATEMENTS, TRIALS, LARGE = 25, 400, 200_000
SKILL, SHARED = 2.0, 0.7
# Of statements, of the large set and of trials; `MORE_APART` in evaluation.power was chosen on 1, 2 and 3.
SEEDS = 11, 12, 13
SIZES = (100, 300, 1000)
CLASSES, LABELS = ["a", "b", "c"], ["a", "b", "c", "d"]

# Takes how much more the candidate's scores tell than the champion's, how many examples, and what is drawn from.
World = Callable[[float, int, np.random.Generator], TestSet]


def single_label(better: float, examples: int, random: np.random.Generator) -> TestSet:
    """Three classes, of a half, a third and a sixth of the examples."""
    labels = random.choice(3, examples, p=[1 / 2, 1 / 3, 1 / 6])
    odds = {name: np.exp(score) for name, score in _scores(np.eye(3)[labels], better, random).items()}
    answers = {name: each / each.sum(axis=1, keepdims=True) for name, each in odds.items()}
    return TestSet(CLASSES, labels, {}, answers)


def multi_label(better: float, examples: int, random: np.random.Generator) -> TestSet:
    """Four labels, that from a half to an eighth of the examples have."""
    labels = random.random((examples, 4)) < [0.5, 0.35, 0.25, 0.125]
    scores = {name: score - (SKILL + 0.7) / 2 for name, score in _scores(labels, better, random).items()}
    answers = {name: 1 / (1 + np.exp(-score)) for name, score in scores.items()}
    return TestSet(LABELS, labels, {}, answers, {name: each >= 0.5 for name, each in answers.items()}, "multi_label")


WORLDS: dict[str, World] = {
    "accuracy": single_label,
    "macro_f1": single_label,
    "auc": single_label,
    "exact_match": multi_label,
    "micro_f1": multi_label,
}


def _scores(truth: np.ndarray, better: float, random: np.random.Generator) -> dict[str, np.ndarray]:
    shared = random.normal(size=truth.shape)
    own = {name: random.normal(size=truth.shape) for name in (CANDIDATE, CHAMPION)}
    skill = {CANDIDATE: SKILL + better, CHAMPION: SKILL}
    noise = {name: math.sqrt(SHARED) * shared + math.sqrt(1 - SHARED) * each for name, each in own.items()}
    return {name: skill[name] * truth + each for name, each in noise.items()}


def stated(metric: str, examples: int) -> float:
    """Returns the smallest difference that such test splits say they show."""
    gate, random = _gate(metric), np.random.default_rng(SEEDS[0])
    splits = (WORLDS[metric](0.0, examples, random) for _ in range(STATEMENTS))
    powers = [judge_one(gate, evidence_for(gate, split)).power for split in splits]
    return median(power.smallest for power in powers if power and power.smallest is not None)


def better_by(metric: str, difference: float) -> float:
    """Returns how much more the scores have to tell for that difference, by bisection."""

    def gap(better: float) -> float:
        world = WORLDS[metric](better, LARGE, np.random.default_rng(SEEDS[1]))
        candidate, champion = (METRICS[metric].value(world.of(name)) for name in (CANDIDATE, CHAMPION))
        return candidate - champion - difference

    low, high = 0.0, 4.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if gap(middle) < 0 else (low, middle)
    return high


def found(metric: str, examples: int, better: float) -> float:
    """Returns the share of test splits on which the gate lets the better candidate pass."""
    gate, random = _gate(metric), np.random.default_rng(SEEDS[2])
    # What decides alone: power is not stated again for each split.
    evidence = (evidence_for(gate, WORLDS[metric](better, examples, random)) for _ in range(TRIALS))
    return float(np.mean([judge_one(gate, replace(each, counted=None)).passed for each in evidence]))


def _gate(metric: str) -> GateConfig:
    return GateConfig(metric=metric, min=0, relative_to="champion", confidence=0.95, refuse_when="unproven")


def main() -> None:
    """Writes `results/power.md` and `results/power.json`."""
    figures = []
    for metric in WORLDS:
        for examples in SIZES:
            smallest = stated(metric, examples)
            share = found(metric, examples, better_by(metric, smallest))
            figures.append({"metric": metric, "examples": examples, "stated": smallest, "found": share})
    rows = [[one["metric"], one["examples"], f"{one['stated']:.3f}", f"{one['found']:.1%}"] for one in figures]
    error = 1.96 * math.sqrt(POWER * (1 - POWER) / TRIALS)
    text = (
        f"# Differences that a verdict says it can show\n\n{(__doc__ or '').split(chr(10), 2)[2].strip()}\n\n"
        f"{table(['metric', 'test examples', 'stated', 'found'], rows)}\n\n"
        f"A share of 80 % of {TRIALS} splits is known to within {error:.0%}. {machine()}."
    )
    save("power", text, figures)
    print(text)


if __name__ == "__main__":
    main()
