"""Whether train has what the champion was trained on, as statistics tell."""

from __future__ import annotations

from evaluation.column_drift import column_drifts
from evaluation.data_checks.check import DataCheck, Examples, Found, Suspect

# How often any column is said to have changed when none has.
LEVEL = 0.01


def _find(examples: Examples) -> Found:
    if examples.champion_counts is None:
        return Found(None, why_not="there is no champion that was trained on other data")
    drifts = column_drifts(examples.champion_counts, examples.counts, LEVEL)
    if not drifts:
        return Found(None, why_not="the champion's training data have none of the columns")
    suspects = [Suspect((), drift.sentence) for drift in drifts if drift.differs]
    return Found(max(drifts[0].distance - drifts[0].bound, 0.0), suspects)


CHAMPION_DATA = DataCheck(
    name="champion_data",
    label="train beside the champion's training data",
    measures="how much the share of a label, or of a value of a column, differs from the champion's training data "
    "beyond what chance gives",
    meaning="TensorFlow Data Validation's statistics of both train splits, and its measure of drift, the largest "
    "difference of the shares of a value, of the label and of each column of `data.slice_columns` that both have. What "
    "chance gives is that of dividing both together at random (a permutation test), at a level of "
    f"{LEVEL:.0%} for all columns together; where examples come in groups, that is too little. A champion that was "
    "trained on just these examples says nothing, and the one before it is asked. For `multi_label`, shares are of all "
    "labels.",
    bound=0.0,
    advice="If the world has changed, let gates on slices say whether the candidate serves it; if it has not, see "
    "what was lost or added on the way to the data.",
    find=_find,
    share=True,
)
