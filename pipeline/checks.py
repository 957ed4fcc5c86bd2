"""Checks of a raw config that need more than the config itself: the backbone catalogue and the files it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.errors import BackboneError
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


def files_exist(raw: dict[str, Any]) -> list[str]:
    """What a local run reads is there."""
    problems = []
    data, backbone = _section(raw, "data"), _section(raw, "backbone")
    root = data.get("root")
    if isinstance(root, str) and not Path(root).expanduser().is_dir():
        problems.append(f"data.root: got {root!r}, which is not a folder here; expected a folder of images")
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
    file = backbone.get("file")
    if isinstance(file, str) and not Path(file).expanduser().is_file() and not _is_saved_model(file):
        problems.append(
            f"backbone.file: got {file!r}, which is not here; "
            "expected a .keras or .h5 file, or the folder of a SavedModel"
        )
    return problems


def _section(raw: dict[str, Any], name: str) -> dict[str, Any]:
    section = raw.get(name)
    return section if isinstance(section, dict) else {}


def _is_saved_model(folder: str) -> bool:
    return (Path(folder).expanduser() / "saved_model.pb").is_file()
