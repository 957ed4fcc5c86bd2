"""The section of a config that says where the course of training is written."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from finetune.config.base import Section


class MlflowConfig(Section):
    """An MLflow tracking server, or a folder."""

    uri: str = Field(min_length=1, description="such as `http://mlflow:5000`, or `file:///data/mlruns`")
    experiment: str = Field("finetune", min_length=1, description="made if there is none of that name")

    @field_validator("uri")
    @classmethod
    def _no_secrets(cls, uri: str) -> str:
        if urlsplit(uri).password is not None or "@" in urlsplit(uri).netloc:
            raise ValueError(
                "expected a URL without credentials, since reports show the config. Give them as "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            )
        return uri


class TrackingConfig(Section):
    """Where training and its outcome are told besides the report (docs/tracking.md); none of it can hold a run up."""

    tensorboard: bool = Field(
        True, description="event files in <output_dir>/tensorboard: curves, hyper-parameters, pictures"
    )
    mlflow: MlflowConfig | None = None
