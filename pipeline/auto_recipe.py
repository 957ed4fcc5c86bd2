"""`finetune run FOLDER`: the config for data without one, and the config that it became, to run and change."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from finetune.artifacts.training_history import Averaging, Search
from finetune.config import Config, DataConfig, TrainingConfig
from finetune.files import write_text
from pipeline.modalities import modality_of
from trainer_module.backbones.sources import record_of
from trainer_module.search.candidates import candidates_for, training_of

CHOSEN_FILE = "config.yaml"
_LONGEST_NAME = 63


def is_data(path: Path) -> bool:
    """Tells whether a path given in place of a config is data: a folder, or a file that is no YAML."""
    return path.is_dir() or (path.is_file() and path.suffix.lower() not in (".yaml", ".yml"))


def recipe_for(path: Path) -> dict[str, Any]:
    """Returns a raw config for a folder of classes or a table of texts: what is not said is measured.

    Raises:
        ConfigError: It looks like no data.
    """
    data: dict[str, Any] = {"root": str(path)}
    if modality_of(DataConfig(root=str(path))) == "text":
        data["layout"] = "table"
    return {
        "name": _name_of(path),
        "data": data,
        "backbone": {"name": "auto"},
        "training": {"strategy": "auto"},
    }


def write_chosen(config: Config, search: Search | None, averaging: Averaging | None) -> Path:
    """Writes a config into its output folder, with the phases that were chosen and without defaults; returns the file.

    Args:
        config: Of the run; its backbone has a name.
        search: What `training.strategy: auto` chose; None where it did not, and the config says all.
        averaging: What was settled of pictures with their mirror images, if anything.
    """
    path = config.output_path / CHOSEN_FILE
    training, augmentation, because = config.training, config.augmentation, ""
    if search:
        augmentation = config.augmentation.model_copy(update={"horizontal_flip": search.flips or None})
        candidates = candidates_for(record_of(config.backbone).kind, config.training, augmentation)
        chosen = next(each for each in candidates if each.name == search.chosen)
        default = TrainingConfig.model_fields["strategy"].default
        at_test_time = "flip" if averaging and averaging.applied else "none"
        changes = {"strategy": default, "test_time_augmentation": at_test_time}
        training = training_of(chosen, config.training).model_copy(update=changes)
        because = f"# Training: {search.chosen}, as {search.reason}.\n"
    chosen_config = config.model_copy(update={"training": training, "augmentation": augmentation})
    raw = json.loads(chosen_config.model_dump_json(exclude_defaults=True))
    # Without the key, those of the strategy would stand in.
    raw.setdefault("training", {}).setdefault("phases", [])
    head = f"# What was chosen for {config.data.root}; `finetune run {path}` takes it as it is.\n{because}"
    write_text(path, head + yaml.safe_dump(raw, sort_keys=False, allow_unicode=True))
    return path


def _name_of(path: Path) -> str:
    """Makes a name for a pipeline of that of a file or folder."""
    name = path.resolve().stem if path.is_file() else path.resolve().name
    return re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")[:_LONGEST_NAME] or "data"
