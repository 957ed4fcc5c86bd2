"""What a training gives, and its last fit on train and validation together."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from finetune.artifacts.training_history import Averaging, Refit, Search
from finetune.events import Note, TrialFinished, TrialStarted, emit
from trainer_module.examples.input_data import Split, both, labels
from trainer_module.fitted_head import LastLayer
from trainer_module.phases.checkpoint import Checkpoints
from trainer_module.phases.run import run_phases
from trainer_module.phases.setup import LAST_FIT, Setup
from trainer_module.phases.state import Snapshot
from trainer_module.probe import Probe
from trainer_module.search.candidates import last_fit


@dataclass(frozen=True)
class HeldOut:
    """Logits of examples that the weights which gave them had not seen."""

    labels: np.ndarray  # As the task has them.
    logits: np.ndarray  # float32 [examples, classes].
    examples: str  # Which examples these are, in words.

    @classmethod
    def of_parts(cls, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> HeldOut:
        """Joins labels and logits of the validation split and of parts of train that were held out after it."""
        of_each, logits = zip(*parts, strict=True)
        further = len(parts) - 1
        more = f" and {further} part{'s' * (further > 1)} of train that {'were' if further > 1 else 'was'} held out"
        examples = f"the validation split{more if further else ''}"
        return cls(np.concatenate(of_each), np.concatenate(logits), examples)

    @classmethod
    def of_probe(cls, probe: Probe, split: Split, name: str = "train", averaged: bool = False) -> HeldOut | None:
        """Takes those of the cross-validation of a fitted head; None where views are averaged and it has seen one."""
        logits = probe.mean_logits if averaged else probe.logits
        if logits is None:
            return None
        return cls(labels(split).numpy()[probe.rows], logits, f"held-out folds of {name}")


@dataclass(frozen=True)
class Trained:
    """What became of a training; the weights are in the model."""

    rows: list[dict[str, Any]]  # Of the phases.
    curves: list[dict[str, Any]]  # Of their epochs.
    gradient_accumulation_steps: int  # Parts that a batch has to be computed in.
    held_out: HeldOut | None  # None where nothing is fitted on them.
    search: Search | None = None
    refit: Refit | None = None
    averaging: Averaging | None = None  # None where pictures are not averaged with their mirror images.
    # Weights of all variables that have not seen validation, where those in the model have; a later training goes on
    # from these, so that validation judges it too.
    unseen: Snapshot | None = None

    @property
    def averages(self) -> bool:
        """Whether the exported model averages pictures with their mirror images."""
        return self.averaging is not None and self.averaging.applied

    def with_unseen(self, unseen: Snapshot) -> Trained:
        """Returns it with the weights from before the last fit."""
        return dataclasses.replace(self, unseen=unseen)

    def with_mean_of(self, trainings: int) -> Trained:
        """Returns it after the weights of the last fit were averaged with those of so many trainings."""
        return dataclasses.replace(self, refit=self.refit and self.refit.model_copy(update={"averaged": trainings}))

    def of_search(self, search: Search) -> Trained:
        """Returns it with the search that it came from."""
        return dataclasses.replace(self, search=search)


def refit(
    setup: Setup,
    trained: Trained,
    last_layer: LastLayer,
    opened: Callable[[Setup], Checkpoints],
    rows: Sequence[dict[str, Any]] | None = None,
) -> Trained:
    """Trains once more, on train and validation together, and leaves those weights in the model.

    Args:
        setup: Of the training; the model has the weights that it began with.
        trained: What it gave.
        last_layer: Of the model.
        opened: Opens the checkpoints of the last fit.
        rows: What became of each phase, which the last fit repeats; None takes those of `trained`.

    Returns:
        What it gave, with held-out logits of the fitted head where nothing else was trained.
    """
    started = time.monotonic()
    together = both(setup.train, setup.val)
    held_out = trained.held_out
    if setup.training.head.start == "fitted":
        probe = last_layer.fit(together)
        if not trained.rows:
            held_out = HeldOut.of_probe(probe, together, "train and val", trained.averages) or held_out
    training = last_fit(
        setup.training, trained.rows if rows is None else rows, setup.trained_on.steps(setup.training.batch_size)
    )
    last = setup.with_training(training, together, trial=LAST_FIT)
    parts, seconds = trained.gradient_accumulation_steps, 0.0
    if training.phases:
        phases = [phase.model_dump(mode="json") for phase in training.phases]
        emit(TrialStarted(component=setup.component, trial=LAST_FIT, parameters={"training": {"phases": phases}}))
        state = run_phases(last, opened(last))
        emit(TrialFinished(component=setup.component, trial=LAST_FIT, metrics={}))
        parts, seconds = max(parts, state.gradient_accumulation_steps), sum(row["seconds"] for row in state.rows)
    steps = sum(phase.steps or 0 for phase in training.phases)
    # What a kill interrupted is in the rows; of this process, the clock knows more.
    done = Refit(examples=together.examples, steps=steps, seconds=max(seconds, time.monotonic() - started))
    emit(
        Note(text=f"{setup.component}: trained once more on {done.examples:,} examples of train and val, {steps} steps")
    )
    return dataclasses.replace(trained, gradient_accumulation_steps=parts, held_out=held_out, refit=done)
