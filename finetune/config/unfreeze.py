"""Which part of the backbone a phase trains."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from finetune.config.base import Section

UNFREEZE_FORMS = (
    "`none`, `all`, `{last_layers: N}`, `{last_blocks: N}`, `{fraction: X}`, `{from_layer: NAME}` or "
    "`{variables: REGEX}`; with `backbones` one of these for both, or `{image: ..., text: ...}`"
)


class Unfreeze(Section):
    """The part of the backbone that a phase trains, counted from the output. The head always trains."""

    last_layers: int | Literal["all"] = Field(0, description="how many layers")
    last_blocks: int | None = Field(None, ge=1, description="how many blocks, such as `block_16` of MobileNetV2")
    fraction: float | None = Field(None, gt=0, le=1, description="share of the layers, rounded up")
    from_layer: str | None = Field(None, min_length=1, description="a layer or block, and all that follows it")
    variables: str | None = Field(None, min_length=1, description="regular expression, found in a variable's name")
    image: Unfreeze | None = Field(None, description="with `backbones`: of the network of pictures; default: nothing")
    text: Unfreeze | None = Field(None, description="with `backbones`: of the network of texts; default: nothing")

    @model_validator(mode="before")
    @classmethod
    def _accept_words(cls, value: Any) -> Any:
        if value is None or value == "none":
            return {"last_layers": 0}
        if value == "all":
            return {"last_layers": "all"}
        if not isinstance(value, dict | Unfreeze):
            raise ValueError(f"expected {UNFREEZE_FORMS}")
        return value

    @field_validator("last_layers")
    @classmethod
    def _count_is_not_negative(cls, count: int | str) -> int | str:
        if isinstance(count, int) and count < 0:
            raise ValueError("expected a number of layers, 0 or more")
        return count

    @field_validator("variables")
    @classmethod
    def _pattern_compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"expected a regular expression; {error}") from None
        return pattern

    @model_validator(mode="after")
    def _one_form(self) -> Unfreeze:
        others = [self.last_blocks, self.fraction, self.from_layer, self.variables]
        forms = sum(form is not None for form in others) + (self.last_layers != 0)
        if self.names_sides and (forms or any(side.names_sides for side in (self.image, self.text) if side)):
            raise ValueError(f"expected `image` and `text` alone, each with one of {UNFREEZE_FORMS}")
        if forms > 1:
            raise ValueError(f"expected exactly one of {UNFREEZE_FORMS}")
        return self

    @property
    def is_nothing(self) -> bool:
        """Whether the head alone trains."""
        sides = [side for side in (self.image, self.text) if side]
        return all(side.is_nothing for side in sides) if sides else self == Unfreeze()

    @property
    def names_sides(self) -> bool:
        """Whether it says of each of two networks what trains."""
        return self.image is not None or self.text is not None

    def of(self, side: str) -> Unfreeze:
        """Returns what trains of the network that is shown pictures or texts; a form without a side is of each."""
        return (getattr(self, side) or Unfreeze()) if self.names_sides else self

    def __str__(self) -> str:
        if self.names_sides:
            return ", ".join(f"{side}: {of}" for side, of in (("image", self.image), ("text", self.text)) if of)
        if self.last_blocks:
            return f"the last {self.last_blocks} blocks" if self.last_blocks > 1 else "the last block"
        if self.fraction:
            return f"the last {100 * self.fraction:g} % of the layers"
        if self.from_layer:
            return f"all from {self.from_layer} on"
        if self.variables:
            return f"variables that match {self.variables!r}"
        if self.last_layers == "all":
            return "all layers"
        return f"the last {self.last_layers} layers" if self.last_layers else "nothing: the head alone trains"
