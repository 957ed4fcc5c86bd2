"""The section of a config that says how the model is trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from finetune.config.base import Section
from finetune.config.distillation import DistillationConfig
from finetune.config.fusion import FusionConfig
from finetune.config.head import HeadConfig
from finetune.config.peft import PeftConfig
from finetune.config.phases import PhaseConfig
from finetune.config.strategies import AUTO, STRATEGIES
from finetune.errors import did_you_mean


class CheckpointConfig(Section):
    """Where training stands is saved at the end of each epoch, and within an epoch as these say."""

    every_steps: int | None = Field(None, ge=1, description="of an epoch; or `every_minutes`")
    every_minutes: float | None = Field(None, gt=0, description="on one machine; several count steps")

    @model_validator(mode="after")
    def _one_interval(self) -> CheckpointConfig:
        if self.every_steps and self.every_minutes:
            raise ValueError("expected at most one of `every_steps` and `every_minutes`")
        return self


def _yaml_switch(value: Any) -> Any:
    """YAML reads a bare `off` as false and a bare `on` as true."""
    return ("off", "on")[value] if isinstance(value, bool) else value


class FrozenFeaturesConfig(Section):
    """What may be kept of what the frozen part of the network gives. `off`, `on` or `auto` alone stands for `cache`."""

    cache: Annotated[Literal["auto", "on", "off"], BeforeValidator(_yaml_switch)] = Field(
        "auto",
        description="run the frozen part of the network once and train on what it gave: `auto` where that pays, `on` "
        "wherever it is possible",
    )
    dtype: Literal["float32", "float16"] = Field(
        "float32", description="of the numbers; float16 takes half the room and rounds to three digits"
    )
    disk_gb: float = Field(
        20.0,
        ge=0,
        description="all files in `<output_dir>/frozen_features` together; those not used for longest make room. What "
        "a phase reads from disk takes its size once more while it lasts",
    )

    @model_validator(mode="before")
    @classmethod
    def _cache_alone(cls, value: Any) -> Any:
        return {"cache": value} if isinstance(value, str | bool) else value


class TrainingConfig(Section):
    """How the model is trained."""

    seed: int = Field(1, ge=0, lt=2**31, description="the same config and seed give the same weights")
    batch_size: int = Field(32, ge=1, le=65536, description="examples a step, over all devices together")
    gradient_accumulation_steps: int = Field(
        1,
        ge=1,
        le=65536,
        description="parts that a device's share of a batch is cut into, one after the other, to need less memory; "
        "their gradients add up to that of the whole batch. Doubled by itself when memory runs out",
    )
    mixed_precision: Annotated[Literal["off", "float16", "bfloat16"], BeforeValidator(_yaml_switch)] = Field(
        "off",
        description="what the backbone computes in; its variables, the head, the loss and the exported model stay "
        "float32. `float16`, with dynamic loss scaling, suits GPUs; `bfloat16` TPUs and new GPUs. CPUs get slower",
    )
    batch_norm: Literal["frozen", "train", "train_affine_only"] = Field(
        "frozen",
        description="BatchNorm of the backbone, in the layers that a phase trains: `frozen` keeps statistics, scale "
        "and offset as they are; `train_affine_only` trains scale and offset; `train` updates the statistics too",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of each label that is spread over all classes; 0.1 is the usual start"
    )
    focal_gamma: float = Field(
        0.0, ge=0, le=10, description="focal loss: how much less examples count that are right already; 2 is usual"
    )
    class_weights: Literal["balanced"] | dict[str, Annotated[float, Field(gt=0)]] | None = Field(
        None,
        description="how much each class counts in the loss: a weight per class, or `balanced`, which makes all "
        "classes of the train split count the same",
    )
    on_nan: Literal["stop", "rollback"] = Field(
        "stop",
        description="when a loss is no longer a number: stop, or return to the last good state with half the rate",
    )
    checkpoint: CheckpointConfig = CheckpointConfig()
    frozen_features: FrozenFeaturesConfig = FrozenFeaturesConfig()
    memory_mb: int = Field(
        2048,
        ge=0,
        description="a split, and what a phase reads of frozen features, are held in memory up to this "
        "size each, and read from files above it",
    )
    head: HeadConfig = HeadConfig()
    fusion: FusionConfig = FusionConfig()
    strategy: str = Field(
        "two_phase",
        description=f"phases by name: {', '.join(STRATEGIES)}; `finetune plan` prints them. `auto` measures: from a "
        "fitted head on, it tries what fits `budget_minutes`, and keeps the simpler where more gains nothing",
    )
    start_from: Literal["backbone", "champion"] = Field(
        "backbone",
        description="`champion` goes on from the weights of the model that is served, with its head: new classes get "
        "columns of their own, those of vanished ones are dropped. Without a champion it is `backbone`",
    )
    warm_share: float = Field(
        0.25,
        gt=0,
        le=1,
        description="share of its time that each phase takes when training goes on from the champion; phases of the "
        "head alone are left out then unless there are new classes",
    )
    budget_minutes: float = Field(
        10.0,
        gt=0,
        description="for `auto`: minutes of the Trainer that search and last fit may take together. While it is open "
        "which candidate is best, what is left goes to parts of train that are held out in their turn",
    )
    refit: bool = Field(
        False,
        description="train what was chosen once more on train and val together, for as many steps as were best; the "
        "test split judges it as ever. Default under `auto`: true",
    )
    calibration: Literal["temperature", "none"] = Field(
        "none",
        description="`temperature` divides the logits of the exported model by one number, fitted on examples that "
        "were held out; which class is the most probable stays. Default under `auto`: temperature",
    )
    test_time_augmentation: Literal["flip", "measured", "none"] = Field(
        "none",
        description="`flip`: the exported model averages the logits of a picture and of its mirror image, which takes "
        "every prediction twice as long; `measured`: only where that lowers the validation loss beyond its standard "
        "error. Needs pictures that `augmentation.horizontal_flip` may turn. Default under `auto`: measured",
    )
    peft: PeftConfig | None = Field(
        None,
        description="phases train, of what they unfreeze, a small part that stands for the rest: `lora`, `bitfit` or "
        "`norm`, or a section",
    )
    distillation: DistillationConfig | None = Field(None, description="a teacher beside the labels; default: none")
    phases: list[PhaseConfig] = Field(
        [],
        description="phases of your own; default: those of `strategy`. Beside `auto` they are one more candidate",
    )

    @property
    def may_train(self) -> str:
        """Returns a regular expression, found in the names of variables of the backbone that phases may train."""
        return self.peft.trained if self.peft else ""

    @field_validator("strategy")
    @classmethod
    def _strategy_exists(cls, name: str) -> str:
        known = (*STRATEGIES, AUTO)
        if name not in known:
            raise ValueError(f"expected {', '.join(map(repr, known))}.{did_you_mean(name, known)}")
        return name

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_auto(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("strategy") != AUTO:
            return value
        head = value.get("head")
        if head is None or isinstance(head, dict):
            value = {**value, "head": {"start": "fitted", **(head or {})}}
        return {"refit": True, "calibration": "temperature", "test_time_augmentation": "measured", **value}

    @model_validator(mode="before")
    @classmethod
    def _offsets_of_norms_train_too(cls, value: Any) -> Any:
        peft = value.get("peft") if isinstance(value, dict) else None
        method = peft.get("method") if isinstance(peft, dict) else getattr(peft, "method", peft)
        return {"batch_norm": "train_affine_only", **value} if method in ("bitfit", "norm") else value

    @model_validator(mode="after")
    def _peft_has_something_to_train(self) -> TrainingConfig:
        if self.peft and self.batch_norm == "train":
            raise ValueError(
                "batch_norm: got 'train', which moves the statistics of a backbone that `peft` leaves as it is; "
                "expected frozen or train_affine_only"
            )
        if self.peft and self.strategy != AUTO and all(phase.unfreeze.is_nothing for phase in self.phases):
            raise ValueError(
                "peft: no phase unfreezes anything, and what it trains is a part of that; expected a phase with "
                "`unfreeze`, or no `peft`"
            )
        return self

    @model_validator(mode="after")
    def _auto_starts_fitted(self) -> TrainingConfig:
        if self.strategy == AUTO and self.head.start != "fitted":
            raise ValueError("head.start: got 'random'; `strategy: auto` begins with a fitted head; expected `fitted`")
        return self

    @model_validator(mode="before")
    @classmethod
    def _phases_of_strategy(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("phases") is None:
            named = STRATEGIES.get(str(value.get("strategy", "two_phase")))
            return {**value, "phases": list(named.phases) if named else []}
        return value

    @model_validator(mode="after")
    def _some_phase(self) -> TrainingConfig:
        if not self.phases and self.strategy != AUTO and self.head.start != "fitted":
            raise ValueError(
                "phases: expected at least one, or none of the key `phases` for those of `strategy`; a fitted head "
                "(`head.start`) needs none"
            )
        return self

    @model_validator(mode="after")
    def _one_loss(self) -> TrainingConfig:
        if self.label_smoothing and self.focal_gamma:
            raise ValueError("expected at most one of `label_smoothing` and `focal_gamma`")
        return self

    @field_validator("phases")
    @classmethod
    def _names_differ(cls, phases: list[PhaseConfig]) -> list[PhaseConfig]:
        names = [phase.name for phase in phases]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"expected each phase to have its own name; twice: {', '.join(twice)}")
        return phases
