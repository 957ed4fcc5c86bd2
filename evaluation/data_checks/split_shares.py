"""Whether labels and columns have the same shares in val and test as in train."""

from __future__ import annotations

from collections import Counter

import numpy as np

from evaluation.column_drift import Counts, column_drifts
from evaluation.data_checks.check import TEST, TRAIN, VAL, DataCheck, Examples, Found, Suspect

# How often splits that were cut at random are said to differ, both comparisons and all columns together.
LEVEL = 0.01


def _counts(examples: Examples, split: str) -> Counts:
    rows = examples.rows(split)
    of_labels = dict(zip(examples.classes, examples.labels[rows].sum(axis=0).tolist(), strict=True))
    of_columns = {
        f"column {name}": Counter(np.asarray(cells)[rows].tolist()) for name, cells in examples.columns.items()
    }
    return {"label": of_labels, **of_columns}


def _find(examples: Examples) -> Found:
    if examples.groups is not None:
        return Found(
            None, why_not="examples of a group share labels, so that splits by `data.group_column` differ in them"
        )
    suspects, worst = [], []
    train = _counts(examples, TRAIN)
    for split in (VAL, TEST):
        for drift in column_drifts(train, _counts(examples, split), LEVEL / 2):
            worst.append(drift.distance - drift.bound)
            if drift.differs:
                suspects.append(Suspect((), f"from train to {split}, {drift.sentence}"))
    if not worst:
        return Found(None, why_not="it takes examples in train, and in val or test")
    return Found(max(0.0, *worst), suspects)


SPLIT_SHARES = DataCheck(
    name="split_shares",
    label="shares of labels and columns in val and test",
    measures="how much the share of a label, or of a value of a column, differs between train and val or test beyond "
    "what chance gives",
    meaning="The largest difference of the shares of a value, of the label and of each column of `data.slice_columns`. "
    "What chance gives is that of dividing both splits at random (a permutation test), at a level of "
    f"{LEVEL:.0%} for both splits and all columns together. With `data.group_column` it is not made. For "
    "`multi_label`, shares are of all labels. Nothing is left out or chosen by it.",
    bound=0.0,
    advice="An average over such a split weighs classes otherwise than train does. Cut the splits from the same source "
    "(`data.splits` with fractions), or, where they differ on purpose, set `data.checks.split_shares` to `off`.",
    find=_find,
)
