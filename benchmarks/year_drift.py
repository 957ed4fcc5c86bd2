"""What the decision to train says of each span of a year that is drawn, as it knows no more than a team would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from evaluation.data_checks.space import leading_directions
from evaluation.data_checks.two_sample import FEWEST, two_sample_test
from evaluation.retraining.decision import Compared, OnNew, differences, level_of_each
from evaluation.retraining.label_shift import label_shift
from finetune.config.retrain import RetrainConfig

if TYPE_CHECKING:
    from benchmarks.replacements import Recorded, Training

POLICY = RetrainConfig()


class Decisions:
    """The decisions of a year on the spans that come, whichever model is the champion of the day."""

    def __init__(self, of: Recorded, year: Sequence[Training]):
        """Takes the features of all pictures, and the trainings of a year."""
        self._of, self._year = of, year
        # What came of the training that a span came with, the champion's training, and the span, by their numbers.
        self._compared: dict[tuple[int, int, int], Compared] = {}

    def drifted(self, champions: Sequence[int], reasons: frozenset[str]) -> frozenset[int]:
        """Returns the spans that the latest decision on each says to differ from what the champion was made with.

        Args:
            champions: The number of the champion's training while each training so far was decided on, from that of
                the second on.
            reasons: Names of those that count.
        """
        found: set[int] = set()
        spans_before = labels_before = np.empty(0, int)
        for number, training in enumerate(self._year[: len(champions) + 1]):
            if number:
                again = training.spans[: len(labels_before)][training.labels[: len(labels_before)] != labels_before]
                new = np.setdiff1d(training.spans, spans_before)
                for span in sorted({*again.tolist(), *new.tolist()}):
                    compared = self._look(number, champions[number - 1], span)
                    differs = reasons.intersection(differences(compared, POLICY, level_of_each(POLICY)))
                    found = found | {span} if differs else found - {span}
            spans_before, labels_before = training.spans, training.labels
        return frozenset(found)

    def _look(self, number: int, champion: int, span: int) -> Compared:
        key = number, champion, span
        if key not in self._compared:
            self._compared[key] = self._compare(self._year[number], self._year[champion], champion, span)
        return self._compared[key]

    def _compare(self, now: Training, then: Training, champion: int, span: int) -> Compared:
        level = level_of_each(POLICY)
        fresh, made_with = np.flatnonzero(now.spans == span), len(then.labels)
        labels = label_shift(
            [(str(label),) for label in then.labels], [(str(label),) for label in now.labels[fresh]], level
        )
        fresh = fresh[fresh >= made_with]
        if not len(fresh):
            return Compared(labels)
        on_new, tested = (
            (int((one.answers[champion][rows].argmax(axis=1) == one.labels[rows]).sum()), len(rows))
            for one, rows in ((now, fresh), (then, np.flatnonzero(then.in_test)))
        )
        features = None
        if min(len(fresh), made_with) >= FEWEST:
            rows = np.concatenate([np.arange(made_with), fresh])
            values = np.stack(
                [
                    self._of.features[change][0, place]
                    for change, place in zip(now.changes[rows], now.pictures[rows], strict=True)
                ]
            )
            directions = leading_directions(values)
            features = two_sample_test(directions[:made_with], directions[made_with:], level)
        return Compared(labels, features, OnNew(on_new, tested))
