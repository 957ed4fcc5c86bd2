"""The contract of `EvaluationTask`, which every entry of `TASKS` keeps."""

from __future__ import annotations

import numpy as np

from evaluation.metrics import metrics_of
from evaluation.predictions import DETECTION, SEGMENTATION, Predictions
from evaluation.tasks import TASKS, gates_of
from finetune.config.evaluation import EvaluationConfig

EDGES = (0.25, 0.25, 0.75, 0.75)
# Of the one class that there is in each picture.
PIXELS = 100
_COLUMNS = [0, 1, 2, 0, 1, 2]
# What a model finds that finds all of it; None of tasks that have no places.
FOUND: dict[str, np.ndarray] = {
    DETECTION: np.array([[(*EDGES, column, 0.9, 1.0)] for column in _COLUMNS], np.float32),
    SEGMENTATION: np.repeat(np.eye(3, dtype=np.int64)[_COLUMNS, :, np.newaxis] * PIXELS, 2, axis=2),
}


def check_task(name: str, labels: np.ndarray) -> None:
    """Holds a task against what gates, findings and report rely on.

    Args:
        name: Of an entry of `TASKS`.
        labels: Of six examples, as the bulk inferrer's task writes them: each has one class, and these are
            0, 1, 2, 0, 1, 2; where there are objects, each has one, with the edges of `EDGES`, and where there are
            masks, PIXELS of it.

    Raises:
        AssertionError: The task breaks the contract; the message says how.
    """
    task = TASKS[name]
    truth = np.eye(3)[_COLUMNS]
    found = task.predictions(labels, 0.1 + 0.8 * truth, truth > 0, FOUND.get(task.measured_as))
    assert isinstance(found, Predictions), f"{name}: expected Predictions, and got {type(found).__name__}"
    assert found.probabilities.shape == (6, 3), f"{name}: expected 6 examples of 3 classes"
    assert (found.actual == truth).all(), f"{name}: reads other labels than were given"
    assert found.correct.all(), f"{name}: answers that are all right count as right"
    metrics = metrics_of(name)
    assert task.leading in metrics, f"{name}: is led by {task.leading!r}, which is none of its metrics"
    leading = metrics[task.leading]
    assert leading.value(found) == leading.bounds[1], f"{name}: is led by a metric that is not best where all is right"
    assert any(metric.per_class for metric in metrics.values()), f"{name}: expected a metric of single classes"
    *first, later = gates_of(name, EvaluationConfig())
    assert all(gate.first_only for gate in first), f"{name}: expected default gates that ask baselines of a first model"
    assert later.relative_to == "champion", f"{name}: expected a default gate that compares a later model"
