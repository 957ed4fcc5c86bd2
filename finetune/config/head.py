"""The section of a config that says what stands on top of the backbone."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from finetune.config.base import Section


class HeadConfig(Section):
    """The layers on top of the backbone: pooling, dense layers, dropout, and one unit per class."""

    start: Literal["random", "fitted"] = Field(
        "random",
        description="of the last layer: `fitted` is logistic regression on the features of the frozen backbone, its "
        "penalty chosen by cross-validation; it has no hidden layer, and by default no dropout",
    )
    units: list[Annotated[int, Field(ge=1, le=65536)]] = Field([256], description="width of each hidden dense layer")
    dropout: float = Field(0.5, ge=0, lt=1, description="after each hidden layer; without any, before the last layer")
    spatial_dropout: float = Field(0.0, ge=0, lt=1, description="of whole channels of the feature map, before pooling")
    l1: float = Field(0.0, ge=0, description="L1 penalty on the head's kernels")
    l2: float = Field(0.0, ge=0, description="L2 penalty on the head's kernels; 1e-4 is the usual start")

    @model_validator(mode="before")
    @classmethod
    def _fitted_is_one_layer(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("start") == "fitted":
            return {"units": [], "dropout": 0.0, **value}
        return value

    @model_validator(mode="after")
    def _features_are_frozen(self) -> HeadConfig:
        if self.start == "fitted" and self.units:
            raise ValueError(
                f"units: got {self.units}; start `fitted` fits one layer on the features of the backbone; expected "
                "`units: []`, or start `random`"
            )
        return self


class RegularizersConfig(Section):
    """Of the head in one phase; what is left out is as `training.head` says."""

    dropout: float | None = Field(
        None, ge=0, lt=1, description="after each hidden layer; without any, before the last layer"
    )
    spatial_dropout: float | None = Field(None, ge=0, lt=1, description="of whole channels, before pooling")
    l1: float | None = Field(None, ge=0, description="L1 penalty on the head's kernels")
    l2: float | None = Field(None, ge=0, description="L2 penalty on the head's kernels")
