"""The contract of `EvaluatorTask`, which every entry of `TASKS` keeps."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from components.evaluator.tasks import EvaluatorTask
from transforms.tasks import TransformTask

CLASSES = 3


def check_task(task: EvaluatorTask, transform_task: TransformTask) -> None:
    """Holds a task against what the Evaluator relies on.

    Args:
        task: What the Evaluator knows of the task.
        transform_task: What the Transform graph knows of the same one, which reads the labels.

    Raises:
        AssertionError: The task breaks the contract; the message says how.
    """
    spec = {"label": transform_task.spec()}
    labels = [
        transform_task.read(tf.io.parse_single_example(_record(number), spec)["label"], CLASSES).numpy()
        for number in range(CLASSES)
    ]
    probabilities = np.eye(CLASSES, dtype=np.float32) * 0.8 + 0.1
    said = np.eye(CLASSES, dtype=np.int64) if task.said else None
    right = task.predictions(labels, probabilities, said)
    assert right.correct.all(), "answers that are all right count as right"
    wrong = task.predictions(labels, probabilities[::-1], None if said is None else said[::-1])
    assert wrong.correct.tolist() == [False, True, False], "answers in the wrong order count as wrong"


def _record(number: int) -> bytes:
    value = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
    return tf.train.Example(features=tf.train.Features(feature={"label": value})).SerializeToString()
