"""The test set as files: what every model said about the same examples, in columns that need not fit into memory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.bulk_inferrer.answers import Answers
from components.bulk_inferrer.tasks import TASKS
from evaluation.evidence import CANDIDATE, CHAMPION, TestSet
from evaluation.tasks import TASKS as EVALUATION_TASKS
from finetune.artifacts.split_digests import DIGITS

FOLDER = "test_set"
_FACTS = "test_set.json"


def align(probabilities: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Reorders a model's columns; a class that it does not know has probability 0.

    Args:
        probabilities: float or bool [examples, len(names)].
        names: Class of each column.
        classes: The order wanted, with all of `names` in it.
    """
    places = {name: place for place, name in enumerate(classes)}
    aligned = np.zeros((len(probabilities), len(classes)), dtype=np.float32)
    aligned[:, [places[name] for name in names]] = probabilities
    return aligned


def classes_of(labels: Iterable[Sequence[str]], models: Iterable[Answers]) -> list[str]:
    """Returns every class that an example has or a model knows, sorted."""
    known = (answers.classes for answers in models)
    return sorted({name for names in (*labels, *known) for name in names})


def make_test_set(
    task: str,
    labels: Sequence[Sequence[str]],
    columns: Mapping[str, Sequence[str]],
    models: Mapping[str, Answers],
    classes: Sequence[str] | None = None,
    learned: np.ndarray | None = None,
    digests: Sequence[str] | None = None,
    ranks: Mapping[str, np.ndarray] | None = None,
    objects: Sequence[str] | None = None,
) -> TestSet:
    """Puts the models' answers side by side, with the same columns.

    Args:
        task: Its name.
        labels: True labels of each example.
        columns: Values of each example to slice by.
        models: Answers of each model, by its name.
        classes: The columns; by default those of these labels and models.
        learned: bool [examples], those that the champion learned from; None where that is not known.
        digests: The SHA-256 of each example, in hexadecimal digits; None keeps none.
        objects: What is where in each picture, as the task's `places` writes it; None where the data do not say it.
        ranks: int [examples, 2] of each model that has vectors of pictures and texts; None where none has.
    """
    classes = list(classes or classes_of(labels, models.values()))
    return TestSet(
        classes=classes,
        labels=TASKS[task].labels(labels, objects or [""] * len(labels), classes),
        columns={name: np.array(values, dtype=np.str_) for name, values in columns.items()},
        probabilities={name: align(one.probabilities, one.classes, classes) for name, one in models.items()},
        said={
            name: align(one.said, one.classes, classes).astype(bool)
            for name, one in models.items()
            if one.said is not None
        },
        found={
            name: EVALUATION_TASKS[task].in_columns(one.found, one.classes, classes)
            for name, one in models.items()
            if one.found is not None
        },
        ranks=ranks or {},
        task=task,
        trained=list(models[CANDIDATE].classes) if CANDIDATE in models else None,
        known=list(models[CHAMPION].classes) if CHAMPION in models else None,
        learned=learned,
        digests=None if digests is None else np.array([digest[:DIGITS].encode() for digest in digests], f"S{DIGITS}"),
    )


def save_test_set(parts: Iterable[TestSet], examples: int, folder: str) -> None:
    """Writes a test set into a folder, part after part.

    Args:
        parts: At least one, all with the same classes, columns and models.
        examples: How many there are in all parts.
        folder: Gets a folder of arrays, which `load_test_set` maps into memory.
    """
    arrays: dict[str, np.memmap[Any, Any]] = {}
    values: dict[str, dict[str, int]] = {}
    start = 0
    Path(folder, FOLDER).mkdir()
    for part in parts:
        stop = start + len(part.labels)
        for name, rows in _arrays(part, values).items():
            if name not in arrays:
                shape = (examples, *rows.shape[1:])
                arrays[name] = _new_array(_file(folder, name), rows.dtype, shape)
            arrays[name][start:stop] = rows
        start = stop
    assert start == examples, f"got {start} examples, and expected {examples}"
    for array in arrays.values():
        array.flush()
    facts = {
        "task": part.task,
        "classes": part.classes,
        "trained": part.trained,
        "known": part.known,
        "columns": {name: list(of_column) for name, of_column in values.items()},
        "models": {name: name in part.said for name in part.probabilities},
        "found": list(part.found),
        "ranks": list(part.ranks),
        "learned": part.learned is not None,
        "digests": part.digests is not None,
    }
    Path(folder, FOLDER, _FACTS).write_text(json.dumps(facts), encoding="utf-8")


def load_test_set(folder: str) -> TestSet:
    """Reads it back; probabilities and decisions stay on disk until they are looked at."""
    facts = json.loads(Path(folder, FOLDER, _FACTS).read_text(encoding="utf-8"))

    def mapped(name: str) -> np.ndarray:
        return np.load(_file(folder, name), mmap_mode="r")

    columns = enumerate(facts["columns"].items())
    return TestSet(
        classes=facts["classes"],
        labels=np.array(mapped("labels")),
        columns={name: np.array(values, np.str_)[mapped(f"column-{place}")] for place, (name, values) in columns},
        probabilities={name: mapped(f"model-{name}") for name in facts["models"]},
        said={name: mapped(f"said-{name}") for name, has_said in facts["models"].items() if has_said},
        found={name: mapped(f"found-{name}") for name in facts.get("found", ())},
        ranks={name: np.array(mapped(f"ranks-{name}")) for name in facts.get("ranks", ())},
        task=facts["task"],
        trained=facts["trained"],
        known=facts.get("known"),
        learned=np.array(mapped("learned")) if facts.get("learned") else None,
        digests=mapped("digests") if facts.get("digests") else None,
    )


def _arrays(part: TestSet, values: dict[str, dict[str, int]]) -> dict[str, np.ndarray]:
    """The arrays of a part, by name; a column as numbers of its values, new ones of which are added to `values`."""
    columns = {}
    for place, (name, column) in enumerate(part.columns.items()):
        numbers = values.setdefault(name, {})
        columns[f"column-{place}"] = np.array([numbers.setdefault(v, len(numbers)) for v in column.tolist()], np.int32)
    return {
        "labels": part.labels,
        **columns,
        **({} if part.learned is None else {"learned": part.learned}),
        **({} if part.digests is None else {"digests": part.digests}),
        **{f"model-{name}": rows for name, rows in part.probabilities.items()},
        **{f"said-{name}": rows for name, rows in part.said.items()},
        **{f"found-{name}": rows for name, rows in part.found.items()},
        **{f"ranks-{name}": rows for name, rows in part.ranks.items()},
    }


def _new_array(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Makes a file and maps it into memory. Without room on the disk, writing to a map would kill the process.

    Raises:
        OSError: There is no room on the disk.
    """
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)  # type: ignore[no-untyped-call, unused-ignore]
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _file(folder: str, name: str) -> Path:
    return Path(folder, FOLDER, f"{name}.npy")
