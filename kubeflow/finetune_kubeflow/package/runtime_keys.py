"""The config keys that a run of a package may set: `kubernetes.runtime`."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel

from finetune.config import Config, keys
from finetune.errors import did_you_mean
from finetune_kubeflow.environment import SPANS, SPANS_SEPARATOR

_RUNTIME_TYPES = (bool, int, float, str)


def runtime_parameters(config: Config) -> tuple[dict[str, Any], list[str]]:
    """The config keys that a run may set, with the config's values as defaults; and what is wrong with them."""
    parameters: dict[str, Any] = {}
    problems = []
    for key in config.kubernetes.runtime:
        try:
            value = _get(config, key)
        except (KeyError, ValueError) as error:
            problems.append(f"kubernetes.runtime: {key}: {error.args[0]}")
            continue
        if type(value) not in _RUNTIME_TYPES and key != SPANS:
            problems.append(
                f"kubernetes.runtime: {key} holds {value!r}; expected a key with a text, a number, true or false, or "
                f"{SPANS}"
            )
        elif key.startswith(("kubernetes.", "output_dir", "name", "push.", "distribution.")):
            problems.append(f"kubernetes.runtime: {key} shapes the package itself; it cannot change from run to run")
        parameters[key] = SPANS_SEPARATOR.join(value) if key == SPANS and isinstance(value, list) else value
    return parameters, problems


def parameter_name(key: str) -> str:
    """The KFP parameter for a config key: `training.phases[0].epochs` -> `training_phases_0_epochs`."""
    return re.sub(r"\W+", "_", key).strip("_")


def with_value(place: Any, key: str | list[keys.Part], value: Any) -> Any:
    """A copy with another value at a dotted key, which must exist; not validated."""
    first, *rest = keys.parse(key) if isinstance(key, str) else key
    if isinstance(place, BaseModel):
        inner = with_value(getattr(place, str(first)), rest, value) if rest else value
        return place.model_copy(update={str(first): inner})
    copy = place.copy()
    copy[first] = with_value(place[first], rest, value) if rest else value
    return copy


def _get(config: Config, key: str) -> Any:
    """The value of a dotted key; KeyError with a sentence where there is none."""
    place: Any = config
    for part in keys.parse(key):
        if isinstance(place, BaseModel):
            names = list(type(place).model_fields)
            if part not in names:
                raise KeyError(f"unknown key; expected one of {', '.join(names)}.{did_you_mean(str(part), names)}")
            place = getattr(place, str(part))
        elif part in (range(len(place)) if isinstance(place, list) else place if isinstance(place, dict) else ()):
            place = place[part]
        else:
            raise KeyError(f"there is no {part!r} in {place!r}")
    return place
