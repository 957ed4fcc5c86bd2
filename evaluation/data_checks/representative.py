"""Whether validation and test look like train."""

from __future__ import annotations

import numpy as np

from evaluation.data_checks.check import TEST, TRAIN, VAL, DataCheck, Examples, Found, Suspect
from evaluation.data_checks.sampling import at_most
from evaluation.data_checks.space import leading_directions
from evaluation.data_checks.two_sample import FEWEST, TwoSample, two_sample_test

# How often splits that were cut at random may be told apart, both comparisons together.
LEVEL = 0.01
# Of a split with more examples, as many are drawn.
MOST_EXAMPLES = 5_000
_SHOWN = 12


def compare_splits(examples: Examples, seed: int = 0) -> dict[str, tuple[TwoSample, np.ndarray]]:
    """Tests val and test beside train, each at half of LEVEL; a split with too few examples is left out.

    Returns:
        By split what the test says, and int [examples], numbers of those drawn from it, least like train first.
    """
    random = np.random.default_rng(seed)
    rows = {split: at_most(examples.rows(split), MOST_EXAMPLES, random) for split in (TRAIN, VAL, TEST)}
    directions = leading_directions(examples.features[np.concatenate([*rows.values()])])
    of_split = dict(zip(rows, np.split(directions, np.cumsum([len(each) for each in rows.values()])[:-1]), strict=True))
    found = {}
    for split in (VAL, TEST):
        if min(len(rows[TRAIN]), len(rows[split])) >= FEWEST:
            groups = None
            if examples.groups is not None:
                groups = examples.groups[rows[TRAIN]], examples.groups[rows[split]]
            tested = two_sample_test(of_split[TRAIN], of_split[split], LEVEL / 2, seed, groups)
            found[split] = tested, rows[split][tested.telling]
    return found


def _find(examples: Examples) -> Found:
    found = compare_splits(examples)
    if not found:
        return Found(None, why_not=f"it takes {FEWEST} examples in train, and in val or test")
    suspects = [
        Suspect((int(row),), f"of {split}, which can be told from train: {tested.sentence}")
        for split, (tested, least_like_train) in found.items()
        if tested.differ
        for row in least_like_train[:_SHOWN]
    ]
    return Found(max(tested.auc - tested.bound for tested, _ in found.values()), suspects)


REPRESENTATIVE = DataCheck(
    name="representative",
    label="val and test beside train",
    measures="how far val or test can be told from train, in area under the ROC curve beyond what chance gives",
    meaning="A classifier two-sample test (Lopez-Paz and Oquab 2017): ridge regression on the leading directions of "
    "frozen features learns to tell val, or test, from train, and is judged in 5 folds on examples that it has not "
    "seen. What chance gives is that of 999 permutations of the splits, which move groups of `data.group_column` as "
    f"a whole, at a level of {LEVEL:.0%} for both together. It looks at no label, so that it does the same for "
    "`multi_label`.",
    bound=0.0,
    advice="A metric on such a split is not about what was trained on. Cut the splits from the same source "
    "(`data.splits` with fractions), or, where they differ on purpose, set `data.checks.representative` to `off`.",
    find=_find,
    share=False,
)
