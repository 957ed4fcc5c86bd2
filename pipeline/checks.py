"""Checks of a raw config that need more than the config itself: the backbone catalogue and the files it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.checks import gates_can_be_measured
from finetune.config.keys import value_at
from finetune.errors import BackboneError
from pipeline.tasks import task_fits
from transforms.backbones import backbone_record


def backbone_exists(raw: dict[str, Any]) -> list[str]:
    """The backbone's name is in the catalogue, and has the weights and the input size that are asked for."""
    section = _section(raw, "backbone")
    name = section.get("name")
    if not isinstance(name, str):
        return []
    try:
        record = backbone_record(name)
    except BackboneError as error:
        return [f"backbone.name: {error}"]
    problems = []
    if section.get("weights") == "imagenet" and not record.has_imagenet_weights:
        problems.append(
            f"backbone.weights: got 'imagenet'; {record.name} has none; expected random or the path of a file"
        )
    size = section.get("image_size")
    if isinstance(size, int) and size < record.min_size:
        problems.append(
            f"backbone.image_size: got {size}; {record.name} expects at least {record.min_size} pixels, and was "
            f"trained with {record.image_size}"
        )
    return problems


# Keys that say something about pictures or texts alone, and the value that is as good as none.
_ABOUT_IMAGES = ("data.manifest", "data.path_column", "data.max_pixels", "backbone.image_size", "backbone.arguments")
_ABOUT_TEXTS = ("data.columns", "data.text_column", "data.max_characters", "backbone.text")


def modality_fits(raw: dict[str, Any]) -> list[str]:
    """What the config says goes with what the backbone is shown: pictures or texts."""
    modality = _modality(raw)
    if modality is None:
        return []
    shown, others = ("texts", _ABOUT_IMAGES) if modality == "text" else ("pictures", _ABOUT_TEXTS)
    section = raw["backbone"]
    name = section.get("name") or section.get("handle") or section.get("file")
    problems = [
        f"{key}: got {value!r}; {name} is shown {shown}, which it says nothing about. Leave it out"
        for key in others
        if (value := value_at(raw, key)) not in (None, {}, [])
    ]
    layout = value_at(raw, "data.layout")
    fitting = ("auto", "table") if modality == "text" else ("auto", "classes", "splits", "manifest")
    if isinstance(layout, str) and layout not in fitting:
        problems.append(f"data.layout: got {layout!r}; {name} is shown {shown}; expected {' or '.join(fitting)}")
    if modality == "text":
        places = ["augmentation"]
        phases = value_at(raw, "training.phases")
        places += [f"training.phases[{i}].augmentation" for i in range(len(phases) if isinstance(phases, list) else 0)]
        for place in places:
            active = {key: value for key, value in (value_at(raw, place) or {}).items() if value}
            if active:
                problems.append(
                    f"{place}: got {active!r}; {name} is shown texts, which have no pictures to change. Leave it out"
                )
        foreign = ("preprocessor",) if section.get("name") else ("max_words", "unknown_words", "vocabulary")
        problems += [
            f"backbone.text.{key}: got {value!r}; it is about {'handles' if section.get('name') else 'tables'}, and "
            f"{name} is none. Leave it out"
            for key in foreign
            if (value := value_at(raw, f"backbone.text.{key}")) is not None
        ]
        if value_at(raw, "backbone.weights") == "random" and not value_at(raw, "backbone.text.vocabulary"):
            problems.append(
                "backbone.text.vocabulary: missing; with random weights, expected the table whose words are known"
            )
    return problems


def files_exist(raw: dict[str, Any]) -> list[str]:
    """What a local run reads is there."""
    problems = []
    data, backbone = _section(raw, "data"), _section(raw, "backbone")
    root = data.get("root")
    if isinstance(root, str) and not Path(root).expanduser().is_dir():
        of_texts = _modality(raw) == "text"
        expected = "a CSV, TSV or JSONL file, or a folder of them" if of_texts else "a folder of images"
        if not (of_texts and Path(root).expanduser().is_file()):
            problems.append(
                f"data.root: got {root!r}, which is not {'' if of_texts else 'a folder '}here; expected {expected}"
            )
    schema = data.get("schema_file")
    if isinstance(schema, str) and not Path(schema).expanduser().is_file():
        problems.append(f"data.schema_file: got {schema!r}, which is not a file here; expected a schema.pbtxt")
    weights = backbone.get("weights")
    if isinstance(weights, str) and weights not in ("imagenet", "random") and not Path(weights).expanduser().is_file():
        problems.append(
            f"backbone.weights: got {weights!r}, which is not a file here; "
            "expected imagenet, random, or the path of a weights file"
        )
    handle = backbone.get("handle")
    if isinstance(handle, str) and "://" not in handle and not _is_saved_model(handle):
        problems.append(
            f"backbone.handle: got {handle!r}, which is no folder with a saved_model.pb here; "
            "expected the folder of a SavedModel, or a URL"
        )
    preprocessor = value_at(raw, "backbone.text.preprocessor")
    if isinstance(preprocessor, str) and "://" not in preprocessor and not _is_saved_model(preprocessor):
        problems.append(
            f"backbone.text.preprocessor: got {preprocessor!r}, which is no folder with a saved_model.pb here; "
            "expected the folder of a SavedModel, or a URL"
        )
    file = backbone.get("file")
    if isinstance(file, str) and not Path(file).expanduser().is_file() and not _is_saved_model(file):
        problems.append(
            f"backbone.file: got {file!r}, which is not here; "
            "expected a .keras or .h5 file, or the folder of a SavedModel"
        )
    return problems


# Of a config that runs elsewhere, and of one that runs here: the files that it names are here too.
CHECKS = (task_fits, backbone_exists, modality_fits, gates_can_be_measured)
LOCAL_CHECKS = (*CHECKS, files_exist)


def _section(raw: dict[str, Any], name: str) -> dict[str, Any]:
    section = raw.get(name)
    return section if isinstance(section, dict) else {}


def _is_saved_model(folder: str) -> bool:
    return (Path(folder).expanduser() / "saved_model.pb").is_file()


def _modality(raw: dict[str, Any]) -> str | None:
    name, section = value_at(raw, "backbone.name"), _section(raw, "backbone")
    if section.get("handle") or section.get("file"):
        return section.get("modality", "image")
    try:
        return backbone_record(name).modality if isinstance(name, str) else None
    except BackboneError:
        return None
