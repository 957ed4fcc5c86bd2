"""Facts about an example that alone predict its label, although they are no part of what the model is to look at."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evaluation.data_checks.check import TRAIN, VAL, DataCheck, Examples, Found, Suspect

FOLDS = 5
# A number with more values than this is cut into as many ranges with as many examples each.
MOST_VALUES = 32
# How often facts without a relation to the label may be taken for a leak, all facts together.
LEVEL = 0.01
# Lower limit of the skill from which on a fact is a leak. Sizes and borders of photographs of five kinds of flowers
# have at most 0.08.
TELLING = 0.3
FEWEST = 50
# Width of the frame that is looked at, in pixels of a thumbnail.
_BORDER = 2


@dataclass(frozen=True)
class Predicts:
    """How well a fact alone predicts.

    Attributes:
        skill: Held-out accuracy, brought to a scale on which 0 is to say always what is more frequent, and 1 is to be
            right always.
        low: Its lower confidence limit.
        label: What it predicts.
    """

    skill: float
    low: float
    label: str = ""


def skill_of(codes: np.ndarray, has: np.ndarray, level: float, seed: int = 0) -> Predicts:
    """Predicts from one fact whether examples have a label, by what more examples with the same value have.

    That is a tree of one level, cross-validated; of a value that only held-out examples have, it says what most have.

    Args:
        codes: int [examples], from 0; the fact's value or range.
        has: bool [examples].
        level: One minus the confidence of the limit, which is Clopper and Pearson's (1934).
        seed: Of the folds.
    """
    from scipy.stats import beta

    count = len(has)
    majority = max(has.sum(), count - has.sum()) / count
    if majority == 1:
        return Predicts(0.0, 0.0)
    shape = FOLDS, codes.max() + 1, 2
    fold = np.random.default_rng(seed).permutation(count) % FOLDS
    table = np.bincount(np.ravel_multi_index((fold, codes, has.astype(int)), shape), minlength=np.prod(shape))
    table = table.reshape(shape)
    known = table.sum(axis=0) - table
    # Of a tie, the answer that is more frequent on the whole.
    said = (known + known.sum(axis=1, keepdims=True) / (count + 1)).argmax(axis=2)
    right = int(np.take_along_axis(table, said[:, :, np.newaxis], axis=2).sum())
    low = float(beta.ppf(level, right, count - right + 1)) if right else 0.0
    return Predicts((right / count - majority) / (1 - majority), (low - majority) / (1 - majority))


def coded(values: Sequence[str] | np.ndarray) -> np.ndarray:
    """Returns the values of a fact as int [examples] from 0: each value, or of numbers with many values each range."""
    found = np.asarray(values)
    distinct, codes = np.unique(found, return_inverse=True)
    if found.dtype.kind not in "iuf" or len(distinct) <= MOST_VALUES:
        return codes.ravel()
    edges = np.quantile(found, np.linspace(0, 1, MOST_VALUES + 1)[1:-1])
    return np.searchsorted(edges, found)


def facts_of(examples: Examples) -> dict[str, Sequence[str] | np.ndarray]:
    """Returns the facts that there are about examples, and their values."""
    facts: dict[str, Sequence[str] | np.ndarray] = {f"column {name}": cells for name, cells in examples.columns.items()}
    if examples.pictures is None:
        return facts
    width, height = examples.pictures.sizes.T.astype(np.float64)
    border = _border(examples.pictures.thumbnails)
    return {
        **facts,
        "file name": [_name_without(path, examples.classes) for path in examples.paths],
        "file size": examples.pictures.bytes,
        "width": width,
        "height": height,
        "aspect ratio": width / np.maximum(height, 1),
        "brightness of the border": border.mean(axis=(1, 2)),
        "evenness of the border": border.std(axis=1).mean(axis=1),
    }


def _border(thumbnails: np.ndarray) -> np.ndarray:
    """Returns the pixels of the frame, uint8 [examples, pixels, 3]."""
    size = thumbnails.shape[1]
    inside = np.zeros((size, size), bool)
    inside[_BORDER:-_BORDER, _BORDER:-_BORDER] = True
    return thumbnails[:, ~inside]


def _name_without(path: str, classes: Sequence[str]) -> str:
    """Returns the file's name with `#` for numbers and `*` for names of classes, which people give to files."""
    name = path.rsplit("/", 1)[-1].casefold()
    for known in sorted(classes, key=len, reverse=True):
        name = name.replace(known.casefold(), "*")
    return re.sub(r"\d+", "#", name)


def predicting(
    facts: Mapping[str, Sequence[str] | np.ndarray], labels: np.ndarray, classes: Sequence[str]
) -> dict[str, Predicts]:
    """Returns how well each fact predicts the label that it predicts best.

    Limits hold for all facts and all labels together (Bonferroni).

    Args:
        facts: By name, of each example.
        labels: bool [examples, classes].
        classes: Names of the columns.
    """
    level = LEVEL / (len(facts) * len(classes))
    best = {}
    for name, values in facts.items():
        codes = coded(values)
        found = [replace(skill_of(codes, has, level), label=name) for name, has in zip(classes, labels.T, strict=True)]
        best[name] = max(found, key=lambda each: each.low)
    return best


def _find(examples: Examples) -> Found:
    rows = examples.rows(TRAIN, VAL)
    facts = {name: np.asarray(values)[rows] for name, values in facts_of(examples).items()}
    if not facts:
        return Found(None, why_not="there are no columns, and texts have no files of their own")
    if len(rows) < FEWEST:
        return Found(None, why_not=f"{len(rows)} examples are too few to learn a label from")
    found = predicting(facts, examples.labels[rows], examples.classes)
    ordered = sorted(found, key=lambda name: -found[name].low)
    suspects = [
        Suspect(
            (int(rows[0]),),
            f"{name} alone predicts {found[name].label!r}: {found[name].skill:.0%} of what chance leaves "
            f"open, at least {found[name].low:.0%}",
        )
        for name in ordered
        if found[name].low > TELLING
    ]
    return Found(max(found[ordered[0]].low, 0.0), suspects)


LEAKS = DataCheck(
    name="leaks",
    label="leaks",
    measures="what a fact beside the content alone tells of the label, on a scale from chance to always right",
    meaning="A tree of one level on each fact (a column of `data.slice_columns`; of pictures the file's name without "
    "numbers and names of classes, its size, width, height, aspect ratio, and its border's brightness and evenness) "
    f"predicts whether an example of train or val has a label, cross-validated in {FOLDS} folds. The value is the "
    "lower limit of its skill, (accuracy - majority) / (1 - majority), for the fact and the label with the most "
    f"(Clopper and Pearson 1934): at a level of {LEVEL:.0%} for all facts and labels together, none with a skill "
    "below the bound is taken for a leak. For `multi_label`, it is the same.",
    bound=TELLING,
    advice="Find out how examples of different labels came to differ in it, and gather or export them in the same "
    "way: the model can learn it in place of what is shown, and fails where it no longer holds.",
    find=_find,
)
