"""The section of a config that says what the Tuner searches, how, and for how long."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from finetune.config.base import Section


class RangeConfig(Section):
    """The values that one key is tried at: a list of choices, or `min` and `max`."""

    choice: list[Any] | None = Field(
        None, min_length=2, description="values to choose from, whole sections too; a list alone stands for it"
    )
    min: int | float | None = Field(None, description="least value; whole numbers where the key takes no others")
    max: int | float | None = Field(None, description="largest value")
    log: bool = Field(False, description="spread values evenly over orders of magnitude, as rates want it")
    when: dict[str, Any] = Field(
        {},
        description="only where another key of the space has this value, or one of these: `{training.strategy: full}`",
    )

    @model_validator(mode="before")
    @classmethod
    def _choices_alone(cls, value: Any) -> Any:
        return {"choice": value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _choices_or_ends(self) -> RangeConfig:
        ends = [end for end in (self.min, self.max) if end is not None]
        if (self.choice is None) == (len(ends) < 2) or (self.choice is not None and ends):
            raise ValueError("expected a list of choices, or `min` and `max`")
        if self.choice is not None:
            if self.log:
                raise ValueError("log: expected `min` and `max` beside it")
            return self
        assert self.min is not None
        assert self.max is not None
        if not self.min < self.max:
            raise ValueError(f"expected `min` below `max`, and got {self.min} and {self.max}")
        if self.log and self.min <= 0:
            raise ValueError(f"min: got {self.min}; expected a number above 0 beside `log`")
        return self


class EarlyStopConfig(Section):
    """Which trials end before their time. Written as the rule's name, or as a section."""

    rule: Literal["median", "none"] = Field(
        "median",
        description="`median`: those whose best epoch of a phase is worse than the median of what the other trials "
        "averaged that far into it (Golovin et al. 2017)",
    )
    after_epochs: int = Field(2, ge=1, description="of a phase, that every trial gets")
    after_trials: int = Field(3, ge=1, description="that the median is of, at least")

    @model_validator(mode="before")
    @classmethod
    def _rule_alone(cls, value: Any) -> Any:
        return {"rule": value} if isinstance(value, str) else value


# Methods whose trials are never ended early, and why.
_NO_EARLY_STOP = {
    "hyperband": "which ends trials by a rule of its own",
    "one_at_a_time": "which compares trials that were trained alike",
}

# Methods whose trials need no other's score.
_KNOWN_BEFOREHAND = ("random", "one_at_a_time")


class TuningConfig(Section):
    """A search over training keys before the Trainer, which then takes the best; none where `space` is empty."""

    space: dict[str, RangeConfig] = Field(
        {},
        description="by key of `training` or `augmentation`: choices such as `[0, 0.2]`, or a range such as `{min: "
        "1e-4, max: 1e-2, log: true}`. The config as it is is always the first trial",
    )
    method: Literal["random", "hyperband", "bayesian", "one_at_a_time"] = Field(
        "random",
        description="`random` draws; `hyperband` trains many shortly and the best of them longer; `bayesian` follows a "
        "Gaussian process, a few trials at a time; `one_at_a_time` varies one key while the others stay, to show what "
        "each does",
    )
    metric: str = Field(
        "loss", description="of the validation split, which trials are compared by: one of docs/metrics.md"
    )
    at: float | None = Field(None, gt=0, lt=1, description="of a metric that holds another: what is held, such as 0.95")
    of_class: str | None = Field(None, description="for a metric of one class: which")
    trials: int = Field(20, ge=1, le=10_000, description="at most, that of the config as it is included")
    minutes: float | None = Field(
        None, gt=0, description="no trial begins after these; those that have begun are finished"
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="so many trials in a row without a better one end the search, in the order in which they are "
        "trained; heads that are trained in one step all are. Default: none do",
    )
    early_stop: EarlyStopConfig | None = Field(
        None,
        description="of trials that are trained one after the other; default: `median` with `random` and `bayesian`, "
        "`none` with the other methods and beside `parallel`",
    )
    parallel: int = Field(
        1,
        ge=1,
        le=256,
        description="so many trials at a time, of `random` and `one_at_a_time`: processes of this machine, on "
        "Kubernetes pods with the Trainer's placement. Trials, and which is best, stay the same",
    )
    points: int = Field(5, ge=2, le=100, description="of `one_at_a_time`: values of each range")
    seed: int = Field(1, ge=1, lt=2**31, description="the same config and seed give the same trials")

    @model_validator(mode="after")
    def _goes_with_its_method(self) -> TuningConfig:
        if self.stops and self.method in _NO_EARLY_STOP:
            raise ValueError(
                f"early_stop: got {self.stops.rule!r} beside method {self.method!r}, {_NO_EARLY_STOP[self.method]}; "
                "expected 'none', or method 'random' or 'bayesian'"
            )
        if self.parallel > 1 and self.method not in _KNOWN_BEFOREHAND:
            raise ValueError(
                f"parallel: got {self.parallel} beside method {self.method!r}, whose trials follow from the scores of "
                f"others; expected 1, or method {' or '.join(map(repr, _KNOWN_BEFOREHAND))}"
            )
        if self.parallel > 1 and self.patience:
            raise ValueError(
                f"patience: got {self.patience} beside parallel {self.parallel}, where the order of trials is chance; "
                "expected no patience, or parallel 1"
            )
        if self.parallel > 1 and self.stops:
            raise ValueError(
                f"early_stop: got {self.stops.rule!r} beside parallel {self.parallel}, where which trials end early "
                "would depend on which happen to be over; expected 'none', or parallel 1"
            )
        return self

    @property
    def is_on(self) -> bool:
        """Whether there is anything to search."""
        return bool(self.space)

    @property
    def stops(self) -> EarlyStopConfig | None:
        """The rule that ends trials before their time; None where none does."""
        if self.early_stop is None:
            return None if self.method in _NO_EARLY_STOP or self.parallel > 1 else EarlyStopConfig()
        return None if self.early_stop.rule == "none" else self.early_stop
