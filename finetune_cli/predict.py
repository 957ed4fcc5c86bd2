"""Classifies files and texts with a pushed model, which needs nothing but TensorFlow and the model's folder."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from components.example_gen.files import FileProblem, read_file, walk_folder
from components.example_gen.modalities import MODALITIES as INGEST_MODALITIES
from components.serving_gate.answers import OUTPUTS
from components.serving_gate.tasks import TASKS, ServedTask
from finetune.errors import RunError
from finetune_cli.mask_files import MaskFiles
from finetune_cli.modalities import MODALITIES
from registry.versions import FACTS_FILE, versions
from transforms.features import IMAGE, IMAGE_TEXT, TEXT

BATCH = 32
# Signature of models that classify by prompts which come with the request.
ZERO_SHOT = "zero_shot"


def predict(
    model_dir: Path,
    files: Iterable[Path] = (),
    texts: Iterable[str] = (),
    prompts: Sequence[str] = (),
    masks: Path | None = None,
) -> Iterator[dict[str, Any]]:
    """Predicts each file, then each text; a batch is in memory at a time, however many there are.

    Args:
        model_dir: A pushed version, or a folder of versions, of which the newest is used.
        files: Pictures or sounds, or files with one text each.
        texts: Texts.
        prompts: Texts that stand for classes in place of the model's own; empty for those.
        masks: Folder that gets the masks of a model of segmentation, as `finetune_cli.mask_files` has them; a row then
            has the path of its `mask`.

    Yields:
        A row for each in order: `file` or `text`, `probabilities` by class, and what the model says: `label` and its
        `probability`, or of several `labels`, those that reach their thresholds, from the most probable on. Or `file`
        or `text` and `error` for one that cannot be used.

    Raises:
        RunError: There is no model in `model_dir`, or one that serves something else.
    """
    if len(set(prompts)) < len(prompts) or len(prompts) == 1:
        raise RunError(f"--prompt: got {', '.join(map(repr, prompts))}; expected at least two, each once")
    path = find_version(model_dir)
    modality = _modality(path)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    signatures = tf.saved_model.load(str(path)).signatures
    serve = signatures["serving_default"]
    task = _task_of(path, serve.structured_outputs)
    if masks and "mask" not in serve.structured_outputs:
        raise RunError(f"--masks: {str(path)!r} gives no masks; expected a model of task segmentation")
    mask_files = MaskFiles(masks) if masks else None
    if prompts and ZERO_SHOT not in signatures:
        raise RunError(
            f"--prompt: {str(path)!r} knows no prompts; expected a model of pictures with words that was trained with "
            "`training.fusion: contrastive`"
        )

    def by_prompts(contents: list[bytes]) -> list[dict[str, Any]]:
        found = signatures[ZERO_SHOT](examples=tf.constant(contents), prompts=tf.constant(prompts))
        rows = (dict(zip(prompts, row, strict=True)) for row in found["probabilities"].numpy().tolist())
        return [
            {"label": max(row, key=row.__getitem__), "probability": max(row.values()), "probabilities": row}
            for row in rows
        ]

    def classify(contents: list[bytes]) -> list[dict[str, Any]]:
        outputs = {name: _plain(value.numpy()) for name, value in serve(tf.constant(contents)).items()}
        rows = ({name: value[number] for name, value in outputs.items()} for number in range(len(contents)))
        return [
            {
                **task.row(row),
                "probabilities": dict(zip(row["classes"], row["probabilities"], strict=True)),
                **({"mask": row["mask"]} if mask_files else {}),
            }
            for row in rows
        ]

    def classify_each(contents: list[bytes]) -> list[dict[str, Any]]:
        """One bad example fails its whole batch; then each is tried by itself."""
        try:
            return by_prompts(contents) if prompts else classify(contents)
        except tf.errors.OpError:
            if len(contents) == 1:
                return [{"error": MODALITIES[modality].why_not(contents[0])}]
            return [row for content in contents for row in classify_each([content])]

    if modality == IMAGE_TEXT:
        rows = pairs_of(files, list(texts))
    else:
        rows = chain(({"file": str(file)} for file in files), ({"text": text} for text in texts))
    while batch := list(islice(rows, BATCH)):
        for row in _answered(batch, INGEST_MODALITIES[modality].raw, classify_each, modality == IMAGE_TEXT):
            if mask_files and "mask" in row:
                mask = np.array(row["mask"], np.uint8)
                row["mask"] = mask_files.write(row["file"], mask, list(row["probabilities"]))
            yield row


def files_in(paths: Iterable[Path]) -> Iterator[Path]:
    """Yields the files that paths name, and those in the folders among them, without litter; a folder's sorted."""
    for path in paths:
        if path.is_dir():
            parent, name = os.path.split(os.path.abspath(path))
            inner = (record.path[len(name) + 1 :] for record in walk_folder(parent, name, (), None))
            yield from (path / each for each in inner if each)
        else:
            yield path


def pairs_of(files: Iterable[Path], texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yields pictures with their words: the rows of CSV files with the columns `path` and `text`, and files with a
    text each; of files without texts, or texts without files, that side alone. Paths in a CSV file are relative to it.

    Raises:
        RunError: A CSV file cannot be read or lacks a column, or there are not as many texts as files.
    """
    pictures: list[Path] = []
    for file in files:
        if file.suffix.lower() != ".csv":
            pictures.append(file)
            continue
        try:
            with file.open(encoding="utf-8-sig", newline="") as opened:
                table = csv.DictReader(opened)
                if missing := {"path", "text"} - set(table.fieldnames or ()):
                    raise RunError(f"FILE: {str(file)!r} has no column {' and '.join(sorted(missing))}")
                for row in table:
                    path, text = (row["path"] or "").strip(), (row["text"] or "").strip()
                    yield {**({"file": str(file.parent / path)} if path else {}), **({"text": text} if text else {})}
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise RunError(f"FILE: {str(file)!r} cannot be read as CSV in UTF-8: {error}") from None
    if pictures and texts and len(pictures) != len(texts):
        raise RunError(f"--text: got {len(texts)} for {len(pictures)} pictures; expected one for each, or none")
    for picture, text in zip_longest(pictures, texts):
        yield {**({"file": str(picture)} if picture else {}), **({"text": text} if text else {})}


def _answered(
    rows: list[dict[str, Any]],
    raw: Callable[[bytes], bytes],
    classify: Callable[[list[bytes]], list[dict[str, Any]]],
    of_sides: bool = False,
) -> list[dict[str, Any]]:
    """Returns rows with what the model says of each, or why it says nothing."""
    if of_sides:
        from transforms.sides import pack
    readable, contents = [], []
    for row in rows:
        try:
            # Bytes of an argument that are not UTF-8 arrive as surrogates, and go on as they came.
            if not row:
                raise FileProblem("empty row", "there is neither a picture nor a text")
            if not row:
                raise FileProblem("empty row", "there is neither a picture nor a text")
            text = row["text"].encode("utf-8", "surrogateescape") if "text" in row else b""
            data = read_file(row["file"]) if "file" in row else b""
            contents.append(pack({IMAGE: data, TEXT: text}) if of_sides else raw(data or text))
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
