"""The search: a fitted head, candidates that train from it, the choice, and the last fit."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from finetune.artifacts.training_history import CandidateResult, Search
from finetune.config import TrainingConfig
from finetune.errors import BackboneError, RunError
from finetune.events import Note, TrialFinished, TrialStarted, emit
from trainer_module.averaging import scores_of, with_averaging
from trainer_module.examples.input_data import labels
from trainer_module.fitted_head import MOST_MIRRORED, LastLayer, judged_held_out
from trainer_module.modalities import MODALITIES
from trainer_module.phases.checkpoint import Checkpoints
from trainer_module.phases.freezing import check_phases, layers_of
from trainer_module.phases.phase import BadNumbersError
from trainer_module.phases.run import run_phases
from trainer_module.phases.setup import Setup
from trainer_module.phases.state import Snapshot
from trainer_module.probe import Probe
from trainer_module.search.candidates import Candidate, candidates_for, training_of
from trainer_module.search.decisions import Measured, Room, Scores, choose, compare, expected_seconds, that_fit
from trainer_module.search.measure import measure
from trainer_module.search.record import Done, SearchRecord
from trainer_module.trained import HeldOut, Trained, refit

FOLDER = "search"
# Opens the checkpoints of a training, in a folder of this name below that of the node.
Opener = Callable[[Setup, str], Checkpoints]


def run_search(setup: Setup, folder: Path, key: str, opened: Opener) -> Trained:
    """Trains what fits the budget, and leaves the weights of what was chosen in the model.

    What was measured and found is written to the folder at once: a search that was killed goes on from there, with the
    same candidates.

    Args:
        setup: Of a training whose strategy is `auto`.
        folder: For the record of the search.
        key: Fingerprint of the training.
        opened: Opens the checkpoints of a candidate.

    Raises:
        RunError: Several workers train, whose clocks differ.
    """
    if isinstance(setup.strategy, tf.distribute.MultiWorkerMirroredStrategy):
        raise RunError(
            "training.strategy: got 'auto' with several workers, whose clocks differ; expected one machine. Search "
            "there, and give the phases that it chose to the workers."
        )
    return _Search(setup, folder, key, opened).run()


class _Search:
    def __init__(self, setup: Setup, folder: Path, key: str, opened: Opener):
        self._folder, self._opened = folder, opened
        self._started = time.monotonic()
        self._record = SearchRecord.opened(folder, key)
        self._setup, self._last_layer, self._probe = _first_fit(setup)
        setup = self._setup
        self._start = Snapshot.of(setup.model)
        self._val_labels = labels(setup.val).numpy()
        self._candidates = candidates_for(setup.kind, setup.training, setup.augmentation)

    def run(self) -> Trained:
        if not self._record.expected:
            self._decide_what_fits()
        for candidate in self._candidates:
            if not self._record.is_settled(candidate.name):
                self._try(candidate)
        scores = {name: self._scores(name) for name in self._names if name in self._record.done}
        chosen, held = choose(scores)
        reasons = {name: comparison.reason(against) for name, (against, comparison) in held.items()}
        reason = reasons.get(chosen, "nothing that was tried gains on it beyond its standard error")
        if self._goes_as_trained(chosen):
            reason += "; training.budget_minutes has no room to train it once more on train and val together"
        self._say(f"{chosen} is chosen: {reason}")
        trained = self._trained(chosen)
        results = [self._result(candidate, scores, held) for candidate in self._candidates]
        seconds = self._record.seconds + (trained.refit.seconds if trained.refit else 0.0)
        budget = self._setup.training.budget_minutes
        val = self._setup.val.examples
        search = Search(
            candidates=results,
            chosen=chosen,
            reason=reason,
            budget_minutes=budget,
            seconds=seconds,
            val_examples=val,
            flips=self._setup.flips,
        )
        return trained.of_search(search)

    @property
    def _names(self) -> list[str]:
        return [candidate.name for candidate in self._candidates]

    def _decide_what_fits(self) -> None:
        """Measures a step, and settles for good which candidates the budget has room for."""
        setups = {candidate.name: self._setup_of(candidate) for candidate in self._candidates}
        left_out = {name: why for name, setup in setups.items() if (why := _refusal(setup))}
        possible = [name for name in self._names if name not in left_out]
        training = [setups[name] for name in possible if setups[name].training.phases]
        # What a step takes is known of the whole network, and scaled down for parts of it.
        whole = max(training, key=lambda setup: setup.frozen_features.planner.share_above(0), default=None)
        measured = measure(whole) if whole else Measured(0.0, 0.0)
        expected = {name: expected_seconds(measured, setups[name].frozen_features.planner) for name in possible}
        spent = time.monotonic() - self._started
        both = 1 + self._setup.val.examples / self._setup.train.examples
        last_fits = [both * expected[name] * self._setup.training.refit for name in possible]
        budget = 60 * self._setup.training.budget_minutes
        rooms = dict(zip(possible, that_fit(list(expected.values()), last_fits, spent, budget), strict=True))
        for name, room in rooms.items():
            if room is Room.NONE:
                left_out[name] = (
                    f"it would take about {expected[name]:,.0f} s, for which training.budget_minutes has no room"
                )
        as_trained = [name for name, room in rooms.items() if room is Room.NO_LAST_FIT]
        for name, why in left_out.items():
            self._say(f"{name} is left out: {why}")
        self._record = self._record.measured(self._folder, spent, expected, left_out, as_trained)

    def _try(self, candidate: Candidate) -> None:
        """Trains a candidate, or the rest of it, and records what it gives on validation."""
        name, started = candidate.name, time.monotonic()
        if candidate.phases and self._record.seconds > 60 * self._setup.training.budget_minutes:
            self._leave_out(name, "the budget was used up before it")
            return
        self._start.assign_to(self._setup.model.variables)
        rows, curves, parts = [], [], self._setup.training.gradient_accumulation_steps
        setup = self._setup_of(candidate)
        parameters = {"training": setup.training.model_dump(mode="json")}
        emit(TrialStarted(component=setup.component, trial=name, parameters=parameters))
        if candidate.phases:
            self._say(f"trying {name}: about {self._record.expected[name]:,.0f} s")
            try:
                state = run_phases(setup, self._opened(setup, f"{FOLDER}/{name}"))
            except BadNumbersError as error:
                self._leave_out(name, str(error))
                emit(TrialFinished(component=setup.component, trial=name, metrics={}, succeeded=False))
                return
            rows, curves, parts = state.rows, state.curves, state.gradient_accumulation_steps
        logits = self._last_layer.logits(self._setup.val)
        # What a kill interrupted is in the rows; of this process, the clock knows more.
        seconds = max(time.monotonic() - started, sum(row["seconds"] for row in rows))
        done = Done(seconds=seconds, rows=rows, curves=curves, gradient_accumulation_steps=parts)
        self._record = self._record.with_done(self._folder, name, done, logits)
        scores = self._scores(name)
        metrics = {"val_loss": float(scores.losses.mean()), "val_accuracy": float(scores.hits.mean())}
        emit(TrialFinished(component=setup.component, trial=name, metrics={**metrics, "seconds": seconds}))

    def _leave_out(self, name: str, reason: str) -> None:
        self._say(f"{name} is left out: {reason}")
        self._record = self._record.without(self._folder, name, reason)

    def _scores(self, name: str) -> Scores:
        """Judges a candidate's logits on validation, at the temperature at which they would be served."""
        return scores_of(self._setup, self._val_labels, self._record.logits(self._folder, name))

    def _trained(self, chosen: str) -> Trained:
        """Brings the weights of the chosen candidate into the model, fitted to train and val together if asked."""
        setup, done = self._setup, self._record.done[chosen]
        candidate = next(each for each in self._candidates if each.name == chosen)
        parts = done.gradient_accumulation_steps
        of_candidate = self._setup_of(candidate)
        held_out = HeldOut.of_probe(self._probe, setup.train)
        if candidate.phases:
            held_out = HeldOut(self._val_labels, self._record.logits(self._folder, chosen), "the validation split")
        trained = Trained(done.rows, done.curves, parts, held_out)
        self._start.assign_to(setup.model.variables)
        if candidate.phases:
            # Its last checkpoint has the weights; without it they are trained once more, to the same.
            run_phases(of_candidate, self._opened(of_candidate, f"{FOLDER}/{chosen}"))
        trained = with_averaging(of_candidate, trained, self._last_layer)
        if not setup.training.refit or self._goes_as_trained(chosen):
            return trained
        trained = trained.with_unseen(Snapshot.of(setup.model))
        self._start.assign_to(setup.model.variables)
        return refit(of_candidate, trained, self._last_layer, lambda last: self._opened(last, f"{FOLDER}/refit"))

    def _goes_as_trained(self, name: str) -> bool:
        return name in self._record.as_trained

    def _result(self, candidate: Candidate, scores: dict[str, Scores], held: dict) -> CandidateResult:
        name, record = candidate.name, self._record
        facts = {"name": name, "why": candidate.why, "expected_seconds": record.expected.get(name, 0.0)}
        if name not in record.done:
            return CandidateResult(**facts, reason=record.left_out[name])
        seconds = record.done[name].seconds + (record.spent if not candidate.phases else 0.0)
        figures = {"val_loss": scores[name].losses.mean(), "val_accuracy": scores[name].hits.mean(), "seconds": seconds}
        if name not in held:
            return CandidateResult(**facts, **figures, reason="it is the simplest")
        against, comparison = held[name]
        return CandidateResult(
            **facts,
            **figures,
            gain=comparison.gain,
            standard_error=comparison.standard_error,
            against=against,
            reason=comparison.reason(against),
        )

    def _setup_of(self, candidate: Candidate) -> Setup:
        training: TrainingConfig = training_of(candidate, self._setup.training)
        return self._setup.with_training(training, trial=candidate.name)

    def _say(self, text: str) -> None:
        emit(Note(text=f"{self._setup.component}: {text}"))


def _first_fit(setup: Setup) -> tuple[Setup, LastLayer, Probe]:
    """Fits the head, and finds out where nothing is said whether mirror images may stand for pictures.

    Returns:
        The setup with what was found, and its last layer with the probe that it has taken.
    """
    mirrors = "horizontal_flip" in MODALITIES[setup.train.inputs.modality].augments
    undecided = mirrors and setup.augmentation.horizontal_flip is None and setup.train.examples <= MOST_MIRRORED
    last_layer = LastLayer(setup)
    plain = last_layer.fit(setup.train)
    if not undecided:
        return setup, last_layer, plain
    flipped = setup.with_flips(True)
    mirrored_layer = LastLayer(flipped)
    mirrored = mirrored_layer.fit(flipped.train)
    judged = (judged_held_out(setup, setup.train, probe) for probe in (plain, mirrored))
    comparison = compare(*(Scores(each.losses, each.hits) for each in judged))
    allowed = comparison.does_no_harm
    told = "stand for pictures" if allowed else "do not stand for pictures"
    figures = f"{-comparison.gain:+.4f}, standard error {comparison.standard_error:.4f}"
    emit(Note(text=f"{setup.component}: mirror images {told}: with them, the held-out loss changes by {figures}"))
    if allowed:
        return flipped, mirrored_layer, mirrored
    last_layer.take(plain)
    return setup.with_flips(False), last_layer, plain


def _refusal(setup: Setup) -> str:
    """Says why the backbone does not allow the phases of a training; "" where it does."""
    try:
        check_phases(layers_of(setup.backbone), setup.training)
    except BackboneError as error:
        return str(error)
    return ""
