"""The section of a config that says how a picture and its words become one vector."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from finetune.config.base import Section


class FusionConfig(Section):
    """With `backbones`: how both sides become what the head reads. Written as a name, or as a section."""

    name: Literal["concat", "cross_attention"] = Field(
        "concat",
        description="`concat` pools each side and puts one behind the other; `cross_attention` lets each word look at "
        "the places of the picture that answer it (Vaswani et al. 2017), where the question is about a part of it",
    )
    width: int = Field(128, ge=8, le=4096, description="cross_attention: channels that both sides are brought to")
    heads: int = Field(4, ge=1, le=64, description="cross_attention: its heads, which share the width")
    missing: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="share of the training examples of which one side is left out at random, so that the model learns "
        "to do without: an embedding stands in for a picture or text that is not there",
    )

    @model_validator(mode="before")
    @classmethod
    def _accept_a_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads: got {self.heads}, which do not divide the width {self.width} evenly")
        return self
