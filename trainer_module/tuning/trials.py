"""Trains trials: their heads many at a time where that is possible, the rest of each one after the other."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from finetune.config import AugmentationConfig, BackboneConfig, TrainingConfig
from finetune.config.space import reason, with_values
from finetune.errors import BackboneError
from finetune.events import TrialStarted, emit
from trainer_module.backbones.model import build_network
from trainer_module.examples.input_data import labels
from trainer_module.fitted_head import HEAD_ALONE, LastLayer, below_last_layer, logits_from
from trainer_module.frozen_features.feed import Feed
from trainer_module.heads import SeededDropout, with_all_regularizers
from trainer_module.phases.checkpoint import Checkpoints
from trainer_module.phases.freezing import check_phases, layers_of
from trainer_module.phases.phase import BadNumbersError
from trainer_module.phases.run import run_phases
from trainer_module.phases.setup import Setup
from trainer_module.phases.state import Snapshot, State
from trainer_module.phases.steps import SharedSteps
from trainer_module.phases.watch import Watch
from trainer_module.recipe import make_deterministic
from trainer_module.tasks.objective import Objective, between
from trainer_module.tuning.batches import OWN_OF_TRAINING, common
from trainer_module.tuning.heads import Frozen, Head, Heads, at_once, initial_weights
from trainer_module.tuning.proposals import Proposal
from trainer_module.tuning.shares import Alone, Shares
from trainer_module.warm_start.course import shortened

_ALL = Alone()
# Opens the checkpoints of a trial.
Opener = Callable[[Setup, int], Checkpoints]


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        logits: float32 [validation examples, classes]; None where it failed, and `failed` says why.
        seconds: That it took, its part of a batch included.
        epochs: That were trained.
        batched: Whether its head was trained in one batch with others.
        courses: Its score after each epoch, a list for each phase; empty where nothing followed the phase.
        stopped: Why it ended before its time; "" where it did not.
    """

    proposal: Proposal
    logits: np.ndarray | None
    seconds: float
    epochs: int = 0
    batched: bool = False
    failed: str = ""
    courses: Sequence[Sequence[float]] = ()
    stopped: str = ""


@dataclass(frozen=True)
class Judge:
    """A judge follows trials while they are trained.

    Attributes:
        score: Scores logits, float32 [validation examples, classes]; NaN where that is undefined.
        verdict: Says why a trial ends now, by its number, that of its phase, and the scores of the phase's epochs so
            far; "" where it goes on.
    """

    score: Callable[[np.ndarray], float]
    verdict: Callable[[int, int, Sequence[float]], str]


@dataclass(frozen=True)
class _Trial:
    proposal: Proposal
    training: TrainingConfig
    augmentation: AugmentationConfig

    @property
    def network(self) -> str:
        """What the network of a trial depends on, as text."""
        head = with_all_regularizers(self.training)
        drops = (head.dropout > 0, head.spatial_dropout > 0, bool(head.l1 or head.l2))
        training = self.training
        return repr(
            (training.seed, training.mixed_precision, training.batch_norm, training.peft, head.units, head.start, drops)
        )


def name_of(number: int) -> str:
    """Returns what a trial is called in events, and by trackers."""
    return f"trial {number}"


class Trials:
    """Trains trials of one network on the same examples."""

    def __init__(self, setup: Setup, backbone: BackboneConfig, opened: Opener, judge: Judge | None = None):
        """Args:
        setup: Of the config as it is.
        backbone: Of the network.
        opened: Opens the checkpoints of a trial.
        judge: May end trials that are trained one after the other; None where all are trained for their time.
        """
        self._as_it_is = self._base = setup
        self._backbone, self._opened, self._judge = backbone, opened, judge
        self._labels = labels(setup.train).numpy()
        self._first = self._network = _Trial(Proposal(0, {}), setup.training, setup.augmentation).network
        if setup.training.head.start == "fitted":
            LastLayer(setup).fit(setup.train)
        self._start = Snapshot.of(setup.model)
        self._frozen: dict[str, Frozen | None] = {}
        self._shared = _Shared()

    def run(self, proposals: Sequence[Proposal], shares: Shares = _ALL) -> Iterator[list[Outcome]]:
        """Trains them; yields outcomes as they come, those of a batch of heads together.

        Args:
            proposals: All that can be trained now. In which order and in which batches they are depends on nothing
                else, so that a trial ends the same, and a judge who compares it with those before says the same,
                whatever was trained in an earlier life, or is elsewhere.
            shares: Says which of them are this process's to train.
        """
        trials, examples = [], self._as_it_is.train.examples
        for proposal in proposals:
            try:
                trials.append(_trial(proposal, self._as_it_is.training, self._as_it_is.augmentation))
            except ValueError as error:
                # Each value is sound by itself, and these do not go together.
                if not shares.take(proposal.number):
                    continue
                self.tell(proposal)
                yield [Outcome(proposal, None, 0.0, failed=reason(error))]
        batches: dict[str, list[_Trial]] = {}
        alone: list[_Trial] = []
        for trial in trials:
            shared = common(trial.training, trial.augmentation, examples)
            if shared is not None and self._frozen_for(trial) is not None:
                batches.setdefault(shared, []).append(trial)
            else:
                alone.append(trial)
        for batch in batches.values():
            if any(shares.is_left(trial.proposal.number) for trial in batch):
                yield from self._batch(batch, shares)
        for trial in self._in_order(alone):
            if shares.take(trial.proposal.number):
                yield [self._alone(trial, None)]

    def _batch(self, trials: Sequence[_Trial], shares: Shares) -> Iterator[list[Outcome]]:
        """Trains heads of one shape, those with batches of one size at once."""
        frozen = self._frozen_for(trials[0])
        assert frozen is not None
        features, classes, first = int(frozen.train.shape[1]), len(self._base.classes), trials[0]
        start = initial_weights(first.training, features, classes)
        if first.training.head.start == "fitted":
            self._begin(first)
            start = self._base.model.layers[-1].get_weights()
        setup = self._setup_of(first)

        def objective_at(smoothing: float) -> Objective:
            changed = first.training.model_copy(update={"label_smoothing": smoothing})
            return dataclasses.replace(setup, training=changed).objective

        heads = Heads(frozen, setup.task, objective_at, [trial.training for trial in trials], start)
        by_size: dict[int, list[_Trial]] = {}
        for trial in trials:
            by_size.setdefault(trial.training.batch_size, []).append(trial)
        most = at_once(first.training.head.units, features, classes)
        for of_size in by_size.values():
            for place in range(0, len(of_size), most):
                part = of_size[place : place + most]
                # Heads that end here are one process's; those with later phases are trained by all that train any.
                ending = [trial for trial in part if len(trial.training.phases) == 1 and _taken(trial, shares)]
                longer = [trial for trial in part if len(trial.training.phases) > 1 and _is_left(trial, shares)]
                if ending or longer:
                    found = zip(part, heads.train([trial.training for trial in part]), strict=True)
                    of_number = {trial.proposal.number: head for trial, head in found}
                    yield from self._after_heads(ending, longer, of_number, shares)

    def _after_heads(
        self, ending: Sequence[_Trial], longer: Sequence[_Trial], heads: Mapping[int, Head], shares: Shares
    ) -> Iterator[list[Outcome]]:
        """Yields what ends with its head at once, then the others, whose later phases are trained."""
        failed = [trial for trial in longer if heads[trial.proposal.number].failed and _taken(trial, shares)]
        over = [*ending, *failed]
        for trial in over:
            self.tell(trial.proposal)
        yield [_of_head(trial.proposal, heads[trial.proposal.number]) for trial in over]
        for trial in self._in_order([trial for trial in longer if not heads[trial.proposal.number].failed]):
            if _taken(trial, shares):
                yield [self._alone(trial, heads[trial.proposal.number])]

    def tell(self, proposal: Proposal) -> None:
        """Says that a trial begins."""
        # As trackers name those of the Trainer.
        values = {re.sub(r"\[(\d+)\]", r".\1", key): value for key, value in proposal.values.items()}
        component = self._as_it_is.component
        emit(TrialStarted(component=component, trial=name_of(proposal.number), parameters=values))

    def _in_order(self, trials: Sequence[_Trial]) -> list[_Trial]:
        """Puts trials of one network together, those of the config's before the others."""
        return sorted(trials, key=lambda each: (each.network != self._first, each.network))

    def _alone(self, trial: _Trial, head: Head | None) -> Outcome:
        """Trains the phases of a trial, or those after its head."""
        started = time.monotonic() - (head.seconds if head else 0.0)
        self.tell(trial.proposal)
        try:
            self._begin(trial)
            seen: list[Feed] = []
            setup = self._watched(self._shared.by(self._setup_of(trial)), trial, seen)
            check_phases(layers_of(setup.backbone), setup.training)
            checkpoints = self._opened(setup, trial.proposal.number)
            if head and not checkpoints.load().phase:
                checkpoints.save(_after(setup, head))
            state = run_phases(setup, checkpoints)
            below = self._shared.below
            logits = logits_from(setup, seen[-1], below(seen[-1])) if seen else logits_of(setup, below)
        except (BadNumbersError, BackboneError) as error:
            return Outcome(trial.proposal, None, time.monotonic() - started, failed=str(error))
        checkpoints.clear()
        epochs = len(state.curves) + (head.epochs if head else 0)
        last = state.rows[-1] if state.rows else {}
        return Outcome(
            trial.proposal,
            logits,
            time.monotonic() - started,
            epochs,
            batched=head is not None,
            courses=_courses(setup, state),
            stopped=last["ended_because"] if last.get("given_up") else "",
        )

    def _watched(self, setup: Setup, trial: _Trial, seen: list[Feed]) -> Setup:
        """Has the judge follow a trial; what was last validated on is put into `seen`."""
        judge, number = self._judge, trial.proposal.number
        if judge is None:
            return setup

        def score(feed: Feed) -> float:
            seen[:] = [feed]
            return judge.score(logits_from(setup, feed, self._shared.below(feed)))

        watch = Watch(score, lambda phase, scores: judge.verdict(number, phase, scores))
        return dataclasses.replace(setup, watch=watch)

    def _begin(self, trial: _Trial) -> None:
        """Brings the weights that the Trainer would begin with into a network that the trial can have."""
        if trial.network != self._network:
            self._build(trial)
        self._start.assign_to(self._base.model.variables)

    def _build(self, trial: _Trial) -> None:
        make_deterministic(trial.training.seed)
        base = self._as_it_is
        with base.strategy.scope():
            backbone, model = build_network(self._backbone, trial.training, len(base.classes), base.task.head())
        frozen_features = base.frozen_features.around(model, backbone)
        self._base = dataclasses.replace(base, model=model, backbone=backbone, frozen_features=frozen_features)
        self._network, self._shared = trial.network, _Shared()
        if trial.training.head.start == "fitted":
            setup = self._setup_of(trial)
            LastLayer(setup).fit(setup.train)
        self._start = Snapshot.of(model)

    def _setup_of(self, trial: _Trial) -> Setup:
        base, wanted = self._base, trial.training.class_weights
        weights = None if wanted is None else base.task.class_weights(wanted, base.classes, self._labels)
        frozen_features = base.frozen_features.of(trial.training, base.train, base.val, trial.augmentation)
        return dataclasses.replace(
            base,
            training=trial.training,
            augmentation=trial.augmentation,
            class_weights=weights,
            frozen_features=frozen_features,
            trial=name_of(trial.proposal.number),
        )

    def _frozen_for(self, trial: _Trial) -> Frozen | None:
        """Returns what the frozen backbone gives of all examples, read once for all trials that see the same."""
        kind = trial.training.batch_norm
        if kind not in self._frozen:
            base = self._as_it_is
            # What later phases read is kept in the same pass.
            phases = [HEAD_ALONE, *trial.training.phases[1:]]
            training = base.training.model_copy(update={"phases": phases, "batch_norm": kind})
            feeds = base.frozen_features.of(training, base.train, base.val, AugmentationConfig()).feeds(0, 0, 0)
            train, val = feeds.train.kept, feeds.val.kept
            self._frozen[kind] = Frozen.of(train, val, base.train) if train and val else None
        return self._frozen[kind]


class _Shared:
    """Holds what trials of one network compile once for all."""

    def __init__(self) -> None:
        self._steps = SharedSteps()
        self._smoothing = tf.Variable(0.0, trainable=False)
        self._objectives: dict[tuple[str, str], Objective] = {}
        self._below: dict[int, tuple[keras.Model, Callable[[Any], Any]]] = {}

    def by(self, setup: Setup) -> Setup:
        """Returns the setup of a trial that is trained with steps of others, next."""
        training, smoothing = setup.training, setup.training.label_smoothing
        self._smoothing.assign(smoothing)
        # Whatever the objective may depend on, but for what it reads anew.
        own = training.model_dump_json(exclude=OWN_OF_TRAINING)
        key = own, f"{bool(smoothing)} {setup.class_weights}"
        if key not in self._objectives:
            at = [training.model_copy(update={"label_smoothing": each}) for each in (0.0, 1.0)]
            none, *rest = (dataclasses.replace(setup, training=each).objective for each in at[: 1 + bool(smoothing)])
            self._objectives[key] = between(none, rest[0], self._smoothing.read_value) if rest else none
        return dataclasses.replace(setup, shared_steps=self._steps, shared_objective=self._objectives[key])

    def below(self, feed: Feed) -> Callable[[Any], Any]:
        """Returns what gives the last layer's input, compiled once for each network."""
        key = id(feed.model)
        if key not in self._below:
            self._below[key] = feed.model, below_last_layer(feed)
        return self._below[key][1]


def _trial(proposal: Proposal, training: TrainingConfig, augmentation: AugmentationConfig) -> _Trial:
    training, augmentation = with_values(training, augmentation, proposal.values)
    if proposal.share < 1:
        phases = [shortened(phase, proposal.share) for phase in training.phases]
        training = training.model_copy(update={"phases": phases})
    return _Trial(proposal, training, augmentation)


def _taken(trial: _Trial, shares: Shares) -> bool:
    return shares.take(trial.proposal.number)


def _is_left(trial: _Trial, shares: Shares) -> bool:
    return shares.is_left(trial.proposal.number)


def _of_head(proposal: Proposal, head: Head) -> Outcome:
    """Returns what became of a trial that ends with its head."""
    return Outcome(proposal, None if head.failed else head.logits, head.seconds, head.epochs, True, head.failed)


def _after(setup: Setup, head: Head) -> State:
    """Returns where the Trainer stands after the first phase, with these weights."""
    place_of = {id(variable): place for place, variable in enumerate(setup.model.variables)}
    values = [variable.numpy() for variable in setup.model.variables]
    slots = {}
    for place, weights, slot in zip(_head_places(setup.model, place_of), head.weights, head.slots, strict=True):
        values[place], slots[place] = weights, slot
    for layer in setup.model.layers:
        if isinstance(layer, SeededDropout):
            for variable in layer.variables:
                values[place_of[id(variable)]] = np.asarray(head.calls, values[place_of[id(variable)]].dtype)
    state = State(best=Snapshot(values, slots))
    state.begin_phase(1)
    return state


def _courses(setup: Setup, state: State) -> list[list[float]]:
    """Returns the scores of the epochs of each phase."""
    if setup.watch is None:
        return []
    return [
        [point["score"] for point in state.curves if point["phase"] == phase.name] for phase in setup.training.phases
    ]


def _head_places(model: keras.Model, place_of: dict[int, int]) -> list[int]:
    """Returns where kernel and offset of each dense layer of the head stand among all variables."""
    dense = [layer for layer in model.layers if layer.name == "probabilities" or layer.name.startswith("head_dense_")]
    return [place_of[id(variable)] for layer in dense for variable in (layer.kernel, layer.bias)]


def logits_of(setup: Setup, below: Callable[[Feed], Callable[[Any], Any]]) -> np.ndarray:
    """Returns what the network says of the validation examples, read from where the last phase reads them.

    Args:
        setup: Of a trial that is trained.
        below: `below_last_layer`, or what keeps what it gave.
    """
    last = len(setup.training.phases) - 1
    if last < 0:
        return LastLayer(setup).logits(setup.val)
    feed = setup.frozen_features.feeds(last, 0, 0).val
    return logits_from(setup, feed, below(feed))
