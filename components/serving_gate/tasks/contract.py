"""The contract of `ServedTask`, which every entry of `TASKS` keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from components.serving_gate.answers import problems
from components.serving_gate.server import Output
from components.serving_gate.tasks import ServedTask


def check_task(task: ServedTask, answer: Mapping[str, np.ndarray]) -> None:
    """Holds a task against what the serving gate and `predict` rely on.

    Args:
        task: What is promised.
        answer: What a sound model of it serves for a batch, by name, `probabilities` and `classes` included; text as
            str.

    Raises:
        AssertionError: The task breaks the contract; the message says how.
    """
    sound = {name: _output(value) for name, value in answer.items()}
    batch = len(answer["probabilities"])
    found = problems(task, sound, batch, {})
    assert found == [], f"a sound answer is refused: {'; '.join(found)}"
    for name in task.outputs:
        missing = {other: output for other, output in sound.items() if other != name}
        assert problems(task, missing, batch, {}), f"an answer without {name} is let through"
    broken = {**sound, "probabilities": _output(np.full_like(answer["probabilities"], -1.0))}
    assert problems(task, broken, batch, {}), "probabilities of -1 are let through"
    for number in range(batch):
        row = task.row({name: value[number].tolist() for name, value in answer.items()})
        assert row, "`predict` says something of each example"
        json.dumps(row)


def _output(value: np.ndarray) -> Output:
    return Output("string" if value.dtype.kind == "U" else value.dtype.name, value.shape, value.tolist())
