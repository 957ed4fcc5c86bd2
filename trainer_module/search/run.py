"""The search: a fitted head, candidates that train from it, the choice, and the last fit."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf

from finetune.artifacts.training_history import CandidateResult, Search
from finetune.errors import BackboneError, RunError
from finetune.events import Note, TrialFinished, TrialStarted, emit
from trainer_module.averaging import scores_of, with_averaging
from trainer_module.examples.input_data import labels
from trainer_module.phases.freezing import check_phases, layers_of
from trainer_module.phases.phase import BadNumbersError
from trainer_module.phases.setup import Setup
from trainer_module.phases.state import Snapshot
from trainer_module.search.candidates import PROBE, Candidate, candidates_for, mean_shares
from trainer_module.search.decisions import (
    MOST_PARTS,
    Measured,
    Room,
    Scores,
    choose,
    expected_seconds,
    still_open,
    that_fit,
    that_go_on,
)
from trainer_module.search.first_fit import first_fit
from trainer_module.search.kept_weights import KeptWeights
from trainer_module.search.measure import measure
from trainer_module.search.parts import Part, parts_of_train
from trainer_module.search.record import SearchRecord
from trainer_module.search.trials import FOLDER, Opener, Trials
from trainer_module.trained import HeldOut, Trained, refit


def run_search(setup: Setup, folder: Path, key: str, opened: Opener) -> Trained:
    """Trains what fits the budget, and leaves the weights of what was chosen in the model.

    What was measured and found is written to the folder at once: a search that was killed goes on from there, with the
    same candidates on the same parts.

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
        self._setup, self._last_layer, self._probe = first_fit(setup)
        setup = self._setup
        self._trials = Trials(setup, self._last_layer, opened)
        self._weights = KeptWeights(folder, setup.model, self._trials.start)
        self._val = Part(0, setup.train, setup.val)
        self._candidates = candidates_for(setup.kind, setup.training, setup.augmentation)

    def run(self) -> Trained:
        if not self._record.expected:
            self._decide_what_fits()
        for candidate in self._candidates:
            if not self._is_settled(candidate, self._val):
                self._try_on_validation(candidate)
        for number in range(MOST_PARTS):
            if number == len(self._record.parts) and not self._holds_out_one_more():
                break
            part = self._parts_of_train[number]
            for candidate in self._candidates:
                if candidate.name in self._record.parts[number] and not self._is_settled(candidate, part):
                    self._try(candidate, part)
        scores = self._scores()
        chosen, held = choose(scores)
        reasons = {name: comparison.reason(against) for name, (against, comparison) in held.items()}
        reason = reasons.get(chosen, "nothing that was tried gains on it beyond its standard error")
        if self._goes_as_trained(chosen):
            reason += "; training.budget_minutes has no room to train it once more on train and val together"
        self._say(f"{chosen} is chosen: {reason}")
        trained = self._trained(chosen)
        search = Search(
            candidates=[self._result(candidate, scores, held) for candidate in self._candidates],
            chosen=chosen,
            reason=reason,
            budget_minutes=self._setup.training.budget_minutes,
            seconds=self._record.seconds + (trained.refit.seconds if trained.refit else 0.0),
            val_examples=self._setup.val.examples,
            parts=len(self._record.parts),
            flips=self._setup.flips,
        )
        return trained.of_search(search)

    def _decide_what_fits(self) -> None:
        """Measures a step, and settles for good which candidates the budget has room for."""
        setups = {candidate.name: self._trials.setup_of(candidate, self._val) for candidate in self._candidates}
        left_out = {name: why for name, setup in setups.items() if (why := _refusal(setup))}
        possible = [name for name in setups if name not in left_out]
        training = [setups[name] for name in possible if setups[name].training.phases]
        # What a step takes is known of the whole network, and scaled down for parts of it.
        whole = max(training, key=lambda setup: setup.frozen_features.planner.share_above(0), default=None)
        measured = measure(whole) if whole else Measured(0.0, 0.0)
        expected = {name: expected_seconds(measured, setups[name].frozen_features.planner) for name in possible}
        spent = time.monotonic() - self._started
        last_fits = [self._longer_by_val * expected[name] for name in possible]
        rooms = dict(zip(possible, that_fit(list(expected.values()), last_fits, spent, self._budget), strict=True))
        for name, room in rooms.items():
            if room is Room.NONE:
                left_out[name] = (
                    f"it would take about {expected[name]:,.0f} s, for which training.budget_minutes has no room"
                )
        as_trained = [name for name, room in rooms.items() if room is Room.NO_LAST_FIT]
        for name, why in left_out.items():
            self._say(f"{name} is left out: {why}")
        self._record = self._record.measured(self._folder, spent, expected, left_out, as_trained)

    def _try_on_validation(self, candidate: Candidate) -> None:
        """Trains a candidate on train, or leaves it out where what was tried before it took longer than expected."""
        if candidate.phases and self._record.seconds > self._budget:
            self._leave_out(candidate.name, "the budget was used up before it")
            return
        if candidate.phases:
            self._say(f"trying {candidate.name}: about {self._record.expected[candidate.name]:,.0f} s")
        self._try(candidate, self._val)

    def _holds_out_one_more(self) -> bool:
        """Settles for good which candidates are tried on one more part of train; False where none are.

        What a part takes is known by now, and recorded: a search that was killed settles the same.
        """
        number, record, scores = len(self._record.parts), self._record, self._scores()
        names = still_open(scores)
        if not names or number == len(self._parts_of_train):
            return False
        part, seconds = self._parts_of_train[number], {name: record.done[name].seconds for name in scores}
        # On a part of train its head is fitted too.
        seconds[PROBE.name] = record.done[self._parts[-1].name_of(PROBE.name)].seconds
        last_fits = {name: self._longer_by_val * seconds[name] * (name not in record.as_trained) for name in scores}
        room = self._budget - record.seconds
        names = that_go_on(names, choose(scores)[0], seconds, last_fits, room)
        if not names:
            return False
        takes = sum(seconds[name] for name in names)
        no_last_fit = [name for name in scores if last_fits[name] > room - takes]
        self._record = record.with_part(self._folder, names, no_last_fit)
        self._say(
            f"not clear yet which is best: {', '.join(names)} are tried with {part.held_out.examples:,} examples of "
            f"train held out in their turn, about {takes:,.0f} s"
        )
        return True

    def _try(self, candidate: Candidate, part: Part) -> None:
        """Trains a candidate, or the rest of it, and records what it gives on the examples that are held out."""
        trial, setup = part.name_of(candidate.name), self._trials.setup_of(candidate, part)
        parameters = {"training": setup.training.model_dump(mode="json")}
        emit(TrialStarted(component=setup.component, trial=trial, parameters=parameters))
        try:
            done, logits = self._trials.run(candidate, part)
        except BadNumbersError as error:
            self._leave_out(candidate.name, str(error))
            emit(TrialFinished(component=setup.component, trial=trial, metrics={}, succeeded=False))
            return
        if candidate.phases:
            self._weights.keep(trial)
        self._record = self._record.with_done(self._folder, trial, done, logits)
        self._trials.forget(candidate, part)
        scores = self._scores_on(part, candidate.name)
        metrics = {"val_loss": float(scores.losses.mean()), "val_accuracy": float(scores.hits.mean())}
        emit(TrialFinished(component=setup.component, trial=trial, metrics={**metrics, "seconds": done.seconds}))

    def _leave_out(self, name: str, reason: str) -> None:
        self._say(f"{name} is left out: {reason}")
        self._record = self._record.without(self._folder, name, reason)

    def _is_settled(self, candidate: Candidate, part: Part) -> bool:
        return self._record.is_settled(candidate.name, part.name_of(candidate.name))

    def _scores(self) -> dict[str, Scores]:
        """Judges each candidate on the validation split and on the parts of train that were held out so far."""
        record, names = self._record, [each.name for each in self._candidates]
        return {
            name: Scores.of_parts([self._scores_on(part, name) for part in self._parts])
            for name in names
            if name in record.done and name not in record.left_out
        }

    def _scores_on(self, part: Part, name: str) -> Scores:
        """Judges a candidate's logits at the temperature at which they would be served; NaN where it was not tried."""
        if part.name_of(name) not in self._record.done:
            return Scores.unknown(part.held_out.examples)
        return scores_of(self._setup, labels(part.held_out).numpy(), self._logits(part, name)[0])

    def _logits(self, part: Part, name: str) -> np.ndarray:
        return self._record.logits(self._folder, part.name_of(name))

    def _trained(self, chosen: str) -> Trained:
        """Brings the weights of the chosen candidate into the model, fitted to train and val together if asked."""
        setup, done = self._setup, self._record.done[chosen]
        candidate = next(each for each in self._candidates if each.name == chosen)
        of_candidate = self._trials.setup_of(candidate, self._val)
        held_out = HeldOut.of_probe(self._probe, setup.train)
        tried = [part for part in self._parts if part.name_of(chosen) in self._record.done]
        logits = [(labels(part.held_out).numpy(), self._logits(part, chosen)) for part in tried]
        if candidate.phases:
            held_out = HeldOut.of_parts([(of_each, views[0]) for of_each, views in logits])
        trained = Trained(done.rows, done.curves, done.gradient_accumulation_steps, held_out)
        if candidate.phases:
            self._weights.bring(chosen)
        else:
            self._trials.begin(self._val)
        further = [(of_each, views) for of_each, views in logits if len(views) == 2]
        trained = with_averaging(of_candidate, trained, self._last_layer, further)
        if not setup.training.refit or self._goes_as_trained(chosen):
            return trained
        trained = trained.with_unseen(Snapshot.of(setup.model))
        self._trials.begin(self._val)
        rows = mean_shares(*[self._record.done[part.name_of(chosen)].rows for part in tried])
        opened = self._opened
        trained = refit(of_candidate, trained, self._last_layer, lambda last: opened(last, f"{FOLDER}/refit"), rows)
        return self._averaged(trained, [part.name_of(chosen) for part in tried]) if candidate.phases else trained

    def _averaged(self, trained: Trained, trials: list[str]) -> Trained:
        """Takes the mean of the weights of the last fit and of those that judged, where a part of train was held out.

        With validation alone, the mean of the two was no better than the last fit in what was measured.
        """
        if len(trials) == 1:
            return trained
        self._weights.average_with(trials)
        return trained.with_mean_of(len(trials))

    def _goes_as_trained(self, name: str) -> bool:
        return name in self._record.as_trained

    def _result(self, candidate: Candidate, scores: dict[str, Scores], held: dict) -> CandidateResult:
        name, record = candidate.name, self._record
        facts = {"name": name, "why": candidate.why, "expected_seconds": record.expected.get(name, 0.0)}
        if name not in scores:
            return CandidateResult(**facts, reason=record.left_out[name])
        trials = [part.name_of(name) for part in self._parts]
        seconds = sum(record.done[trial].seconds for trial in trials if trial in record.done)
        of_val = self._scores_on(self._val, name)
        figures = {
            "val_loss": of_val.losses.mean(),
            "val_accuracy": of_val.hits.mean(),
            "seconds": seconds + (record.spent if not candidate.phases else 0.0),
        }
        if name not in held:
            return CandidateResult(**facts, **figures, reason="it is the simplest")
        against, comparison = held[name]
        return CandidateResult(
            **facts,
            **figures,
            gain=comparison.gain,
            standard_error=comparison.standard_error,
            examples=comparison.examples,
            against=against,
            reason=comparison.reason(against),
        )

    @cached_property
    def _parts_of_train(self) -> list[Part]:
        return parts_of_train(self._setup.train, self._setup.val, self._setup.training.seed)

    @property
    def _parts(self) -> list[Part]:
        """Returns the parts that were held out so far."""
        further = len(self._record.parts)
        return [self._val, *(self._parts_of_train[:further] if further else [])]

    @property
    def _budget(self) -> float:
        return 60 * self._setup.training.budget_minutes

    @property
    def _longer_by_val(self) -> float:
        """Returns how many times as long as a candidate its last fit takes, on train and val together; 0 without."""
        return self._setup.training.refit * (1 + self._setup.val.examples / self._setup.train.examples)

    def _say(self, text: str) -> None:
        emit(Note(text=f"{self._setup.component}: {text}"))


def _refusal(setup: Setup) -> str:
    """Says why the backbone does not allow the phases of a training; "" where it does."""
    try:
        check_phases(layers_of(setup.backbone), setup.training)
    except BackboneError as error:
        return str(error)
    return ""
