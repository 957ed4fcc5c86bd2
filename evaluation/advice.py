"""What to try when a gate has failed. Words only."""

from __future__ import annotations

from evaluation.metrics import METRICS
from finetune.config.evaluation import GateConfig

_DATA = "add more or cleaner examples of it, or give it a weight under training.class_weights"
_SLICE_DATA = "add examples that are like it to the train split"


def advice(gate: GateConfig, unmeasured: bool) -> str:
    """Returns what to try, as one sentence part.

    Args:
        gate: That failed.
        unmeasured: It failed because there was nothing to judge by.
    """
    if unmeasured:
        return "check the gate's metric, class and slice against what the test split has"
    if METRICS[gate.metric].advice:
        return METRICS[gate.metric].advice
    if gate.of_class:
        return f"see what {gate.of_class} is confused with; {_DATA}"
    if gate.slice:
        where = ", ".join(f"{column}={value}" for column, value in gate.slice.items())
        return f"look at the mistakes on {where}; {_DATA if 'label' in gate.slice else _SLICE_DATA}"
    if gate.relative_to == "champion":
        return "compare both models by slice in the report; train longer, or on the data that the champion saw too"
    if gate.relative_to:
        return "check that the backbone suits the data: unfreeze more of it, or take one pretrained on nearer data"
    if gate.confidence and gate.refuses_when == "unproven":
        return "a larger test split narrows the interval; a better model lifts it"
    return "more or cleaner data for the weakest classes, more epochs, or more unfrozen layers at a low rate"
