"""What a raw config asks for with keys that do not go with something else in it, and which of their values ask for
nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from finetune.config import STRATEGIES, AugmentationConfig, EvaluationConfig, TrainingConfig
from finetune.config.head import RegularizersConfig
from finetune.config.keys import value_at
from finetune.config.strategies import AUTO

# What each phase may say, in the keys that are refused.
_OF_PHASES = "training.phases."
_OFF: tuple[Any, ...] = (None, False, {}, [], "none", "off")
# Lists of baselines none of which is a model to train by examples of one label, kept features or a teacher.
_UNTRAINED: tuple[list[str], ...] = (
    [],
    ["majority"],
    ["from_scratch"],
    ["majority", "from_scratch"],
    ["from_scratch", "majority"],
)


def asked_at(raw: dict[str, Any], place: str, key: str | None = None) -> Any:
    """Returns what a raw config asks for at a place.

    Args:
        raw: The config, as it was read.
        place: A dotted key.
        key: The one whose harmless values count, where the place is that of a phase.

    Returns:
        The value there; None where there is none, or one that asks for nothing: off, or the default.
    """
    value = value_at(raw, place)
    return None if value in (*_OFF, *_harmless(key or place)) else value


def refused(raw: dict[str, Any], keys: Mapping[str, str], with_what: str) -> list[str]:
    """Says what a raw config asks for that it may not, phase by phase.

    Args:
        raw: The config, as it was read.
        keys: Dotted keys, with what is expected in place of each. Those of phases begin with `training.phases.`; those
            of `augmentation` hold for phases too.
        with_what: What they do not go with, such as `task detection`.
    """
    phases = value_at(raw, "training.phases")
    places = {key: key for key in keys if not key.startswith(_OF_PHASES)}
    for index in range(len(phases) if isinstance(phases, list) else 0):
        of_phase = f"training.phases[{index}]."
        places |= {of_phase + key.removeprefix(_OF_PHASES): key for key in keys if key.startswith(_OF_PHASES)}
        places |= {of_phase + key: key for key in keys if key.startswith("augmentation.")}
    return [
        f"{place}: got {value!r}; with {with_what} expected {keys[key]}"
        for place, key in places.items()
        if (value := asked_at(raw, place, key)) is not None
    ]


@cache
def _defaults() -> dict[str, Any]:
    sections = {"training": TrainingConfig(), "augmentation": AugmentationConfig(), "evaluation": EvaluationConfig()}
    return {name: section.model_dump(mode="json") for name, section in sections.items()}


def _harmless(key: str) -> list[Any]:
    """Lists values of a key that ask for nothing beside those of `_OFF`."""
    if key == "training.strategy":
        return [strategy for strategy in STRATEGIES if strategy != AUTO]
    if key == "evaluation.baselines":
        return list(_UNTRAINED)
    if key.startswith(_OF_PHASES):
        return [RegularizersConfig().model_dump(mode="json")]
    return [value_at(_defaults(), key)]
