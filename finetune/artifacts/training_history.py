"""`history.json`: the course of a training, as the Trainer leaves it in its model run."""

from __future__ import annotations

from typing import Literal

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


class CandidateResult(Record):
    """What a search found out about one candidate on the validation split, and on parts of train that were held out.

    Attributes:
        expected_seconds: From what a step was measured to take.
        seconds: That it took on all parts together; None where it was left out.
        val_loss, val_accuracy: Of its logits of the validation split at the temperature that suits them; None where it
            was left out.
        gain: How much lower its loss is than that of the simpler one that it was held against, mean over examples;
            `standard_error` is that of this mean. None for the first, and where it was left out.
        examples: How many these are: of the validation split, and of parts of train that both were tried on.
        against: Name of that simpler one.
        reason: Why it was kept, dropped or left out, as a sentence.
    """

    name: str
    why: str
    expected_seconds: float
    seconds: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None
    gain: float | None = None
    standard_error: float | None = None
    examples: int | None = None
    against: str = ""
    reason: str = ""


class Search(Record):
    """What `training.strategy: auto` measured and chose; `seconds` are of the search and the last fit together.

    Attributes:
        parts: Parts of train that were held out in turn, beside the validation split.
        flips: Whether mirror images stood for pictures.
    """

    candidates: list[CandidateResult]
    chosen: str
    reason: str
    budget_minutes: float
    seconds: float
    val_examples: int
    parts: int = 0
    flips: bool = False


class Start(Record):
    """What the weights of a training with `start_from: champion` began as.

    Attributes:
        weights: Whose; the backbone's where there is no champion.
        added: Classes that the champion did not know.
        vanished: Classes that it knew, and of which the data have no example.
        sentence: The same in words.
    """

    weights: Literal["backbone", "champion"]
    added: list[str] = []
    vanished: list[str] = []
    sentence: str


class Refit(Record):
    """The last fit of a recipe, on the train and the validation split together.

    Attributes:
        averaged: Trainings on parts of these examples, the weights of which were averaged with its own.
    """

    examples: int
    steps: int
    seconds: float
    averaged: int = 0


class Calibration(Record):
    """The temperature that logits are divided by, and the loss and calibration error of held-out examples with it."""

    temperature: float
    measured_on: str
    loss_before: float
    loss_after: float
    ece_before: float
    ece_after: float


class Averaging(Record):
    """Whether the exported model averages the logits of a picture and of its mirror image.

    Attributes:
        applied: Whether it does.
        asked_for: Whether the config says so; else it was measured.
        gain: How much lower the loss of examples that were held out is with it than that of a single image, the mean of
            the two mirror images, mean over examples; `standard_error` is that of this mean.
        reason: What was measured, as a sentence.
    """

    applied: bool
    asked_for: bool
    gain: float
    standard_error: float
    reason: str


class TrainingHistory(Artifact, file="history.json"):
    """The course of a training; `accuracy` says what rows and curves call so.

    `tracking_run` is what MLflow has the training by, as the tag `finetune.training`; empty without one.

    `thresholds`, where there are any, are the probabilities from which on the model says each of `classes`; of two
    classes they were chosen for `threshold_of`.
    """

    phases: list[PhaseRow]
    curves: list[CurvePoint]
    backbone: BackboneOrigin
    tracking_run: str = ""
    accuracy: str = ""
    classes: list[str] = []
    thresholds: list[float] = []
    threshold_of: str = ""
    search: Search | None = None
    refit: Refit | None = None
    calibration: Calibration | None = None
    averaging: Averaging | None = None
    start: Start | None = None
