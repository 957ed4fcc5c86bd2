"""The section of a config that says how training examples are changed at random."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from finetune.config.base import Section

# What changes sounds, and nothing else.
SOUND_CHANGES = ("time_shift", "gain_db", "noise", "time_mask", "band_mask")


class AugmentationConfig(Section):
    """Random changes of training pictures, sounds and texts. All off by default; 0.1 each is the usual start."""

    horizontal_flip: bool | None = Field(
        None,
        description="half of the pictures, left to right. Where nothing is said, `training.strategy: auto` does so if "
        "mirror images help to tell held-out pictures apart, or do no harm beyond the standard error; else off",
    )
    random_resized_crop: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="least share of the area that is cut out and brought back to size, such as 0.5; sides 3:4 to 4:3",
    )
    rotation: float = Field(0.0, ge=0, le=0.5, description="fraction of a full turn, either way")
    zoom: float = Field(0.0, ge=0, lt=1, description="fraction, in or out")
    shift: float = Field(0.0, ge=0, lt=1, description="fraction of height and of width, either way")
    brightness: float = Field(0.0, ge=0, le=1, description="fraction of the full range, either way")
    contrast: float = Field(0.0, ge=0, lt=1, description="factor from 1 - x to 1 + x")
    saturation: float = Field(0.0, ge=0, le=1, description="factor of the colour, from 1 - x to 1 + x")
    trivial_augment: bool = Field(
        False, description="one of 14 changes at a random strength (TrivialAugment, its wide set), flips apart"
    )
    random_erasing: float = Field(
        0.0, ge=0, le=1, description="share of the pictures of which a rectangle becomes noise; 0.25 is usual"
    )
    mixup: float = Field(
        0.0, ge=0, le=10, description="alpha of Beta(alpha, alpha), the share in which pairs are blended; 0.2 is usual"
    )
    cutmix: float = Field(
        0.0, ge=0, le=10, description="alpha of Beta(alpha, alpha), the area that is left of a picture; 1.0 is usual"
    )
    word_dropout: float = Field(0.0, ge=0, lt=1, description="of texts: share of the words that are left out")
    time_shift: float = Field(
        0.0, ge=0, le=0.5, description="of sounds: fraction of their length, either way; what leaves comes in again"
    )
    gain_db: float = Field(0.0, ge=0, le=60, description="of sounds: decibels, louder or quieter")
    noise: float = Field(
        0.0,
        ge=0,
        le=1,
        description="of sounds: white noise, of up to so much of the loudest frame's level in each band",
    )
    time_mask: int = Field(
        0, ge=0, le=10_000, description="of sounds: two runs of up to so many frames become silent (SpecAugment)"
    )
    band_mask: int = Field(
        0, ge=0, le=1024, description="of sounds: two runs of up to so many bands become silent (SpecAugment)"
    )
    views: Literal["fresh"] | Annotated[int, Field(ge=1, le=1000)] = Field(
        "fresh",
        description="`fresh` changes every example anew in every epoch, and bypasses frozen features in training; a "
        "number makes so many changed copies of each, of which epochs use one in turn, and which can be cached",
    )

    @model_validator(mode="after")
    def _pairs_are_fresh(self) -> AugmentationConfig:
        if self.mixes and self.views != "fresh":
            raise ValueError("views: `mixup` and `cutmix` make new pairs in every epoch; leave `views` at `fresh`")
        return self

    @property
    def is_active(self) -> bool:
        """Whether it changes examples at all."""
        return any(value for name, value in self if name != "views")

    @property
    def mixes(self) -> bool:
        """Whether it joins examples of a batch in pairs."""
        return bool(self.mixup or self.cutmix)
