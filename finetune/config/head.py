"""The section of a config that says what stands on top of the backbone."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from finetune.config.base import Section


class HeadConfig(Section):
    """The layers on top of the backbone: pooling, dense layers, dropout, and one unit per class."""

    units: list[Annotated[int, Field(ge=1, le=65536)]] = Field([256], description="width of each hidden dense layer")
    dropout: float = Field(0.5, ge=0, lt=1, description="after each hidden layer; without any, before the last layer")
    spatial_dropout: float = Field(0.0, ge=0, lt=1, description="of whole channels of the feature map, before pooling")
    l1: float = Field(0.0, ge=0, description="L1 penalty on the head's kernels")
    l2: float = Field(0.0, ge=0, description="L2 penalty on the head's kernels; 1e-4 is the usual start")


class RegularizersConfig(Section):
    """Of the head in one phase; what is left out is as `training.head` says."""

    dropout: float | None = Field(
        None, ge=0, lt=1, description="after each hidden layer; without any, before the last layer"
    )
    spatial_dropout: float | None = Field(None, ge=0, lt=1, description="of whole channels, before pooling")
    l1: float | None = Field(None, ge=0, description="L1 penalty on the head's kernels")
    l2: float | None = Field(None, ge=0, description="L2 penalty on the head's kernels")
