"""The sections of a config that turn gradients into updates: optimizer and learning-rate schedule."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from finetune.config.base import Section


class OptimizerConfig(Section):
    """What turns gradients into updates. Written as a name, or as a section."""

    name: Literal["adam", "adamw", "sgd", "rmsprop", "nadam"] = "adam"
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.004, ge=0, description="of adamw, on kernels only: biases and norms do not decay")
    clipnorm: float | None = Field(None, gt=0, description="largest norm of each variable's gradient, such as 1.0")
    clipvalue: float | None = Field(None, gt=0, description="largest size of each number of a gradient, such as 0.5")
    global_clipnorm: float | None = Field(None, gt=0, description="largest norm of all gradients together")

    @model_validator(mode="before")
    @classmethod
    def _accept_a_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_way_to_clip(self) -> OptimizerConfig:
        if sum(bound is not None for bound in (self.clipnorm, self.clipvalue, self.global_clipnorm)) > 1:
            raise ValueError("expected at most one of `clipnorm`, `clipvalue` and `global_clipnorm`")
        return self


class ScheduleConfig(Section):
    """How the learning rate changes within a phase. Written as a name, or as a section."""

    name: Literal["constant", "cosine", "exponential"] = Field(
        "constant", description="after warm-up; `cosine` falls over the rest of the phase, `exponential` in stairs"
    )
    alpha: float = Field(0.01, ge=0, le=1, description="cosine: what is left of the rate at the end")
    decay_rate: float = Field(0.96, gt=0, le=1, description="exponential: factor of each stair")
    decay_steps: int = Field(10_000, ge=1, description="exponential: steps of each stair")
    warmup_epochs: float = Field(0.0, ge=0, description="the rate rises linearly over these; 5 is the usual start")

    @model_validator(mode="before")
    @classmethod
    def _accept_a_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value
