"""Weeks of 30 pictures, quiet and with planted faults, and what is decided: `python -m benchmarks.retrain_weeks`.

Each draw takes 500 of scikit-learn's handwritten digits 0 to 8 to make a champion with, a logistic regression on the
pixels of 70 % of them, tested on 15 %; and 30 others as the week that comes, changed by a fault or not. Pixels stand
for frozen features. The week is 6 % of what the champion was made with, so that its size alone is no reason to train:
in quiet weeks, any training is needless.

* darker, blurred: the pixels of the whole week, by a third, and by the mean of 3 x 3;
* wrong labels: of a half of the week;
* new class: five of the week are a digit 9;
* one class: the whole week shows one digit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from benchmarks.tables import machine, save, table
from evaluation.data_checks.space import leading_directions
from evaluation.data_checks.two_sample import two_sample_test
from evaluation.retraining.decision import Examined, Facts, OnNew, decide, level_of_each
from evaluation.retraining.label_shift import label_shift
from finetune.artifacts.retrain_decision import RetrainDecision
from finetune.config.retrain import RetrainConfig

BASE, WEEK, QUIET, FAULTY = 500, 30, 200, 50
POLICY = RetrainConfig()

# Takes the pixels [WEEK, 8, 8] and labels [WEEK] of a week, pictures of the new class, and a generator.
Fault = Callable[[np.ndarray, np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def blurred(pixels: np.ndarray) -> np.ndarray:
    """The mean of 3 x 3 pixels, with the border repeated."""
    padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return np.mean([padded[:, row : row + 8, column : column + 8] for row in range(3) for column in range(3)], axis=0)


def _wrong(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    flipped = random.permutation(len(labels)) < len(labels) // 2
    return np.where(flipped, (labels + random.integers(1, 9, len(labels))) % 9, labels)


FAULTS: dict[str, Fault] = {
    "quiet": lambda pixels, labels, others, random: (pixels, labels),
    "darker": lambda pixels, labels, others, random: (pixels * 2 / 3, labels),
    "blurred": lambda pixels, labels, others, random: (blurred(pixels), labels),
    "wrong labels": lambda pixels, labels, others, random: (pixels, _wrong(labels, random)),
    "new class": lambda pixels, labels, others, random: (
        np.concatenate([pixels[5:], others[:5]]),
        np.concatenate([labels[5:], np.full(5, 9)]),
    ),
}


def decided(fault: str, seed: int) -> RetrainDecision:
    """Draws a champion and a week, and decides."""
    random = np.random.default_rng(seed)
    digits = load_digits()
    known, new = digits.target < 9, random.permutation(digits.images[digits.target == 9])
    order = random.permutation(int(known.sum()))
    pixels, labels = digits.images[known][order], digits.target[known][order]
    base, week = slice(0, BASE), slice(BASE, BASE + WEEK)
    if fault == "one class":
        of_one = np.flatnonzero(labels[BASE:] == random.integers(9))[:WEEK] + BASE
        shown, said = pixels[of_one], labels[of_one]
    else:
        shown, said = FAULTS[fault](pixels[week], labels[week], new, random)
    train, tested = slice(0, int(0.7 * BASE)), slice(int(0.85 * BASE), BASE)
    champion = LogisticRegression(max_iter=1000).fit(pixels[train].reshape(-1, 64) / 16, labels[train])

    def right(of: np.ndarray, answers: np.ndarray) -> tuple[int, int]:
        return int((champion.predict(of.reshape(-1, 64) / 16) == answers).sum()), len(of)

    level = level_of_each(POLICY)
    directions = leading_directions(np.concatenate([pixels[base], shown]).reshape(-1, 64))
    examined = Examined(
        labels=label_shift([(str(one),) for one in labels[base]], [(str(one),) for one in said], level, seed),
        features=two_sample_test(directions[:BASE], directions[BASE:], level, seed),
        on_new=OnNew(right(shown, said), right(pixels[tested], labels[tested])),
    )
    facts = Facts(
        examples=BASE + len(said),
        new=len(said),
        changed=0,
        undecided=len(said),
        champion=1,
        made_with=BASE,
        new_classes=sorted({str(one) for one in said} - {str(one) for one in labels[base]}),
        examined=examined,
    )
    return decide(facts, POLICY)


def weeks(fault: str, draws: int, seed: int = 0) -> dict[str, Any]:
    """Returns the share of weeks after which is trained, and how often for which reason."""
    found = [decided(fault, seed + draw) for draw in range(draws)]
    reasons = Counter(reason.name for one in found if one.trains for reason in one.decisive)
    return {"draws": draws, "trained": sum(one.trains for one in found) / draws, "reasons": dict(reasons)}


def main() -> None:
    """Simulates, prints and saves."""
    kinds = [*FAULTS, "one class"]
    figures = {fault: weeks(fault, QUIET if fault == "quiet" else FAULTY) for fault in kinds}
    rows = [
        [
            fault,
            f"{one['draws']:,}",
            f"{one['trained']:.1%}",
            ", ".join(f"{name} {count}" for name, count in sorted(one["reasons"].items())),
        ]
        for fault, one in figures.items()
    ]
    text = (
        f"# Quiet weeks and faulty ones\n\n{(__doc__ or '').split(chr(10), 2)[2].strip()}\n\n"
        f"{table(['week', 'draws', 'trained after', 'reasons'], rows)}\n\n"
        f"`retrain.level` {POLICY.level:g}; {machine()}."
    )
    save("retrain_weeks", text, figures)
    print(text)


if __name__ == "__main__":
    main()
