"""The sections of a config that describe one phase of training: optimizer, learning-rate schedule, early stopping."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from finetune.config.augmentation import AugmentationConfig
from finetune.config.base import Section
from finetune.config.head import RegularizersConfig
from finetune.config.unfreeze import UNFREEZE_FORMS, Unfreeze


class _Named(Section):
    """A section that may be written as its name alone."""

    @model_validator(mode="before")
    @classmethod
    def _accept_a_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class OptimizerConfig(_Named):
    """What turns gradients into updates. Written as a name, or as a section."""

    name: Literal["adam", "adamw", "sgd", "rmsprop", "nadam"] = "adam"
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.004, ge=0, description="of adamw, on kernels only: biases and norms do not decay")
    clipnorm: float | None = Field(None, gt=0, description="largest norm of each variable's gradient, such as 1.0")
    clipvalue: float | None = Field(None, gt=0, description="largest size of each number of a gradient, such as 0.5")
    global_clipnorm: float | None = Field(None, gt=0, description="largest norm of all gradients together")

    @model_validator(mode="after")
    def _one_way_to_clip(self) -> OptimizerConfig:
        if sum(bound is not None for bound in (self.clipnorm, self.clipvalue, self.global_clipnorm)) > 1:
            raise ValueError("expected at most one of `clipnorm`, `clipvalue` and `global_clipnorm`")
        return self


class ScheduleConfig(_Named):
    """How the learning rate changes within a phase. Written as a name, or as a section."""

    name: Literal["constant", "cosine", "exponential"] = Field(
        "constant", description="after warm-up; `cosine` falls over the rest of the phase, `exponential` in stairs"
    )
    alpha: float = Field(0.01, ge=0, le=1, description="cosine: what is left of the rate at the end")
    decay_rate: float = Field(0.96, gt=0, le=1, description="exponential: factor of each stair")
    decay_steps: int = Field(10_000, ge=1, description="exponential: steps of each stair")
    warmup_epochs: float = Field(0.0, ge=0, description="the rate rises linearly over these; 5 is the usual start")


class EarlyStoppingConfig(Section):
    """When a phase ends before its epochs do."""

    patience: int = Field(5, ge=1, description="epochs without a better validation loss")
    min_delta: float = Field(0.0, ge=0, description="a smaller gain does not count as better")


class PhaseConfig(Section):
    """One stretch of training with one set of trainable layers and one optimizer."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,40}$", description="in the summary and the report")
    unfreeze: Unfreeze = Field(Unfreeze(), description=UNFREEZE_FORMS, validate_default=True)
    epochs: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="at most; early stopping may end it before. Or `steps`, or `examples`",
    )
    steps: int | None = Field(None, ge=1, description="at most, in place of `epochs`: updates")
    examples: int | None = Field(None, ge=1, description="at most, in place of `epochs`: examples seen")
    learning_rate: float = Field(gt=0, le=10, description="the highest of the schedule")
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    block_rate_factor: float = Field(
        1.0, gt=0, le=1, description="each block of the backbone learns at this times the rate of the one above it"
    )
    early_stopping: EarlyStoppingConfig | None = EarlyStoppingConfig()
    keep: Literal["best", "last"] = Field(
        "best", description="weights that the phase leaves: of the epoch with the lowest validation loss, or the last"
    )
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="validate and keep an exponential moving average of the weights; this is what each update leaves "
        "of it, such as 0.99",
    )
    interpolation: Literal["validation"] | Annotated[float, Field(ge=0, le=1)] | None = Field(
        None,
        description="leave weights on the line from the start of the phase, 0, to its end, 1 (WiSE-FT): where the "
        "validation loss is lowest, or at a share",
    )
    augmentation: AugmentationConfig | None = Field(
        None, description="in this phase, in place of the section `augmentation`"
    )
    regularizers: RegularizersConfig = RegularizersConfig()

    @model_validator(mode="after")
    def _one_duration(self) -> PhaseConfig:
        if sum(duration is not None for duration in (self.epochs, self.steps, self.examples)) != 1:
            raise ValueError("expected exactly one of `epochs`, `steps` and `examples`")
        if self.epochs and self.schedule.warmup_epochs and self.schedule.warmup_epochs >= self.epochs:
            raise ValueError(f"schedule.warmup_epochs: expected less than the {self.epochs} epochs of the phase")
        return self

    @property
    def duration(self) -> str:
        """How long the phase lasts at most, in words."""
        return next(f"{count} {unit}" for unit in ("epochs", "steps", "examples") if (count := getattr(self, unit)))
