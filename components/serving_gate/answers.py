"""Whether answers are what a client was promised, and those of the trained network. No TensorFlow here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from components.serving_gate.server import Answer
from components.serving_gate.shapes import ANY, CLASSES, Shape
from components.serving_gate.tasks import ServedTask

# What every client relies on, whatever the task; `ServedModel.serve` of the Trainer's export documents it.
OUTPUTS: Mapping[str, tuple[str, Shape]] = {"probabilities": ("float32", (CLASSES,)), "classes": ("string", (CLASSES,))}


def problems(task: ServedTask, answer: Answer, batch: int, decision: Mapping[str, Any]) -> list[str]:
    """What is wrong with the answer to a batch, each as a clause.

    Args:
        task: What it promises.
        answer: From the server.
        batch: How many requests it answers.
        decision: What was chosen on validation to decide by; empty where nothing was.
    """
    outputs = {**OUTPUTS, **task.outputs}
    if set(answer) != set(outputs):
        return [f"its outputs are {_listing(answer)}; expected {_listing(outputs)}"]
    found = [
        f"its output {name} is {answer[name].dtype}; expected {dtype}"
        for name, (dtype, _) in outputs.items()
        if answer[name].dtype not in (dtype, None)
    ]
    count = answer["probabilities"].shape[-1] if len(answer["probabilities"].shape) == 2 else None
    expected = {
        name: (batch, *(count if size == CLASSES else size for size in shape)) for name, (_, shape) in outputs.items()
    }
    found += [
        f"for {batch} requests its output {name} has the shape {_shape(answer[name].shape)}; expected {_shape(shape)}"
        for name, shape in expected.items()
        if not _fits(answer[name].shape, shape)
    ]
    return found or _wrong_values(task, answer, decision)


def _wrong_values(task: ServedTask, answer: Answer, decision: Mapping[str, Any]) -> list[str]:
    values = {name: np.asarray(output.values) for name, output in answer.items()}
    values["probabilities"] = probabilities = values["probabilities"].astype(np.float64)
    not_finite = int((~np.isfinite(probabilities)).any(axis=1).sum())
    if not_finite:
        return [f"{not_finite} of {len(probabilities)} answers hold NaN or infinity"]
    return task.wrong_values(values, decision)


def largest_difference(served: Mapping[int, Sequence[float]], trained: Mapping[int, Sequence[float]]) -> float:
    """The largest difference between two probabilities of the same example and class, in [0, 1].

    Args:
        served: Per number of a request, the probabilities that the exported model answers.
        trained: The same of the network in the Trainer's memory; of more examples, maybe.

    Returns:
        Infinity when the number of classes differs or a number is not finite.
    """
    largest = 0.0
    for key, row in served.items():
        if len(row) != len(trained[key]):
            return math.inf
        difference = float(np.abs(np.asarray(row, np.float64) - np.asarray(trained[key], np.float64)).max())
        largest = max(largest, difference if math.isfinite(difference) else math.inf)
    return largest


def _listing(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _fits(shape: Sequence[int | None], expected: Sequence[int | str | None]) -> bool:
    same = len(shape) == len(expected)
    return same and all(wanted in (ANY, size) for size, wanted in zip(shape, expected, strict=True))


def _shape(shape: Iterable[int | str | None]) -> str:
    return "(" + ", ".join("classes" if size is None else str(size) for size in shape) + ")"
