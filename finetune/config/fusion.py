"""The section of a config that says how a picture and its words meet."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from finetune.config.base import Section

CONTRASTIVE = "contrastive"
# The place of a class's name in a prompt.
NAME = "{}"
# What each way to fuse does not read.
_NOT_OF = {
    "concat": ("width", "heads", "temperature", "prompts"),
    "cross_attention": ("temperature", "prompts"),
    CONTRASTIVE: ("heads", "missing"),
}


class FusionConfig(Section):
    """With `backbones`: how both sides become what the head reads. Written as a name, or as a section."""

    name: Literal["concat", "cross_attention", "contrastive"] = Field(
        "concat",
        description="`concat` pools each side and puts one behind the other; `cross_attention` lets each word look at "
        "the places of the picture that answer it (Vaswani et al. 2017), where the question is about a part of it; "
        "`contrastive` brings pictures and texts that belong together close to each other in one space, and "
        "classifies by prompts (CLIP: Radford et al. 2021, arXiv 2103.00020)",
    )
    width: int = Field(
        128,
        ge=8,
        le=4096,
        description="cross_attention: channels that both sides are brought to; contrastive: those of the space",
    )
    heads: int = Field(4, ge=1, le=64, description="cross_attention: its heads, which share the width")
    missing: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="concat, cross_attention: share of the training examples of which one side is left out at random, "
        "so that the model learns to do without: an embedding stands in for a picture or text that is not there",
    )
    temperature: float = Field(
        0.07,
        ge=0.01,
        le=1,
        description="contrastive: what similarities are divided by at the start; it is learned, and never below 0.01",
    )
    prompts: list[str] = Field(
        ["a photo of a {}."],
        min_length=1,
        description="contrastive: texts that stand for a class, with `{}` for its name; of several, a class has the "
        "mean",
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_a_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("prompts")
    @classmethod
    def _prompts_have_a_place(cls, prompts: list[str]) -> list[str]:
        if wrong := [prompt for prompt in prompts if prompt.count(NAME) != 1]:
            raise ValueError(f"got {wrong[0]!r}; expected {NAME} once, where the name of a class belongs")
        return prompts

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads: got {self.heads}, which do not divide the width {self.width} evenly")
        return self

    @model_validator(mode="after")
    def _keys_go_with_the_name(self) -> Self:
        default = type(self).model_fields
        wrong = [key for key in _NOT_OF[self.name] if getattr(self, key) != default[key].default]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} does not go with `{self.name}`; leave it out")
        return self

    @property
    def is_contrastive(self) -> bool:
        """Whether both sides keep vectors of their own, and no head reads them."""
        return self.name == CONTRASTIVE
