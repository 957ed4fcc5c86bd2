"""Checks of a raw config that need more than the config itself: the backbone catalogue and the files it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.errors import BackboneError
from transforms.backbones import backbone_record


def backbone_exists(raw: dict[str, Any]) -> list[str]:
    """The backbone's name is in the catalogue, and has the weights that are asked for."""
    section = raw.get("backbone")
    name = section.get("name") if isinstance(section, dict) else None
    if not isinstance(name, str):
        return []
    try:
        record = backbone_record(name)
    except BackboneError as error:
        return [f"backbone.name: {error}"]
    if section.get("weights") == "imagenet" and not record.has_imagenet_weights:
        return [f"backbone.weights: got 'imagenet'; {record.name} has none; expected random or the path of a file"]
    return []


def files_exist(raw: dict[str, Any]) -> list[str]:
    """What a local run reads is there."""
    problems = []
    data, backbone = (raw.get(key) if isinstance(raw.get(key), dict) else {} for key in ("data", "backbone"))
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
    return problems
