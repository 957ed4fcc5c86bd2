"""The search over training keys: proposals, trials, scores, and what they say."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from evaluation.metrics import METRICS, Metric
from evaluation.metrics.cost import cost_matrix
from evaluation.predictions import Predictions
from evaluation.selection import select
from evaluation.sensitivity import main_effect
from evaluation.tasks import TASKS as EVALUATION_TASKS
from finetune.artifacts.tuning import Effect, Trial, TriedKey, Tuning
from finetune.config import BackboneConfig, EvaluationConfig, TuningConfig
from finetune.config.space import Dimension, dimensions, values_of
from finetune.errors import DataError, RunError, did_you_mean
from finetune.events import Note, Progress, TrialFinished, emit
from trainer_module.calibration import as_served
from trainer_module.examples.input_data import labels
from trainer_module.phases.setup import Setup
from trainer_module.tuning.early_stop import verdict
from trainer_module.tuning.proposals import Proposal, Proposer, proposer_of
from trainer_module.tuning.record import TrialsRecord
from trainer_module.tuning.shares import Alone, Shared
from trainer_module.tuning.trials import Judge, Opener, Outcome, Trials, name_of

CONFIDENCE = 0.95
# Between two looks at what others train.
SECONDS_BETWEEN_LOOKS = 1.0


def run_tuning(
    setup: Setup,
    backbone: BackboneConfig,
    tuning: TuningConfig,
    evaluation: EvaluationConfig,
    task: str,
    folder: Path,
    key: str,
    opened: Opener,
    helps: bool = False,
) -> Tuning | None:
    """Searches, from what an earlier life has found on.

    Args:
        setup: Of the config as it is.
        backbone: Of its network.
        tuning: Space, method, metric and budget.
        evaluation: Threshold and costs, which some metrics follow.
        task: Key of the tasks.
        folder: For the record.
        key: Fingerprint of all that trials depend on.
        opened: Opens the checkpoints of a trial.
        helps: Whether this process trains trials of another one's search in the same folder, as long as there are any.

    Returns:
        The search; None where this process only helps.

    Raises:
        DataError: `tuning.of_class` is no class of the data.
        RunError: No trial has a score, or several workers train.
    """
    if isinstance(setup.strategy, tf.distribute.MultiWorkerMirroredStrategy):
        raise RunError(
            "tuning.space: got keys with several workers, whose clocks differ; expected one machine. Search there, and "
            "write what it chose into the config of the workers."
        )
    scoring = Scoring(setup, tuning, evaluation, task)
    search = _Search(setup, backbone, tuning, scoring, folder, key, opened)
    if helps:
        search.help()
        return None
    return search.run()


@dataclass(frozen=True)
class Scoring:
    """Makes predictions, and of these scores, from logits of the validation examples."""

    setup: Setup
    tuning: TuningConfig
    evaluation: EvaluationConfig
    task: str

    def __post_init__(self) -> None:
        names, wanted = list(self.setup.classes), self.tuning.of_class
        if wanted is not None and wanted not in names:
            raise DataError(
                f"tuning.of_class: got {wanted!r}; the classes are {', '.join(names)}.{did_you_mean(wanted, names)}"
            )

    @property
    def metric(self) -> Metric:
        """What trials are compared by."""
        metric = METRICS[self.tuning.metric]
        return metric.at(self.tuning.at) if metric.at and self.tuning.at is not None else metric

    @property
    def column(self) -> int | None:
        """The class that the metric is of."""
        return None if self.tuning.of_class is None else list(self.setup.classes).index(self.tuning.of_class)

    def predictions(self, of_val: np.ndarray, logits: np.ndarray) -> Predictions:
        """Says what would be served: at the temperature and the thresholds that these examples give.

        Args:
            of_val: Labels of the validation examples, as the task has them.
            logits: float32 [examples, classes].
        """
        setup, names = self.setup, list(self.setup.classes)
        targets = setup.task.targets(of_val, len(names))
        probabilities = as_served(setup.training, setup.task, targets, logits).probabilities
        decision = setup.task.decision(lambda: (of_val, probabilities), names, self.evaluation)
        said = None
        if "thresholds" in decision:
            said = probabilities >= np.array(decision["thresholds"], np.float32)
            if decision.get("threshold_of"):
                place = names.index(decision["threshold_of"])
                said = np.stack([said[:, place] == (each == place) for each in range(len(names))], axis=1)
        found = EVALUATION_TASKS[self.task].predictions(of_val, probabilities, said)
        return found.at_costs(cost_matrix(self.evaluation.costs, names)) if self.evaluation.costs else found


class _Search:
    def __init__(
        self,
        setup: Setup,
        backbone: BackboneConfig,
        tuning: TuningConfig,
        scoring: Scoring,
        folder: Path,
        key: str,
        opened: Opener,
    ):
        self._setup, self._tuning, self._scoring, self._folder = setup, tuning, scoring, folder
        self._shared = Shared(folder) if tuning.parallel > 1 else None
        self._record = (TrialsRecord.shared if self._shared else TrialsRecord.opened)(folder, key)
        self._started = time.monotonic() - self._record.seconds
        self._dimensions = dimensions(tuning, setup.training, setup.augmentation)
        self._as_it_is = values_of(tuning, setup.training, setup.augmentation)
        judge = Judge(self._score, self._verdict) if tuning.stops else None
        self._trials = Trials(setup, backbone, opened, judge)
        self._val_labels = labels(setup.val).numpy()
        self._left_out: list[Proposal] = []

    def help(self) -> None:
        """Trains trials that nobody else does, and leaves what becomes of them to the chief."""
        assert self._shared is not None
        asked = self._asked(self._proposer())
        with self._shared.taking_part():
            for _ in self._share(asked, self._shared):
                if self._time_is_up:
                    return

    def run(self) -> Tuning:
        if self._shared is None:
            return self._run()
        for trial in self._record.trials.values():
            self._shared.leave(trial)
        with self._shared.taking_part():
            return self._run()

    def _proposer(self) -> Proposer:
        return proposer_of(self._tuning, self._dimensions, self._as_it_is, self._scoring.metric.higher_is_better)

    @staticmethod
    def _asked(proposer: Proposer) -> list[Proposal]:
        """Returns the trials that begin a search."""
        return [Proposal(0, {}), *proposer.ask()]

    def _run(self) -> Tuning:
        proposer = self._proposer()
        asked = self._asked(proposer)
        ended = f"all {self._tuning.trials} trials are done"
        while asked:
            for trials in self._trained(asked):
                self._keep(trials)
            for proposal in asked:
                trial = self._record.trials.get(proposal.number)
                if proposal.number and trial:
                    proposer.tell(proposal.number, math.nan if trial.score is None else trial.score)
            self._left_out = [each for each in asked if each.number not in self._record.trials]
            impatient = f"{self._tuning.patience} trials in a row gained nothing"
            if self._left_out:
                ended = impatient if self._record.impatient else f"the {self._tuning.minutes:g} minutes were used up"
                break
            asked = proposer.ask()
            if asked and self._out_of_patience(self._record.trials):
                ended = impatient
                break
        else:
            if len(self._record.trials) < self._tuning.trials:
                ended = "nothing more is proposed"
        return self._outcome(ended)

    def _trained(self, asked: Sequence[Proposal]) -> Iterator[list[Trial]]:
        """Trains what has not been, until the time is used up."""
        known = self._record.trials
        if self._time_is_up or self._record.impatient or all(each.number in known for each in asked):
            return
        if self._shared:
            yield from self._trained_together(asked, self._shared)
            return
        for outcomes in self._trials.run(asked, Alone(known)):
            yield [self._judged(outcome) for outcome in outcomes]
            if self._time_is_up or self._record.impatient:
                return

    def _trained_together(self, asked: Sequence[Proposal], shared: Shared) -> Iterator[list[Trial]]:
        """Trains what nobody else does, and waits for what others have begun; what they no longer train is taken."""
        while True:
            for mine in self._share(asked, shared):
                yield [*mine, *self._of_others(asked, shared)]
                if self._time_is_up:
                    break
            if others := self._of_others(asked, shared):
                yield others
            missing = [each.number for each in asked if each.number not in self._record.trials]
            if self._time_is_up:
                missing = [number for number in missing if not shared.is_left(number)]
            if not missing:
                return
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _share(self, asked: Sequence[Proposal], shared: Shared) -> Iterator[list[Trial]]:
        """Trains what nobody else does, and tells the others."""
        if self._time_is_up:
            return
        for outcomes in self._trials.run(asked, shared):
            trials = [self._judged(outcome) for outcome in outcomes]
            for trial in trials:
                shared.leave(trial)
            yield trials

    def _of_others(self, asked: Sequence[Proposal], shared: Shared) -> list[Trial]:
        """Returns the trials that others have trained since the last look, and tells of their start."""
        found = []
        for proposal in asked:
            if proposal.number not in self._record.trials and not shared.is_mine(proposal.number):
                trial = shared.result(proposal.number)
                if trial is not None:
                    self._trials.tell(proposal)
                    found.append(trial)
        return found

    @property
    def _time_is_up(self) -> bool:
        # The config as it is is trained however little time there is.
        minutes, shared = self._tuning.minutes, self._shared
        begun = 0 in self._record.trials or (shared is not None and shared.is_over(0))
        return bool(minutes and begun and time.monotonic() - self._started > 60 * minutes)

    def _judged(self, outcome: Outcome) -> Trial:
        """Scores what became of a trial, and writes its logits."""
        proposal = outcome.proposal
        trial = Trial(
            number=proposal.number,
            values=dict(proposal.values),
            share=proposal.share,
            seconds=outcome.seconds,
            epochs=outcome.epochs,
            batched=outcome.batched,
            courses=[[_defined(score) for score in course] for course in outcome.courses],
            state="stopped" if outcome.stopped else "done",
            reason=outcome.stopped,
        )
        if outcome.logits is None or not np.isfinite(outcome.logits).all():
            return trial.model_copy(update={"state": "failed", "reason": outcome.failed or "its logits are no numbers"})
        trial = trial.model_copy(update={"score": _defined(self._score(outcome.logits))})
        if trial.score is not None:
            self._record.write_logits(self._folder, str(trial.number), outcome.logits)
        return trial

    def _score(self, logits: np.ndarray) -> float:
        if not np.isfinite(logits).all():
            return math.nan
        found = self._scoring.predictions(self._val_labels, logits)
        return self._scoring.metric.value(found, self._scoring.column)

    def _verdict(self, number: int, phase: int, scores: Sequence[float]) -> str:
        # The config as it is, which others are held against, is trained for its time.
        if self._tuning.stops is None or not number:
            return ""
        courses = [each.courses[phase] for each in self._record.trials.values() if len(each.courses) > phase]
        return verdict(self._tuning.stops, scores, courses, self._scoring.metric.higher_is_better)

    def _keep(self, trials: Sequence[Trial]) -> None:
        known = {**self._record.trials, **{trial.number: trial for trial in trials}}
        seconds = time.monotonic() - self._started
        # Heads that are trained in one step are over together, and the next ones cost as little.
        impatient = len(trials) == 1 and self._out_of_patience(known)
        self._record = self._record.kept(self._folder, trials=known, seconds=seconds, impatient=impatient)
        component, metric = self._setup.component, self._scoring.metric.name
        for trial in trials:
            metrics = {"seconds": trial.seconds, "epochs": float(trial.epochs)}
            metrics |= {} if trial.score is None else {metric: trial.score}
            good = trial.state != "failed"
            emit(TrialFinished(component=component, trial=name_of(trial.number), metrics=metrics, succeeded=good))
        emit(Progress(component=component, done=len(known), total=self._tuning.trials, unit="trials"))

    def _out_of_patience(self, trials: Mapping[int, Trial]) -> bool:
        """Says whether the last trials, in the order in which they were trained, gained nothing on those before."""
        if self._tuning.patience is None:
            return False
        metric, best, since = self._scoring.metric, math.nan, 0
        for trial in trials.values():
            score = trial.score
            gains = score is not None and metric.better(score, best)
            best, since = (score or 0.0, 0) if gains else (best, since + 1)
        return since >= self._tuning.patience

    def _outcome(self, ended: str) -> Tuning:
        trials = [self._record.trials[number] for number in sorted(self._record.trials)]
        longest = max(trial.share for trial in trials)
        judged = [trial for trial in trials if trial.score is not None and trial.share == longest]
        if not judged:
            reasons = {trial.reason for trial in trials if trial.reason}
            raise RunError(f"tuning: none of {len(trials)} trials has a score. {' '.join(sorted(reasons))}".strip())
        found = (self._predictions(trial.number) for trial in judged)
        scoring, val = self._scoring, self._setup.val.examples
        chosen = select(scoring.metric, found, val, self._tuning.seed, scoring.column)
        best = judged[chosen.best]
        left_out = [
            Trial(number=each.number, values=dict(each.values), share=each.share, state="left_out", reason=ended)
            for each in self._left_out
        ]
        tuning = Tuning(
            method=self._tuning.method,
            metric=scoring.metric.name,
            of_class=self._tuning.of_class,
            higher_is_better=scoring.metric.higher_is_better,
            keys=[self._key(each, judged) for each in self._dimensions],
            trials=[*trials, *left_out],
            best=best.number,
            nested=None if math.isnan(chosen.nested) else chosen.nested,
            chance=None if math.isnan(chosen.chance) else chosen.chance,
            val_examples=val,
            seconds=self._record.seconds,
            ended_because=ended,
            effects=self._effects(judged) if self._tuning.method == "one_at_a_time" else [],
        )
        emit(Note(text=f"{self._setup.component}: {sentence(tuning)}"))
        return tuning

    def _predictions(self, number: int) -> Predictions:
        return self._scoring.predictions(self._val_labels, self._record.logits(self._folder, str(number)))

    def _key(self, dimension: Dimension, trials: Sequence[Trial]) -> TriedKey:
        tried = [
            (trial.values.get(dimension.key, self._as_it_is[dimension.key]), trial.score)
            for trial in trials
            if trial.score is not None and dimension.has_a_say({**self._as_it_is, **trial.values})
        ]
        values, scores = [value for value, _ in tried], [score for _, score in tried]
        ordered = not dimension.choices and all(isinstance(value, int | float) for value in values)
        explained = main_effect(values if ordered else list(map(repr, values)), scores, ordered)
        return TriedKey(
            key=dimension.key,
            as_it_is=self._as_it_is[dimension.key],
            choices=list(dimension.choices),
            low=None if dimension.choices else dimension.low,
            high=None if dimension.choices else dimension.high,
            log=dimension.log,
            explained=None if self._tuning.method == "one_at_a_time" else explained,
        )

    def _effects(self, trials: Sequence[Trial]) -> list[Effect]:
        """Says what each value changes against the config as it is, with an interval."""
        metric, column, scores = self._scoring.metric, self._scoring.column, {each.number: each for each in trials}
        if 0 not in scores or metric.interval is None:
            return []
        as_it_is = self._predictions(0)
        effects = []
        for trial in trials:
            if not trial.number:
                continue
            pair = self._predictions(trial.number), as_it_is
            change = metric.value(pair[0], column) - metric.value(pair[1], column)
            interval = metric.interval.change(metric, pair, "difference", CONFIDENCE, column)
            ((key, value),) = trial.values.items()
            effects.append(Effect(key=key, value=value, change=change, low=interval.low, high=interval.high))
        return effects


def _defined(score: float) -> float | None:
    return None if math.isnan(score) else score


def sentence(tuning: Tuning) -> str:
    """Says in a sentence what a search found."""
    best, as_it_is = tuning.best_trial, tuning.as_it_is
    metric = tuning.metric if tuning.of_class is None else f"{tuning.metric} of {tuning.of_class}"
    score = f"of {len(tuning.done)} trials, number {best.number} has the best {metric}, {best.score:.4f}"
    beside = f"; the config as it is has {as_it_is.score:.4f}" if as_it_is.score is not None and best.number else ""
    worth = f"; on examples that did not choose it, about {tuning.nested:.4f}" if tuning.nested is not None else ""
    return f"{score}{beside}{worth}. The search ended because {tuning.ended_because}"
