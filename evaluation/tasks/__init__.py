"""What a task asks of the evaluation: what a model's answers are held against.

One task more is one file with an object like those in `TASKS`, and one line there. No TensorFlow here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from evaluation.predictions import SINGLE_LABEL, Predictions
from evaluation.tasks.detection import DetectionTask
from evaluation.tasks.multi_label import MultiLabelTask
from evaluation.tasks.segmentation import SegmentationTask
from evaluation.tasks.single_label import SingleLabelTask
from finetune.config import Config
from finetune.config.evaluation import ORDINARY, EvaluationConfig, GateConfig


class EvaluationTask(Protocol):
    """What the evaluation asks of a task.

    Attributes:
        measured_as: `single_label`, `multi_label`, `detection` or `segmentation`: the task whose metrics measure it.
        leading: The metric that says in one number how good a model is: of slices, of the default gate, of sentences.
    """

    measured_as: str
    leading: str

    def predictions(
        self, labels: np.ndarray, probabilities: np.ndarray, said: np.ndarray | None, found: np.ndarray | None = None
    ) -> Predictions:
        """Joins what is true and what a model says.

        Args:
            labels: Of the examples, as the bulk inferrer's task writes them.
            probabilities: float [examples, classes].
            said: bool [examples, classes], what the model decided; None where probabilities alone decide.
            found: [examples, ...], what the model found where in each: boxes (`evaluation.detection`), or pixels
                (`evaluation.segmentation`); None where it finds nothing.
        """

    def in_columns(self, places: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
        """Brings labels or findings with places, whose classes are columns of `names`, into the columns of `classes`.

        All of `names` are among `classes`. Without places, nothing is to be brought.
        """


TASKS: dict[str, EvaluationTask] = {
    "single_label": SingleLabelTask(),
    "multi_label": MultiLabelTask(),
    "detection": DetectionTask(),
    "segmentation": SegmentationTask(),
}

# Of a candidate by itself: what passes of candidates in simulated years of retraining (benchmarks.replacements).
RISK_OF_EACH = 0.05
# On spans that have not drifted there are fewer test examples to show it by; chosen on the same years.
ON_ORDINARY = 0.04


def task_of(raw: Mapping[str, Any]) -> str | None:
    """Returns the task of a raw config; None where that is no text, which `load_config` reports."""
    task = raw.get("task", SINGLE_LABEL)
    return task if isinstance(task, str) else None


def gates_for(config: Config) -> list[GateConfig]:
    """Returns the gates of a whole config, as `gates_of` has them."""
    return gates_of(config.task, config.evaluation, config.data.in_spans)


def gates_of(task: str, evaluation: EvaluationConfig, in_spans: bool = False) -> list[GateConfig]:
    """Returns the gates of a config; where it names none, those that its baselines allow, on the task's leading metric.

    A first model must be better than the most frequent class beyond noise, and not be shown to be worse than logistic
    regression on the frozen features; a later one must be shown to be at most 0.01 worse than the champion. Where
    nothing bounds the risk over all candidates, each may take RISK_OF_EACH of passing though it is worse than that.
    Where data come in spans, it must also be shown to be at most ON_ORDINARY worse on those that have not drifted.
    """
    if evaluation.gates is not None:
        return list(evaluation.gates)
    asked = GateConfig(metric=TASKS[task].leading, min=0, confidence=0.95, refuse_when="unproven")
    # One end of the interval decides.
    confidence = asked.confidence if evaluation.promotion_risk else 1 - 2 * RISK_OF_EACH
    first = {"majority": "unproven", "logistic_regression": "disproven"}
    later = asked.model_copy(update={"relative_to": "champion", "min": -0.01, "confidence": confidence})
    ordinary = {"min": -ON_ORDINARY, "slice": {"span": ORDINARY}, "on_missing": "tell"}
    return [
        *(
            asked.model_copy(update={"relative_to": name, "refuse_when": refuse_when, "first_only": True})
            for name, refuse_when in first.items()
            if name in evaluation.baselines
        ),
        later,
        *([later.model_copy(update=ordinary)] if in_spans else []),
    ]
