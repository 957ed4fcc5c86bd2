"""The test set as a file: what every model said about the same examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.evidence import TestSet

TEST_SET_FILE = "test_set.npz"


def align(probabilities: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Reorders a model's columns; a class that it does not know has probability 0.

    Args:
        probabilities: float [examples, len(names)].
        names: Class of each column.
        classes: The order wanted, with all of `names` in it.
    """
    aligned = np.zeros((len(probabilities), len(classes)), dtype=np.float32)
    aligned[:, [classes.index(name) for name in names]] = probabilities
    return aligned


def make_test_set(
    labels: Sequence[str],
    columns: Mapping[str, Sequence[str]],
    models: Mapping[str, tuple[np.ndarray, Sequence[str]]],
) -> TestSet:
    """Puts the models' predictions side by side, with the same columns, sorted by name.

    Args:
        labels: True class of each example.
        columns: Values of each example to slice by.
        models: By name, probabilities [examples, its classes] and the names of its classes.
    """
    classes = sorted({*labels, *(name for _, names in models.values() for name in names)})
    return TestSet(
        classes=classes,
        labels=np.array([classes.index(label) for label in labels], dtype=np.int64),
        columns={name: np.array(values, dtype=np.str_) for name, values in {**columns, "label": labels}.items()},
        probabilities={name: align(values, names, classes) for name, (values, names) in models.items()},
    )


def save_test_set(test_set: TestSet, folder: str) -> None:
    """Writes the file into a folder."""
    arrays: dict[str, Any] = {
        "classes": np.array(test_set.classes, dtype=np.str_),
        "labels": test_set.labels,
        **{f"column/{name}": values for name, values in test_set.columns.items()},
        **{f"model/{name}": values for name, values in test_set.probabilities.items()},
    }
    np.savez_compressed(Path(folder, TEST_SET_FILE), **arrays)


def load_test_set(folder: str) -> TestSet:
    """Reads it back."""
    with np.load(Path(folder, TEST_SET_FILE)) as saved:

        def of(kind: str) -> dict[str, np.ndarray]:
            return {name.partition("/")[2]: saved[name] for name in saved.files if name.startswith(f"{kind}/")}

        return TestSet(saved["classes"].tolist(), saved["labels"], of("column"), of("model"))
