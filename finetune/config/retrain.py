"""The section of a config that says when `finetune retrain` trains."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from finetune.config.base import Section


class RetrainConfig(Section):
    """When `finetune retrain` trains: what is new, by how much it differs, and how old the champion is.

    Nothing trains without a new or changed example that no run has judged yet.
    """

    min_new: float = Field(
        0.1,
        gt=0,
        description="so many new and changed examples are enough by themselves, as a share of those that the champion "
        "was made with; they add up until a run has judged them",
    )
    level: float = Field(
        0.05,
        ge=0.003,
        le=0.5,
        description="how often new examples like those before may be taken for different ones, all tests together: "
        "labels, frozen features, what the champion gets right",
    )
    max_drop: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="so much lower may the share of new examples that the champion gets right be than that of its test "
        "examples; a drop counts when it is larger beyond `level`",
    )
    cold_every: int = Field(
        5,
        ge=1,
        description="every so many trainings, one begins from the backbone (`cold`) and is judged beside the champion "
        "that came of going on from one another (`warm`), so that decay is seen; 1: all begin from the backbone",
    )
    max_age_days: float | None = Field(
        None, gt=0, description="from this age of the champion on, any new example is enough"
    )
    on_drift: Literal["train", "stop"] = Field(
        "train",
        description="what follows where the frozen features of new examples differ: `train` on them, or `stop` (exit "
        "code 3), such as where a camera that is out of focus is to be mended and not learned",
    )
