"""How far the features of a trained backbone still serve an earlier task, and gates on it. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluation.gates import Evidence, judge
from evaluation.intervals import paired_shares
from evaluation.metrics import METRICS
from finetune.artifacts.findings import GateResult, Interval
from finetune.artifacts.source_task import SourceTask
from finetune.config.evaluation import GateConfig

CONFIDENCE = 0.95


def source_task(right_before: np.ndarray, right_after: np.ndarray, classes: int, seconds: float) -> SourceTask:
    """Puts two probes of the same examples beside each other.

    Args:
        right_before: bool [examples], at least one: where the probe on the pretrained backbone's features is right.
        right_after: The same on the features of the trained one.
        classes: How many the examples have.
        seconds: That it took.
    """
    found = SourceTask(
        examples=len(right_before),
        classes=classes,
        right_in_both=int((right_before & right_after).sum()),
        forgotten=int((right_before & ~right_after).sum()),
        gained=int((~right_before & right_after).sum()),
        seconds=seconds,
    )
    return found.model_copy(update={"interval": interval_of(found, CONFIDENCE)})


def interval_of(found: SourceTask, confidence: float) -> Interval:
    """Returns the interval of the accuracy after training minus that before, of the same examples."""
    neither = found.examples - found.right_in_both - found.forgotten - found.gained
    counts = [found.right_in_both, found.gained, found.forgotten, neither]
    after, before = ([True, True, False, False], [True, False, True, False])
    return paired_shares(np.repeat(after, counts), np.repeat(before, counts), confidence)


def judge_source(gates: Sequence[GateConfig], found: SourceTask | None) -> list[GateResult]:
    """Judges the gates of a config that are about the source task.

    Args:
        gates: All of the config; the others are skipped.
        found: None where nothing was measured, which refuses.
    """

    def evidence(gate: GateConfig) -> Evidence:
        if found is None:
            return Evidence(None, missing="the source task was not probed")
        interval = interval_of(found, gate.confidence) if gate.confidence else found.interval
        return Evidence(found.retention, examples=found.examples, interval=interval)

    return judge([gate for gate in gates if METRICS[gate.metric].of_source], evidence)
