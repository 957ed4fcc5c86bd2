"""Reads a config: a YAML file, overrides, and every mistake reported at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from yaml import YAMLError

from finetune.config import strict_yaml
from finetune.config.overrides import apply_override
from finetune.config.prose import describe
from finetune.config.whole import Config
from finetune.errors import ConfigError

Check = Callable[[dict[str, Any]], list[str]]


def load_config(path: str | Path, overrides: Iterable[str] = (), checks: Iterable[Check] = ()) -> Config:
    """Reads a YAML file, applies overrides, validates everything.

    Args:
        overrides: Such as ``training.phases[1].epochs=5`` or ``data.root=photos``; values are read as YAML.
        checks: Further checks of the raw mapping, each returning problems; for what the ground cannot know.

    Raises:
        ConfigError: With every problem found, one line each.
    """
    return checked_config(_read(Path(path)), overrides, checks)


def checked_config(raw: dict[str, Any], overrides: Iterable[str] = (), checks: Iterable[Check] = ()) -> Config:
    """Does the same with a mapping in place of a file; it is changed by the overrides.

    Raises:
        ConfigError: With every problem found, one line each.
    """
    problems: list[str] = []
    for override in overrides:
        try:
            apply_override(raw, override)
        except ValueError as error:
            problems.append(str(error))
    if isinstance(raw, dict) and "backbones" in raw:
        if "backbone" in raw:
            raise ConfigError(
                [
                    *problems,
                    "backbone, backbones: got both; expected exactly one: `backbone`, or "
                    "`backbones` with `image` and `text` for pictures with words",
                ]
            )
        raw = {**raw, "backbone": {"sides": raw["backbones"]}}
        del raw["backbones"]
    config: Config | None = None
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        problems += [describe(detail) for detail in error.errors()]
    for check in checks:
        problems += check(raw)
    if problems:
        # As it was written.
        raise ConfigError(dict.fromkeys(problem.replace("backbone.sides", "backbones") for problem in problems))
    assert config is not None
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file; expected a YAML config, such as configs/flowers.yaml"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read as UTF-8 text: {error}"]) from None
    try:
        raw = strict_yaml.parse(text)
    except (YAMLError, TypeError, RecursionError) as error:
        raise ConfigError([f"{path}: not valid YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(raw, dict):
        received = "an empty file" if raw is None else f"a {type(raw).__name__}"
        raise ConfigError([f"{path}: got {received}; expected sections such as `data:` and `backbone:`"])
    return raw
