"""Reads a config: a YAML file, overrides, and every mistake reported at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict, ValidationError
from yaml import YAMLError

from finetune.config import strict_yaml
from finetune.config.base import Section
from finetune.config.kubernetes import KubernetesConfig
from finetune.config.overrides import apply_override
from finetune.config.prose import describe
from finetune.config.whole import Config
from finetune.errors import ConfigError

Check = Callable[[dict[str, Any]], list[str]]
_Checked = TypeVar("_Checked", bound=Section)


class _Placed(Section):
    model_config = ConfigDict(extra="ignore")
    kubernetes: KubernetesConfig = KubernetesConfig()


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
    problems = _apply(overrides, raw)
    return _validated(Config, _with_one_backbone(raw, problems), problems, checks)


def load_placement(path: Path | None, overrides: Iterable[str] = ()) -> KubernetesConfig:
    """Reads the section `kubernetes:` of a YAML file that has no other, and applies overrides.

    Args:
        path: None for the defaults.
        overrides: Such as ``kubernetes.defaults.image=mine``.

    Raises:
        ConfigError: With every problem found, one line each.
    """

    def nothing_else(raw: dict[str, Any]) -> list[str]:
        others = (key for key in raw if key != "kubernetes")
        return [f"{key}: the pipeline says that by itself; expected `kubernetes:` and nothing else" for key in others]

    raw = _read(path) if path else {}
    return _validated(_Placed, raw, _apply(overrides, raw), [nothing_else]).kubernetes


def _apply(overrides: Iterable[str], raw: dict[str, Any]) -> list[str]:
    """Changes a mapping by overrides, and returns what is wrong with them."""
    problems = []
    for override in overrides:
        try:
            apply_override(raw, override)
        except ValueError as error:
            problems.append(str(error))
    return problems


def _with_one_backbone(raw: dict[str, Any], problems: Iterable[str]) -> dict[str, Any]:
    """The mapping with `backbones` as the two sides of one backbone; what is wrong already is told beside."""
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
    return raw


def _validated(model: type[_Checked], raw: dict[str, Any], problems: list[str], checks: Iterable[Check]) -> _Checked:
    config: _Checked | None = None
    try:
        config = model.model_validate(raw)
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
