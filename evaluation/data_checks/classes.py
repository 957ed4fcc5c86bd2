"""Classes: how many examples they have, and whether their names are meant to be different."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from evaluation.data_checks.check import TEST, TRAIN, VAL, DataCheck, Examples, Found, Suspect

CONFIDENCE = 0.95


def open_by(examples: np.ndarray) -> np.ndarray:
    """Returns what so many examples leave open of a class's recall even if a model has all of them right.

    The exact lower limit of a share of which all n were right is 0.05 ** (1 / n) (Clopper and Pearson 1934).

    Args:
        examples: int [classes].

    Returns:
        float [classes], from 0 to 1; 1 without examples.
    """
    return 1 - (1 - CONFIDENCE) ** (1 / np.maximum(examples, 1e-9))


def alike(classes: Sequence[str]) -> list[list[str]]:
    """Returns the names that differ in nothing but case, spaces, underscores, hyphens or forms of letters.

    Forms are those of Unicode's NFKC.
    """
    groups = defaultdict(list)
    for name in classes:
        plain = unicodedata.normalize("NFKC", name).casefold().replace("_", " ").replace("-", " ")
        groups[" ".join(plain.split())].append(name)
    return [names for names in groups.values() if len(names) > 1]


def _find_imbalance(examples: Examples) -> Found:
    counts = examples.labels[examples.rows(TRAIN)].sum(axis=0)
    if len(counts) < 2:
        return Found(None, why_not="there are fewer than two classes")
    most, least = int(counts.argmax()), int(counts.argmin())
    named = [f"{counts[place]:,} of {examples.classes[place]!r}" for place in (most, least)]
    ratio = float(counts[most] / max(counts[least], 0.5))
    return Found(ratio, [Suspect((), f"train has {named[0]}, and {named[1]}")] if ratio > IMBALANCE else [])


def _find_small(examples: Examples) -> Found:
    suspects, worst = [], 0.0
    for split in (VAL, TEST):
        counts = examples.labels[examples.rows(split)].sum(axis=0)
        left_open = open_by(counts)
        worst = max(worst, float(left_open.max()))
        suspects += [
            Suspect((), f"{split} has {counts[place]:,} of {examples.classes[place]!r}")
            for place in np.argsort(counts, kind="stable")
            if left_open[place] > LEFT_OPEN
        ]
    return Found(worst, suspects)


def _find_alike(examples: Examples) -> Found:
    groups = alike(examples.classes)
    suspects = []
    for names in groups:
        columns = [list(examples.classes).index(name) for name in names]
        first = [np.flatnonzero(examples.labels[:, column])[:1] for column in columns]
        spelled = " and ".join(repr(name) for name in names)
        suspects.append(Suspect(tuple(int(row) for rows in first for row in rows), f"the classes {spelled}"))
    return Found(len(groups), suspects)


IMBALANCE, LEFT_OPEN = 10.0, 0.3

CLASS_IMBALANCE = DataCheck(
    name="class_imbalance",
    label="class imbalance",
    measures="examples of the most frequent class in train for one of the rarest",
    meaning="A count; nothing in it is random. From about ten to one on, a model that is trained without a remedy "
    "leaves out the rare class (Krawczyk 2016). For `multi_label`, the examples that have each label are counted.",
    bound=IMBALANCE,
    advice="Gather more examples of the rare classes, or set `training.class_weights` to `balanced`; and gate on a "
    "metric that rare classes count in, such as macro_f1, or recall of each class.",
    find=_find_imbalance,
    share=False,
)

SMALL_CLASSES = DataCheck(
    name="small_classes",
    label="small classes",
    measures="how much of a class's recall val or test leave open even where a model has all of its examples right",
    meaning="1 - 0.05 ** (1 / n) for n examples, the exact 95% interval when all are right (Clopper and Pearson "
    "1934), of the class with the fewest; 9 examples leave open 28%, 30 leave open 10%. A count, in which nothing is "
    "random. For `multi_label`, the examples that have each label are counted.",
    bound=LEFT_OPEN,
    advice="Gather more examples of them, give val and test a larger share in `data.splits`, or join classes that "
    "need not be told apart: a gate on such a class says little.",
    find=_find_small,
)

CLASS_NAMES = DataCheck(
    name="class_names",
    label="names of classes",
    measures="classes that others differ from in case, spaces, underscores or hyphens alone",
    meaning="Names are compared after Unicode's NFKC and case folding; nothing in it is random. For `multi_label`, "
    "names of labels are compared in the same way.",
    bound=0.0,
    advice="If they mean the same, give them one name; a model would have to tell apart what is not different.",
    find=_find_alike,
    share=False,
)
