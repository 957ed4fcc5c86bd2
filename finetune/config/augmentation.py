"""The section of a config that says how training pictures are changed at random."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from finetune.config.base import Section


class AugmentationConfig(Section):
    """Random changes of training pictures. All off by default; 0.1 each is the usual start."""

    horizontal_flip: bool = Field(False, description="half of the pictures, left to right")
    rotation: float = Field(0.0, ge=0, le=0.5, description="fraction of a full turn, either way")
    zoom: float = Field(0.0, ge=0, lt=1, description="fraction, in or out")
    shift: float = Field(0.0, ge=0, lt=1, description="fraction of height and of width, either way")
    brightness: float = Field(0.0, ge=0, le=1, description="fraction of the full range, either way")
    contrast: float = Field(0.0, ge=0, lt=1, description="factor from 1 - x to 1 + x")
    views: Literal["fresh"] | Annotated[int, Field(ge=1, le=1000)] = Field(
        "fresh",
        description="`fresh` changes every picture anew in every epoch, and bypasses frozen features in training; a "
        "number makes so many changed copies of each picture, of which epochs use one in turn, and which can be cached",
    )

    @property
    def is_active(self) -> bool:
        """Whether it changes pictures at all."""
        return any(value for name, value in self if name != "views")
