"""The test set as a file: what every model said about the same examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.bulk_inferrer.answers import Answers
from components.bulk_inferrer.tasks import TASKS
from evaluation.evidence import TestSet

TEST_SET_FILE = "test_set.npz"


def align(probabilities: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Reorders a model's columns; a class that it does not know has probability 0.

    Args:
        probabilities: float or bool [examples, len(names)].
        names: Class of each column.
        classes: The order wanted, with all of `names` in it.
    """
    aligned = np.zeros((len(probabilities), len(classes)), dtype=np.float32)
    aligned[:, [classes.index(name) for name in names]] = probabilities
    return aligned


def make_test_set(
    task: str,
    labels: Sequence[Sequence[str]],
    columns: Mapping[str, Sequence[str]],
    models: Mapping[str, Answers],
) -> TestSet:
    """Puts the models' answers side by side, with the same columns, sorted by name.

    Args:
        task: Its name.
        labels: True labels of each example.
        columns: Values of each example to slice by.
        models: Answers of each model, by its name.
    """
    names = {label for of_one in labels for label in of_one}
    classes = sorted(names.union(*(answers.classes for answers in models.values())))
    return TestSet(
        classes=classes,
        labels=TASKS[task].labels(labels, classes),
        columns={name: np.array(values, dtype=np.str_) for name, values in columns.items()},
        probabilities={name: align(one.probabilities, one.classes, classes) for name, one in models.items()},
        said={
            name: align(one.said, one.classes, classes).astype(bool)
            for name, one in models.items()
            if one.said is not None
        },
        task=task,
    )


def save_test_set(test_set: TestSet, folder: str) -> None:
    """Writes the file into a folder."""
    arrays: dict[str, Any] = {
        "task": np.array(test_set.task),
        "classes": np.array(test_set.classes, dtype=np.str_),
        "labels": test_set.labels,
        **{f"column/{name}": values for name, values in test_set.columns.items()},
        **{f"model/{name}": values for name, values in test_set.probabilities.items()},
        **{f"said/{name}": values for name, values in test_set.said.items()},
    }
    np.savez_compressed(Path(folder, TEST_SET_FILE), **arrays)


def load_test_set(folder: str) -> TestSet:
    """Reads it back."""
    with np.load(Path(folder, TEST_SET_FILE)) as saved:

        def of(kind: str) -> dict[str, np.ndarray]:
            return {name.partition("/")[2]: saved[name] for name in saved.files if name.startswith(f"{kind}/")}

        classes, task = saved["classes"].tolist(), str(saved["task"])
        return TestSet(classes, saved["labels"], of("column"), of("model"), of("said"), task)
