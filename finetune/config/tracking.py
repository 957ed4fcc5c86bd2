"""The section of a config that says where the course of training is written."""

from __future__ import annotations

from pydantic import Field

from finetune.config.base import Section


class MlflowConfig(Section):
    """An MLflow tracking server, or a folder."""

    uri: str = Field(min_length=1, description="such as `http://mlflow:5000`, or `file:///data/mlruns`")
    experiment: str = Field("finetune", min_length=1, description="made if there is none of that name")


class TrackingConfig(Section):
    """Where the course of training is written besides the report. A server that is down does not end training."""

    tensorboard: bool = Field(True, description="event files in <output_dir>/tensorboard")
    mlflow: MlflowConfig | None = None
