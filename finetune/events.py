"""What a running component tells whoever listens: typed events, one `emit`, and listeners that subscribe.

On a laptop the live view, the log and the trackers listen; in a container only the log, whose lines `from_line` reads.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Annotated, Any, Literal, TextIO

from pydantic import Field, TypeAdapter

State = Literal["ran", "cached", "failed"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunStarted:
    """A run begins; `components` are the ids of its nodes in their order."""

    kind: Literal["run_started"] = "run_started"
    components: tuple[str, ...]
    log_file: str


@dataclass(frozen=True, kw_only=True)
class ComponentStarted:
    """A node begins; on Kubernetes it says in which run."""

    kind: Literal["component_started"] = "component_started"
    component: str
    run_id: str = ""


@dataclass(frozen=True, kw_only=True)
class ComponentFinished:
    """A node has ended."""

    kind: Literal["component_finished"] = "component_finished"
    component: str
    state: State
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A node has done so many of its items; `total` is None while nobody knows it, `unit` is their plural."""

    kind: Literal["progress"] = "progress"
    component: str
    done: int
    total: int | None
    unit: str


@dataclass(frozen=True, kw_only=True)
class TrialStarted:
    """Training begins, or goes on, of something that is compared, such as a candidate of a search, or of the last fit.

    The phases and epochs of a trial name it; `parameters` are its settings, which may be nested.
    """

    kind: Literal["trial_started"] = "trial_started"
    component: str
    trial: str
    parameters: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TrialFinished:
    """A trial has ended; `metrics` are its own on validation, none where it failed or has none."""

    kind: Literal["trial_finished"] = "trial_finished"
    component: str
    trial: str
    metrics: dict[str, float]
    succeeded: bool = True


@dataclass(frozen=True, kw_only=True)
class PhaseStarted:
    """A phase of training begins, or goes on; `index` counts from 0."""

    kind: Literal["phase_started"] = "phase_started"
    component: str
    phase: str
    index: int
    phases: int
    epochs: int
    steps_per_epoch: int
    trainable_parameters: int
    total_parameters: int
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of training is done, told a few times a second; `loss` and `accuracy` are means since the epoch began."""

    kind: Literal["step"] = "step"
    component: str
    phase: str
    epoch: int
    step: int
    loss: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """An epoch is done; `epoch` counts from 1 within the phase, `number` over all phases of the training or trial.

    Where validation examples are trained on, as in the last fit, their figures measure nothing.
    """

    kind: Literal["epoch"] = "epoch"
    component: str
    phase: str
    epoch: int
    epochs: int
    number: int
    learning_rate: float
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    seconds: float
    trial: str = ""
    val_is_trained_on: bool = False


@dataclass(frozen=True, kw_only=True)
class PhaseFinished:
    """A phase of training has ended; the validation figures are those of its best epoch, and as in `Epoch`."""

    kind: Literal["phase_finished"] = "phase_finished"
    component: str
    phase: str
    epochs: int
    stopped_early: bool
    best_epoch: int
    val_loss: float
    val_accuracy: float
    seconds: float
    trial: str = ""
    val_is_trained_on: bool = False


@dataclass(frozen=True, kw_only=True)
class Note:
    """A sentence for whoever watches."""

    kind: Literal["note"] = "note"
    text: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True, kw_only=True)
class RunEnded:
    """A run has its answer, as the exit code of `finetune run`: 0 pushed, 3 refused, 4 waits for approval."""

    kind: Literal["run_ended"] = "run_ended"
    exit_code: int


Event = (
    RunStarted
    | ComponentStarted
    | ComponentFinished
    | Progress
    | TrialStarted
    | TrialFinished
    | PhaseStarted
    | Step
    | Epoch
    | PhaseFinished
    | Note
    | RunEnded
)
Listener = Callable[[Event], None]

_EVENTS: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


@dataclass(eq=False)
class _Subscription:
    listener: Listener
    has_failed: bool = False


_subscriptions: tuple[_Subscription, ...] = ()
_lock = threading.Lock()


def emit(event: Event) -> None:
    """Hands an event to every listener, in the calling thread; one that raises is logged once, and ends nothing."""
    for subscription in _subscriptions:
        try:
            subscription.listener(event)
        except Exception:
            if not subscription.has_failed:
                subscription.has_failed = True
                _logger.warning("%r cannot take %r", subscription.listener, event, exc_info=True)


@contextmanager
def subscribe(listener: Listener) -> Iterator[None]:
    """Hands every event of this process to `listener` while the block is open; several threads may call it at once."""
    global _subscriptions
    subscription = _Subscription(listener)
    with _lock:
        _subscriptions = (*_subscriptions, subscription)
    try:
        yield
    finally:
        with _lock:
            _subscriptions = tuple(other for other in _subscriptions if other is not subscription)


def lines_to(stream: TextIO) -> Listener:
    """Returns a listener that writes each event as a line of JSON with its time, but for steps: too many to read."""

    def write(event: Event) -> None:
        if not isinstance(event, Step):
            at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
            stream.write(to_line(event, at=at) + "\n")
            stream.flush()

    return write


def to_line(event: Event, **more: str) -> str:
    """Returns an event as one line of JSON that opens with its kind, and ends with what else is known of it.

    The form is read by other versions too.
    """
    return json.dumps({**asdict(event), **more})


def from_line(line: str) -> Event | None:
    """Returns the event that a line of a log holds; None if it holds none that this version knows."""
    if not line.startswith('{"kind": '):
        return None
    try:
        return _EVENTS.validate_python(json.loads(line))
    except (ValueError, RecursionError):
        return None
