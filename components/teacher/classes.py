"""Whether a served model can teach another, and in which order its classes are. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from components.serving_gate.answers import OUTPUTS
from components.serving_gate.tasks import TASKS
from finetune.errors import DataError, RunError, did_you_mean

KEY = "training.distillation.teacher"


def check_outputs(teacher: str, outputs: Collection[str], task: str) -> None:
    """Refuses a model that answers another question.

    Args:
        teacher: What to call it.
        outputs: Names of what it serves.
        task: Of the model that learns.

    Raises:
        RunError: It serves something else.
    """
    if missing := sorted({*OUTPUTS, *TASKS[task].outputs}.difference(outputs)):
        others = [name for name, other in TASKS.items() if set(other.outputs) <= set(outputs)]
        kind = f" That is a model of task {others[0]}, and this is {task}." if others else ""
        raise RunError(
            f"{KEY}: {teacher} serves {', '.join(sorted(outputs))}, without {', '.join(missing)}.{kind} Expected a "
            f"SavedModel that this pipeline has exported for task {task}, or one with the same outputs."
        )


def columns_of(teacher: str, theirs: Sequence[str], ours: Sequence[str]) -> np.ndarray[Any, Any]:
    """Returns which column of the teacher each of our classes is, int64 [classes].

    Raises:
        DataError: The classes are not the same.
    """
    places = {name: place for place, name in enumerate(theirs)}
    missing = [name for name in ours if name not in places]
    unknown = [name for name in theirs if name not in ours]
    if missing or unknown:
        parts = [
            f"{what} {', '.join(map(repr, names))}"
            for what, names in (("it does not know", missing), ("it tells apart as well", unknown))
            if names
        ]
        hint = did_you_mean(unknown[0], missing) if missing and unknown else ""
        raise DataError(
            f"{KEY}: {teacher} has {len(places)} classes, and the examples have {len(ours)}: {' and '.join(parts)}. "
            f"Expected the same names.{hint} Train the teacher on examples of these classes, or rename the folders or "
            "labels so that they agree."
        )
    return np.array([places[name] for name in ours])


def names_said(probabilities: np.ndarray[Any, Any], classes: Sequence[str], one_label: bool) -> list[str]:
    """Returns the labels that a teacher's answer, float [classes], amounts to: the most probable, or the probable."""
    if one_label:
        return [classes[int(probabilities.argmax())]]
    return [name for name, probability in zip(classes, probabilities, strict=True) if probability >= 0.5]
