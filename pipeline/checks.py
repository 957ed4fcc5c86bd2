"""Checks of a raw config that need more than the config itself: the backbone catalogue and the files it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from evaluation.checks import gates_can_be_measured
from finetune.config import BackboneConfig, TrainingConfig
from finetune.config.keys import value_at
from finetune.errors import BackboneError
from pipeline.tasks import task_fits
from trainer_module.backbones.fit import phase_problems
from trainer_module.backbones.source import BackboneSource, missing_weights
from trainer_module.backbones.sources import source_of

_Section = TypeVar("_Section", bound=BaseModel)


def backbone_fits(raw: dict[str, Any]) -> list[str]:
    """The backbone exists, has what the config asks of it, and can be trained as the phases and baselines want."""
    config = _parsed(BackboneConfig, raw, "backbone")
    if config is None:
        return []
    try:
        source = source_of(config)
    except BackboneError as error:
        return [str(error)]
    problems = source.problems(config)
    training = _parsed(TrainingConfig, raw, "training")
    if training:
        problems += phase_problems(config, training)
    baselines = value_at(raw, "evaluation.baselines")
    if isinstance(baselines, list) and "from_scratch" in baselines and not source.starts_random:
        problems.append(
            "evaluation.baselines: `from_scratch` builds the backbone with random weights, and "
            f"{source.record(config).name} is its weights; leave it out, or take a backbone by `backbone.name`"
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
    return problems


def files_exist(raw: dict[str, Any]) -> list[str]:
    """What a local run reads is there."""
    problems = []
    data = _section(raw, "data")
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
    config = _parsed(BackboneConfig, raw, "backbone")
    source = _source(config)
    if config and source:
        problems += source.file_problems(config)
    elif config and config.local_path and not config.local_path.exists():
        problems.append(missing_weights(config))
    return problems


# Of a config that runs elsewhere, and of one that runs here: the files that it names are here too.
CHECKS = (task_fits, backbone_fits, modality_fits, gates_can_be_measured)
LOCAL_CHECKS = (*CHECKS, files_exist)


def _section(raw: dict[str, Any], name: str) -> dict[str, Any]:
    section = raw.get(name)
    return section if isinstance(section, dict) else {}


def _parsed(model: type[_Section], raw: dict[str, Any], name: str) -> _Section | None:
    """A section by itself; None where it is not valid, which `load_config` reports."""
    try:
        return model.model_validate(raw.get(name, {}))
    except ValidationError:
        return None


def _source(config: BackboneConfig | None) -> BackboneSource | None:
    try:
        return source_of(config) if config else None
    except BackboneError:
        return None


def _modality(raw: dict[str, Any]) -> str | None:
    config = _parsed(BackboneConfig, raw, "backbone")
    source = _source(config)
    return source.record(config).modality if config and source else None
