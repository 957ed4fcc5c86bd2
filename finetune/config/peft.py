"""The section of a config that says how phases train a backbone by few of its parameters."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from finetune.config.base import Section
from finetune.errors import did_you_mean

KernelKind = Literal["dense", "pointwise", "conv", "depthwise", "attention"]
KERNEL_KINDS: tuple[str, ...] = get_args(KernelKind)
# The variables that each method trains, by the ends of their names.
_TRAINED = {"lora": r"_lora_[ab]$", "bitfit": r"(^|/)(bias|beta)$", "norm": r"(^|/)(gamma|beta)$"}


class PeftConfig(Section):
    """Parameter-efficient fine-tuning: phases train little of what they unfreeze. A method alone is enough."""

    method: Literal["lora", "bitfit", "norm"] = Field(
        "lora",
        description="`lora` adds a matrix of low rank to kernels, which stay as they are, and merges it at export (Hu "
        "et al. 2021); `bitfit` trains offsets alone (Zaken et al. 2021), `norm` scales and offsets of norms alone; "
        "for both `batch_norm` is by default train_affine_only",
    )
    rank: int = Field(4, ge=1, le=1024, description="lora: of what is added; a kernel of a lower rank gets its own")
    alpha: float | None = Field(
        None, gt=0, description="lora: what is added is multiplied with alpha / rank; default: twice the rank"
    )
    targets: str | list[str] | None = Field(
        None,
        description=f"lora: all kernels of these kinds ({', '.join(KERNEL_KINDS)}), or a regular expression, found in "
        "a kernel's name, as SavedModels need one; default: from the output down, dense, pointwise (1x1) and attention "
        "kernels, as many as stay under 1 % of the backbone's parameters",
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_a_method(cls, value: Any) -> Any:
        return {"method": value} if isinstance(value, str) else value

    @field_validator("targets")
    @classmethod
    def _targets_can_be_looked_for(cls, targets: str | list[str] | None) -> str | list[str] | None:
        if isinstance(targets, str):
            if targets in KERNEL_KINDS:
                return [targets]
            try:
                re.compile(targets)
            except re.error as error:
                raise ValueError(f"expected kinds of kernels, or a regular expression; {error}") from None
        elif targets is not None:
            unknown = [each for each in targets if each not in KERNEL_KINDS]
            if unknown or not targets:
                got = repr(unknown[0]) if unknown else "none"
                raise ValueError(
                    f"got {got}; expected some of {', '.join(KERNEL_KINDS)}, or one regular expression."
                    + (did_you_mean(unknown[0], KERNEL_KINDS) if unknown else "")
                )
        return targets

    @model_validator(mode="after")
    def _only_lora_has_a_rank(self) -> PeftConfig:
        own = {"rank": 4, "alpha": None, "targets": None}
        given = [name for name, default in own.items() if getattr(self, name) != default]
        if self.method != "lora" and given:
            raise ValueError(f"{given[0]}: expected with method `lora` alone, got {self.method!r}; leave it out")
        return self

    @property
    def scale(self) -> float:
        """Returns what is added to a kernel for each unit of the product of its factors."""
        return (2 * self.rank if self.alpha is None else self.alpha) / self.rank

    @property
    def trained(self) -> str:
        """Returns a regular expression, found in the names of the variables of the backbone that may train."""
        return _TRAINED[self.method]

    def __str__(self) -> str:
        if self.method != "lora":
            return {"bitfit": "bitfit, offsets alone", "norm": "norm, scales and offsets of norms alone"}[self.method]
        chosen = self.targets
        where = f"kernels that match {chosen!r}" if isinstance(chosen, str) else " and ".join(chosen or []) + " kernels"
        if chosen is None:
            where = "dense, pointwise and attention kernels from the output down, under 1 % of the backbone"
        return f"lora, rank {self.rank}, scale {self.scale:g}, on {where}"
