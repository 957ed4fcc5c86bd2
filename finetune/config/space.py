"""What `tuning.space` means: a range of each key, and the training that one value of each stands for."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from finetune.config import keys
from finetune.config.augmentation import AugmentationConfig
from finetune.config.strategies import AUTO, STRATEGIES
from finetune.config.training import TrainingConfig
from finetune.config.tuning import TuningConfig

STRATEGY = "training.strategy"
SECTIONS = ("training", "augmentation")
# Keys that say nothing about how the model is trained, or whose best value validation cannot tell, and why.
NOT_TUNED = {
    "training.seed": "the best of several seeds is the luckiest",
    "training.refit": "what is trained on validation too cannot be judged by it",
    "training.test_time_augmentation": "trials are compared by the picture alone",
    "training.start_from": "trials begin with the backbone",
    "training.warm_share": "trials begin with the backbone",
    "training.budget_minutes": "it is of `strategy: auto`, which searches by itself",
    "training.checkpoint": "it does not change what is trained",
    "training.frozen_features": "all trials share them",
    "training.memory_mb": "it does not change what is trained",
    "training.distillation.teacher": "all trials have the same teacher",
}

# The value of each key, as in the config; keys that are missing stay as they are there.
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Dimension:
    """A dimension is what one key ranges over.

    Attributes:
        key: Of the config.
        choices: Its values; empty where it is a range of numbers.
        low, high: Ends of the range.
        whole: Whether it has whole numbers alone.
        log: Whether values spread evenly over orders of magnitude.
        when: Values of other keys, any of which this one needs to have a say.
    """

    key: str
    choices: Sequence[Any] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    log: bool = False
    when: Mapping[str, Sequence[Any]] | None = None

    def points(self, count: int) -> list[Any]:
        """Returns all choices, or so many values that part the range evenly."""
        if self.choices:
            return list(self.choices)
        to, back = (math.log, math.exp) if self.log else (float, float)
        low, high = to(self.low), to(self.high)
        inner = [back(low + (high - low) * place / (count - 1)) for place in range(1, count - 1)]
        found = [self.low, *inner, self.high]
        return list(dict.fromkeys(round(each) for each in found)) if self.whole else found

    def has_a_say(self, values: Values) -> bool:
        """Says whether the keys that it depends on have a value that it needs."""
        return all(values.get(key) in wanted for key, wanted in (self.when or {}).items())


def dimensions(tuning: TuningConfig, training: TrainingConfig, augmentation: AugmentationConfig) -> list[Dimension]:
    """Returns what each key of the space ranges over, those before it that it depends on."""
    return [_dimension(key, tuning, training, augmentation) for key in tuning.space]


def with_values(
    training: TrainingConfig, augmentation: AugmentationConfig, values: Values
) -> tuple[TrainingConfig, AugmentationConfig]:
    """Returns the sections with other values of some keys; another strategy brings phases of its own.

    Raises:
        ValueError: A key or value is none that the sections take, or not beside the others; pydantic's
            `ValidationError` is one.
    """
    raw = {"training": training.model_dump(mode="json"), "augmentation": augmentation.model_dump(mode="json")}
    if STRATEGY in values:
        raw["training"] |= {"strategy": values[STRATEGY], "phases": None}
        raw["training"] = TrainingConfig.model_validate(raw["training"]).model_dump(mode="json")
    for key, value in values.items():
        keys.set_at(raw, key, copy.deepcopy(value))
    return TrainingConfig.model_validate(raw["training"]), AugmentationConfig.model_validate(raw["augmentation"])


def values_of(tuning: TuningConfig, training: TrainingConfig, augmentation: AugmentationConfig) -> dict[str, Any]:
    """Returns what the config says of each key of the space."""
    raw = {"training": training.model_dump(mode="json"), "augmentation": augmentation.model_dump(mode="json")}
    return {key: keys.value_at(raw, key) for key in tuning.space}


def encoded(value: Any, choices: Sequence[Any]) -> Any:
    """Returns a value as Keras Tuner takes it: of choices that are not all numbers, as JSON text."""
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in choices):
        return json.dumps(value, sort_keys=True)
    return value if not choices or all(isinstance(each, int) for each in choices) else float(value)


def decoded(values: Values) -> dict[str, Any]:
    """Returns values as the config has them; those that Keras Tuner adds for itself are left out."""
    own = {key: value for key, value in values.items() if key.split(".")[0] in SECTIONS}
    return {key: json.loads(value) if isinstance(value, str) else value for key, value in own.items()}


def space_problems(tuning: TuningConfig, training: TrainingConfig, augmentation: AugmentationConfig) -> list[str]:
    """Holds every end and choice of the space against the types of the config; returns a sentence for each mistake."""
    problems = [f"tuning.space: {key}: {why}" for key in tuning.space if (why := _no_such_key(key, tuning))]
    if problems or not tuning.space:
        return problems
    if training.strategy == AUTO or AUTO in _choices(tuning, STRATEGY):
        return ["tuning.space: got keys beside strategy 'auto', which searches by itself; expected another strategy"]
    if training.start_from != "backbone":
        return ["tuning.space: got keys beside training.start_from 'champion'; trials begin with the backbone"]
    own = training.strategy not in STRATEGIES or training.phases != list(STRATEGIES[training.strategy].phases)
    if STRATEGY in tuning.space and own:
        return [f"tuning.space: {STRATEGY}: got phases of your own beside it, which no strategy would keep"]
    for key, given in tuning.space.items():
        for value in given.choice if given.choice is not None else (given.min, given.max):
            for others in _beside(key, tuning):
                try:
                    varied, _ = with_values(training, augmentation, {**others, key: value})
                    if varied.distillation and _teacher(varied) != _teacher(training):
                        raise ValueError(NOT_TUNED["training.distillation.teacher"])
                except ValueError as error:
                    beside = f", beside {', '.join(f'{name}: {at!r}' for name, at in others.items())}" if others else ""
                    problems.append(f"tuning.space: {key}: got {value!r}{beside}; {reason(error)}")
    return list(dict.fromkeys(problems))


def variants(
    tuning: TuningConfig, training: TrainingConfig, augmentation: AugmentationConfig
) -> Iterator[tuple[str, TrainingConfig]]:
    """Yields the training of each choice of a space that has no problems, with the choice in words."""
    for key, given in tuning.space.items():
        for value, others in itertools.product(given.choice or (), _beside(key, tuning)):
            yield f"{key}: {value!r}", with_values(training, augmentation, {**others, key: value})[0]


def _no_such_key(key: str, tuning: TuningConfig) -> str:
    """Says what is wrong with a key of the space, whatever its values are; "" where nothing is."""
    try:
        first = keys.parse(key)[0]
    except ValueError as error:
        return str(error)
    if first not in SECTIONS or key in SECTIONS:
        return f"expected a key of {' or '.join(SECTIONS)}, such as training.phases[0].learning_rate"
    for fixed, why in NOT_TUNED.items():
        if key == fixed or key.startswith(f"{fixed}."):
            return f"cannot be tuned: {why}"
    before = list(tuning.space)[: list(tuning.space).index(key)]
    for other, wanted in tuning.space[key].when.items():
        if other not in before:
            return f"when: got {other}; expected a key that comes before it in the space"
        known = _choices(tuning, other)
        if not known:
            return f"when: got {other}, which is a range of numbers; expected a key with choices"
        if unknown := [value for value in _listed(wanted) if value not in known]:
            return f"when: got {unknown[0]!r} of {other}; expected one of its choices, {', '.join(map(repr, known))}"
    return ""


def _dimension(key: str, tuning: TuningConfig, training: TrainingConfig, augmentation: AugmentationConfig) -> Dimension:
    given = tuning.space[key]
    when = {other: _listed(wanted) for other, wanted in given.when.items()}
    if given.choice is not None:
        return Dimension(key, given.choice, when=when)
    assert given.min is not None
    assert given.max is not None
    whole = isinstance(given.min, int) and isinstance(given.max, int)
    if whole:
        # Of a key that takes fractions, `min: 0, max: 1` has all that is between.
        try:
            with_values(training, augmentation, {**next(_beside(key, tuning)), key: given.min + 0.5})
            whole = False
        except ValueError:
            pass
    return Dimension(key, low=given.min, high=given.max, whole=whole, log=given.log, when=when)


def _beside(key: str, tuning: TuningConfig) -> Iterator[dict[str, Any]]:
    """Yields values of the keys that a key depends on, and each strategy that it may come with, one at a time."""
    needed = _needed(key, tuning)
    if STRATEGY in tuning.space and STRATEGY not in needed and key != STRATEGY:
        needed = {STRATEGY: _choices(tuning, STRATEGY), **needed}
    first = {other: values[0] for other, values in needed.items()}
    yield first
    for other, values in needed.items():
        yield from ({**first, other: value} for value in values[1:])


def _needed(key: str, tuning: TuningConfig) -> dict[str, list[Any]]:
    needed: dict[str, list[Any]] = {}
    for other, wanted in tuning.space[key].when.items():
        needed |= {**_needed(other, tuning), other: _listed(wanted)}
    return needed


def _choices(tuning: TuningConfig, key: str) -> list[Any]:
    return (tuning.space[key].choice or []) if key in tuning.space else []


def _teacher(training: TrainingConfig) -> str | None:
    return training.distillation.teacher if training.distillation else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def reason(error: ValueError) -> str:
    """Says in words why `with_values` refused."""
    if not isinstance(error, ValidationError):
        return str(error)
    detail = error.errors()[0]
    if detail["type"] == "extra_forbidden":
        return "there is no such key"
    place = keys.join([part for part in detail["loc"] if isinstance(part, int | str)])
    message = detail["msg"].removeprefix("Value error, ").replace("Input should be ", "expected ")
    return f"{place}: {message}" if place else message
