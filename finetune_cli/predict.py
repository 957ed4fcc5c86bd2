"""Classifies files and texts with a pushed model, which needs nothing but TensorFlow and the model's folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from components.example_gen.files import FileProblem, read_file, walk_folder
from components.example_gen.modalities import MODALITIES as INGEST_MODALITIES
from components.serving_gate.answers import OUTPUTS
from components.serving_gate.tasks import TASKS, ServedTask
from finetune.errors import RunError
from finetune_cli.modalities import MODALITIES
from registry.versions import FACTS_FILE, versions

BATCH = 32


def predict(model_dir: Path, files: Iterable[Path] = (), texts: Iterable[str] = ()) -> Iterator[dict[str, Any]]:
    """Predicts each file, then each text; a batch is in memory at a time, however many there are.

    Args:
        model_dir: A pushed version, or a folder of versions, of which the newest is used.
        files: Pictures or sounds, or files with one text each.
        texts: Texts.

    Yields:
        A row for each in order: `file` or `text`, `probabilities` by class, and what the model says: `label` and its
        `probability`, or of several `labels`, those that reach their thresholds, from the most probable on. Or `file`
        or `text` and `error` for one that cannot be used.

    Raises:
        RunError: There is no model in `model_dir`, or one that serves something else.
    """
    path = find_version(model_dir)
    modality = _modality(path)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    task = _task_of(path, serve.structured_outputs)

    def classify(contents: list[bytes]) -> list[dict[str, Any]]:
        outputs = {name: _plain(value.numpy()) for name, value in serve(tf.constant(contents)).items()}
        rows = ({name: value[number] for name, value in outputs.items()} for number in range(len(contents)))
        return [
            {**task.row(row), "probabilities": dict(zip(row["classes"], row["probabilities"], strict=True))}
            for row in rows
        ]

    def classify_each(contents: list[bytes]) -> list[dict[str, Any]]:
        """One bad example fails its whole batch; then each is tried by itself."""
        try:
            return classify(contents)
        except tf.errors.OpError:
            if len(contents) == 1:
                return [{"error": MODALITIES[modality].why_not(contents[0])}]
            return [row for content in contents for row in classify_each([content])]

    rows = chain(({"file": str(file)} for file in files), ({"text": text} for text in texts))
    while batch := list(islice(rows, BATCH)):
        yield from _answered(batch, INGEST_MODALITIES[modality].raw, classify_each)


def files_in(paths: Iterable[Path]) -> Iterator[Path]:
    """Yields the files that paths name, and those in the folders among them, without litter; a folder's sorted."""
    for path in paths:
        if path.is_dir():
            parent, name = os.path.split(os.path.abspath(path))
            inner = (record.path[len(name) + 1 :] for record in walk_folder(parent, name, (), None))
            yield from (path / each for each in inner if each)
        else:
            yield path


def _answered(
    rows: list[dict[str, Any]],
    raw: Callable[[bytes], bytes],
    classify: Callable[[list[bytes]], list[dict[str, Any]]],
) -> list[dict[str, Any]]:
    """Returns rows with what the model says of each, or why it says nothing."""
    readable, contents = [], []
    for row in rows:
        try:
            # Bytes of an argument that are not UTF-8 arrive as surrogates, and go on as they came.
            data = read_file(row["file"]) if "file" in row else row["text"].encode("utf-8", "surrogateescape")
            contents.append(raw(data))
            readable.append(row)
        except FileProblem as problem:
            row["error"] = str(problem)
    if readable:
        for row, result in zip(readable, classify(contents), strict=True):
            row.update(result)
    return rows


def _modality(model: Path) -> str:
    """What the model is shown; models that do not say so are of pictures, the first that there were."""
    path = model / FACTS_FILE
    facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return str(facts.get("modality", "image"))


def _task_of(path: Path, outputs: Mapping[str, Any]) -> ServedTask:
    for task in TASKS.values():
        if {*OUTPUTS, *task.outputs} == set(outputs):
            return task
    raise RunError(
        f"MODEL_DIR: {str(path)!r} serves {', '.join(sorted(outputs))}; expected a model that this product pushed."
    )


def _plain(value: np.ndarray[Any, Any]) -> Any:
    """Returns nested lists, with text for bytes."""
    if value.dtype.kind == "O":
        return np.char.decode(value.astype(bytes), "utf-8").tolist()
    return value.tolist()


def find_version(model_dir: Path) -> Path:
    """Returns the SavedModel in a folder, or the newest version below it.

    Raises:
        RunError: There is none.
    """
    if (model_dir / "saved_model.pb").is_file():
        return model_dir
    found = versions(model_dir) if model_dir.is_dir() else []
    if not found:
        raise RunError(
            f"MODEL_DIR: got {str(model_dir)!r}; expected a pushed version (a folder with saved_model.pb) or a folder "
            "of numbered versions, such as runs/flowers/pushed."
        )
    return model_dir / str(found[-1])
