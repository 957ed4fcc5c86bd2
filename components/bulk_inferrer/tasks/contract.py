"""The contract of `InferrerTask`, which every entry of `TASKS` keeps."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np

from components.bulk_inferrer.answers import Answers
from components.bulk_inferrer.tasks import InferrerTask
from components.bulk_inferrer.test_set import make_test_set
from evaluation.evidence import CANDIDATE
from evaluation.predictions import DETECTION, SEGMENTATION
from evaluation.tasks.contract import EDGES, FOUND, PIXELS
from transforms.objects import Box, Objects

CLASSES = ("a", "b", "c")


def places(task: str, names: Sequence[Sequence[str]]) -> list[str]:
    """Returns what is where in examples that have one class each: an object with EDGES, or PIXELS of it."""
    texts: dict[str, Callable[[str], str]] = {
        DETECTION: lambda label: Objects(480, 640, (Box(label, EDGES),)).to_text(),
        SEGMENTATION: lambda label: json.dumps({label: PIXELS}),
    }
    return [texts[task](label) if task in texts else "" for (label,) in names]


def check_task(name: str, task: InferrerTask) -> None:
    """Holds a task against what the bulk inferrer and the evaluation rely on.

    Args:
        name: Of the task, in the evaluation's table too.
        task: What the bulk inferrer knows of it.

    Raises:
        AssertionError: The task breaks the contract; the message says how.
    """
    names = [[label] for label in (*CLASSES, *CLASSES)]
    answer = task.majority(dict.fromkeys(CLASSES, 2), len(names))
    assert list(answer.classes) == sorted(CLASSES), f"the baseline knows {list(answer.classes)} of {list(CLASSES)}"
    assert answer.probabilities.shape == (1, 3), "the baseline gives one answer, which holds for all examples"
    right = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]] * 0.8 + 0.1
    said = None if answer.said is None else right > 0.5
    test_set = make_test_set(
        name, names, {}, {CANDIDATE: Answers(right, CLASSES, said, FOUND.get(name))}, objects=places(name, names)
    )
    candidate = test_set.of(CANDIDATE)
    assert candidate.correct.all(), "answers that are all right count as right"
    confidence = task.confidence(candidate)
    assert confidence.shape == (6,), f"confidence has the shape {confidence.shape}; expected one for each example"
    assert ((confidence >= 0) & (confidence <= 1)).all(), "confidence lies in [0, 1]"
    for row in task.shown(candidate, CLASSES):
        assert row["label"] == row["predicted"], f"a right answer is shown as {row}"
    scores = task.score(candidate, CLASSES)
    assert scores["classes"] == list(CLASSES), "scores name the classes in their order"
    assert [row["class"] for row in scores["per_class"]] == list(CLASSES), "scores have a row for each class"
