"""Years and quiet weeks on frozen features that were recorded once: only what decides is run, and often.

The features are those of scikit-learn's 1,797 handwritten digits behind the demo's backbone, of each as it is, dark and
blurred. The champion is a logistic regression. What decides is the product's own: `evaluation.retraining`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.planted import blurred, dark
from benchmarks.tables import table
from evaluation.data_checks.space import leading_directions
from evaluation.data_checks.two_sample import two_sample_test
from evaluation.retraining.decision import Examined, Facts, OnNew, decide, level_of_each
from evaluation.retraining.label_shift import label_shift
from finetune.artifacts.retrain_decision import RetrainDecision
from finetune.config.retrain import RetrainConfig

WEEKS, WEEK, FIRST_WEEKS = 52, 30, 5
YEARS, QUIET_DRAWS = 10, 200
TEST_SHARE = 0.15
# From so many new examples on, beside those of the champion, a training is due by itself.
DUE = 1.0
KINDS = ("dark", "blurred", "wrong labels", "new class")
# The reason that has to be decisive in the week of a fault.
CAUGHT_BY = {
    "dark": "frozen features",
    "blurred": "frozen features",
    "wrong labels": "champion on new examples",
    "new class": "new classes",
}
NEW_CLASS = 9


@dataclass(frozen=True)
class Recorded:
    """Frozen features of all pictures, by what was done to them: float32 [pictures, features]; and the digits."""

    features: dict[str, np.ndarray]
    digits: np.ndarray


def recorded(weights: Path) -> Recorded:
    """Runs the backbone over all digits, as they are, dark and blurred."""
    import tensorflow as tf

    from finetune_cli.demo import IMAGE_SIZE, handwritten_digits, to_image
    from trainer_module.backbones.sources.small_cnn import small_cnn
    from transforms.image import scale

    pictures, digits = handwritten_digits()
    backbone = small_cnn(IMAGE_SIZE)
    backbone.load_weights(weights)
    found = {}
    for name, change in {"": lambda picture: picture, "dark": dark, "blurred": blurred}.items():
        pixels = np.stack([np.asarray(change(to_image(picture)).convert("RGB")) for picture in pictures])
        maps = backbone.predict(scale(tf.constant(pixels), "minus_one_to_one"), verbose=0)
        found[name] = maps.mean(axis=(1, 2))
    return Recorded(found, digits)


class Project:
    """A project with a champion, and the examples of which it knows."""

    def __init__(self, of: Recorded, policy: RetrainConfig, first: np.ndarray, seed: int):
        self._of, self._policy = of, policy
        self._random = np.random.default_rng(seed)
        self.features = np.empty((0, of.features[""].shape[1]))
        self.labels, self.in_test = np.empty(0, int), np.empty(0, bool)
        self._add(of.features[""][first], of.digits[first])
        self._unjudged = 0
        self._train()

    def decides(self, features: np.ndarray, labels: np.ndarray) -> RetrainDecision:
        """Decides on a week, and trains where that follows."""
        known, level = self._made_with, level_of_each(self._policy)
        directions = leading_directions(np.concatenate([self.features[:known], features]))
        before, now = ([(str(label),) for label in some] for some in (self.labels[:known], labels))
        tested = self.in_test[:known]
        of_test = self._right(self.features[:known][tested], self.labels[:known][tested])
        examined = Examined(
            labels=label_shift(before, now, level),
            features=two_sample_test(directions[:known], directions[known:], level),
            on_new=OnNew(self._right(features, labels), of_test),
        )
        self._unjudged += len(labels)
        facts = Facts(
            examples=len(self.labels) + len(labels),
            new=self._unjudged,
            changed=0,
            undecided=len(labels),
            champion=1,
            made_with=known,
            new_classes=sorted({str(label) for label in labels} - {str(label) for label in self.labels[:known]}),
            examined=examined,
        )
        self._add(features, labels)
        decision = decide(facts, self._policy)
        if decision.trains:
            self._train()
        return decision

    def correct(self, labels: np.ndarray) -> None:
        """Puts the labels of the last week right, and trains anew."""
        self.labels[-len(labels) :] = labels
        self._train()

    def _add(self, features: np.ndarray, labels: np.ndarray) -> None:
        self.features = np.concatenate([self.features, features])
        self.labels = np.concatenate([self.labels, labels])
        self.in_test = np.concatenate([self.in_test, self._random.random(len(labels)) < TEST_SHARE])

    def _train(self) -> None:
        self._champion: Pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        self._champion.fit(self.features[~self.in_test], self.labels[~self.in_test])
        self._made_with, self._unjudged = len(self.labels), 0

    def _right(self, features: np.ndarray, labels: np.ndarray) -> tuple[int, int]:
        return int((self._champion.predict(features) == labels).sum()), len(labels)


def quiet_weeks(of: Recorded) -> dict[str, Any]:
    """Counts how often one more week of the same is a reason to train, over draws of first pictures and week."""
    needless, reasons = 0, Counter[str]()
    for draw in range(QUIET_DRAWS):
        order = np.random.default_rng(draw).permutation(len(of.digits))
        first, week = order[: FIRST_WEEKS * WEEK], order[FIRST_WEEKS * WEEK :][:WEEK]
        decision = Project(of, RetrainConfig(min_new=DUE), first, draw).decides(of.features[""][week], of.digits[week])
        needless += decision.trains
        reasons.update(reason.name for reason in decision.decisive if decision.trains)
    return {"draws": QUIET_DRAWS, "needless": needless, "reasons": dict(reasons)}


def years(of: Recorded) -> list[dict[str, Any]]:
    """Lets years pass, with a fault in every fifth week; returns what each week was, and what was decided."""
    return [week for year in range(YEARS) for week in _year(of, year)]


def _year(of: Recorded, seed: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(10_000 + seed)
    order = random.permutation(len(of.digits))
    late = order[of.digits[order] == NEW_CLASS]
    order = order[of.digits[order] != NEW_CLASS]
    project = Project(of, RetrainConfig(min_new=DUE), order[: FIRST_WEEKS * WEEK], seed)
    place, faults, weeks = FIRST_WEEKS * WEEK, list(random.permutation(KINDS * 2)), []
    faults.remove("new class")
    known_late = 0
    for number in range(FIRST_WEEKS, WEEKS):
        kind = faults.pop() if number % 5 == 2 and faults else "quiet"
        # From its first week on, the new class comes as often as the others.
        of_late = WEEK // 10 if known_late or kind == "new class" else 0
        rows = np.concatenate([order[place:][: WEEK - of_late], late[known_late:][:of_late]])
        if len(rows) < WEEK:
            break
        if known_late and kind == "quiet":
            kind = "after the new class"
        place, known_late = place + WEEK - of_late, known_late + of_late
        labels = of.digits[rows]
        given = np.roll(labels, WEEK // 2) if kind == "wrong labels" else labels
        decision = project.decides(of.features[kind if kind in of.features else ""][rows], given)
        if kind == "wrong labels":
            project.correct(labels)
        decisive = sorted(reason.name for reason in decision.decisive if decision.trains)
        weeks.append({"year": seed, "week": number + 1, "kind": str(kind), "because_of": decisive})
    return weeks


def section(quiet: dict[str, Any], weeks: list[dict[str, Any]]) -> str:
    """The results as Markdown."""
    rows = []
    for kind in dict.fromkeys(["quiet", *KINDS, "after the new class"]):
        of_kind = [week for week in weeks if week["kind"] == kind]
        caught = sum(CAUGHT_BY.get(kind) in week["because_of"] for week in of_kind)
        trained = sum(bool(set(week["because_of"]) - {"new examples"}) for week in of_kind)
        rows.append((kind, len(of_kind), f"{caught} by {CAUGHT_BY[kind]}" if kind in CAUGHT_BY else "", trained))
    needless = quiet["needless"]
    why = ", ".join(f"{name} {count}" for name, count in quiet["reasons"].items())
    return (
        f"## On recorded features\n\n{quiet['draws']} draws of {FIRST_WEEKS * WEEK} pictures and one more quiet week: "
        f"{needless} needless trainings, {needless / quiet['draws']:.1%} ({why}).\n\n"
        f"{YEARS} years of {WEEKS} weeks of {WEEK} digits, the first {FIRST_WEEKS} as one span:\n\n"
        + table(("week", "weeks", "caught", "trained for another reason than that enough is new"), rows)
    )
