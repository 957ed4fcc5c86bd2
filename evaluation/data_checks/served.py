"""Whether train looks like what models were shown in service."""

from __future__ import annotations

import numpy as np

from evaluation.data_checks.check import TRAIN, DataCheck, Examples, Found, Suspect
from evaluation.data_checks.sampling import at_most
from evaluation.data_checks.space import leading_directions
from evaluation.data_checks.two_sample import FEWEST, two_sample_test

# How often train is told from what was served although both are of one source.
LEVEL = 0.01
# Of train, as many are drawn at most.
MOST_EXAMPLES = 5_000


def _find(examples: Examples) -> Found:
    if examples.served is None:
        return Found(None, why_not="`data.serving_log` names no table of what was served")
    rows = at_most(examples.rows(TRAIN), MOST_EXAMPLES)
    if min(len(rows), len(examples.served)) < FEWEST:
        return Found(None, why_not=f"it takes {FEWEST} examples in train and in `data.serving_log`")
    directions = leading_directions(np.concatenate([examples.features[rows], examples.served]))
    groups = None
    if examples.groups is not None:
        groups = examples.groups[rows], np.full(len(examples.served), "")
    tested = two_sample_test(directions[: len(rows)], directions[len(rows) :], LEVEL, groups=groups)
    reason = f"{len(examples.served):,} that were served can be told from train: {tested.sentence}"
    return Found(tested.auc - tested.bound, [Suspect((), reason)] if tested.differ else [])


SERVED = DataCheck(
    name="served",
    label="train beside what was served",
    measures="how far what was served can be told from train, in area under the ROC curve beyond what chance gives",
    meaning="The test of `representative`, between train and up to 1,000 rows drawn from `data.serving_log`, at a "
    f"level of {LEVEL:.0%}. It looks at no label, so that it does the same for `multi_label`.",
    bound=0.0,
    advice="Label some of what is served and add it to train, val and test: gates judge the model on examples that "
    "are not those it is shown.",
    find=_find,
    share=False,
)
