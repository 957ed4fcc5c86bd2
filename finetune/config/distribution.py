"""The section of a config that says which devices and machines train."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from finetune.config.base import Section


class DistributionConfig(Section):
    """Which `tf.distribute` strategy trains."""

    strategy: Literal["auto", "one_device", "mirrored", "multi_worker_mirrored", "tpu"] = Field(
        "auto",
        description="`auto`: several workers in TF_CONFIG -> multi_worker_mirrored, several GPUs -> mirrored, "
        "else one_device",
    )
    workers: int = Field(
        1, ge=1, le=256, description="on Kubernetes: machines that train together, as the pods of an Indexed Job"
    )

    @model_validator(mode="after")
    def _workers_go_with_their_strategy(self) -> DistributionConfig:
        if self.workers > 1 and self.strategy not in ("auto", "multi_worker_mirrored"):
            raise ValueError(f"{self.workers} workers go with strategy `auto` or `multi_worker_mirrored`")
        return self
