"""The contract of `EvaluatorTask`, which every entry of `TASKS` keeps."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from components.evaluator.tasks import EvaluatorTask
from evaluation.metrics.references import Answered
from transforms.tasks import TransformTask
from transforms.tasks.contract import record

CLASSES = 3


def check_task(task: EvaluatorTask, transform_task: TransformTask) -> None:
    """Holds a task against what the Evaluator relies on.

    Args:
        task: What the Evaluator knows of the task.
        transform_task: What the Transform graph knows of the same one, which reads the labels.

    Raises:
        AssertionError: The task breaks the contract; the message says how.
    """
    spec = transform_task.spec()
    labels = [
        transform_task.compared(tf.io.parse_single_example(record(number), spec), CLASSES).numpy()
        for number in range(CLASSES)
    ]
    probabilities = np.eye(CLASSES, dtype=np.float32) * 0.8 + 0.1
    names = np.array([b"a", b"b", b"c"])
    served = [
        {"classes": names, "label": names[k : k + 1], "labels": names, "predicted": np.eye(CLASSES)[k]}
        for k in range(CLASSES)
    ]
    said = np.stack([task.said(outputs) for outputs in served])
    assert said.dtype == bool, f"what is said is {said.dtype}; expected bool"
    right = task.answered(labels, probabilities, said)
    assert _correct(right).all(), "answers that are all right count as right"
    wrong = task.answered(labels, probabilities[::-1], said[::-1])
    assert _correct(wrong).tolist() == [False, True, False], "answers in the wrong order count as wrong"
    assert right.probabilities.shape == right.actual.shape == right.said.shape, "a column of one is one of all"


def _correct(answered: Answered) -> np.ndarray:
    return (answered.actual == answered.said).all(axis=1)
