"""`history.json`: the course of a training, as the Trainer leaves it in its model run."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from finetune.artifacts.base import Artifact, Record


class BackboneOrigin(Record):
    """What a training began with; `sha256` is that of the weights, None for random ones."""

    name: str
    source: str | None = None
    licence: str | None = None
    sha256: str | None = None


class FrozenFeatures(Record):
    """Where the frozen part of the backbone ended in a phase, and where its outputs were kept.

    Attributes:
        cut: The last frozen layer; None where everything trains.
        views: Changed copies of each picture; `fresh` where every epoch makes new ones, None where nothing changes.
        train, val: `memory`, `disk` or `off`.
        bytes: Kept of both splits.
        reason: A sentence.
    """

    cut: str | None = None
    views: int | str | None = None
    train: str = "off"
    val: str = "off"
    bytes: int = 0
    reason: str = ""


class PhaseRow(Record):
    """A phase that is done. Validation figures are those of what it left: its best epoch, 0 for what it began with.

    `interpolation` is where on the line from its start, 0, to its best epoch, 1; None where it left that.
    """

    name: str
    epochs: int
    seconds: float
    trainable_parameters: int
    total_parameters: int
    val_loss: float
    val_accuracy: float
    best_epoch: int = 0
    interpolation: float | None = None
    stopped_early: bool = False
    cached_trunk: bool = False
    frozen_features: FrozenFeatures | None = Field(None, validation_alias=AliasChoices("frozen_features", "trunk"))
    gradient_accumulation_steps: int = Field(
        1, validation_alias=AliasChoices("gradient_accumulation_steps", "micro_batches")
    )
    unfreeze: str = ""
    ended_because: str = ""


class CurvePoint(Record):
    """An epoch that is done; `epoch` counts from 1 within its phase."""

    phase: str
    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float


class TrainingHistory(Artifact, file="history.json"):
    """The course of a training; `mlflow_run` is an id or empty, `accuracy` says what rows and curves call so.

    `thresholds`, where the task has any, are the probabilities from which on the model says each of `classes`.
    """

    phases: list[PhaseRow]
    curves: list[CurvePoint]
    backbone: BackboneOrigin
    mlflow_run: str = ""
    accuracy: str = ""
    classes: list[str] = []
    thresholds: list[float] = []
