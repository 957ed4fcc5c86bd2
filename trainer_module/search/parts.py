"""Parts of the examples that are held out in turn: the validation split, then parts of train that are as large.

What is trained while a part of train is held out has seen the validation split in its place, so that as many examples
train it as ever. Of a difference measured on several parts nobody knows the variance without bias (Bengio and
Grandvalet 2004); that of the examples' differences, all parts together, is taken here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.folds import folds_of, kinds_of
from trainer_module.examples.input_data import Split, both, labels, of_rows
from trainer_module.search.decisions import MOST_PARTS, how_many


@dataclass(frozen=True)
class Part:
    """A part has examples to train on, and those that are held out."""

    number: int  # 0 is the validation split.
    train: Split
    held_out: Split

    def name_of(self, candidate: str) -> str:
        """Returns the name of what a candidate gives on this part."""
        return f"{candidate}-{self.number + 1}" if self.number else candidate


def parts_of_train(train: Split, val: Split, seed: int) -> list[Part]:
    """Returns parts of train to hold out, the first of them: classes are spread over all, a group is in one."""
    folds = folds_of(kinds_of(labels(train).numpy()), train.groups, how_many(train.examples, val.examples), seed)
    together, of_val = both(train, val), np.zeros(val.examples, bool)
    parts = []
    for number in range(min(MOST_PARTS, int(folds.max()) + 1)):
        held_out = np.concatenate([folds == number, of_val])
        parts.append(Part(number + 1, of_rows(together, ~held_out), of_rows(together, held_out)))
    return parts
