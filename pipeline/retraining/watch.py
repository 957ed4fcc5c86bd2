"""`finetune watch`: looks at the data again and again, and has every span that comes decided on once, in order.

What is done is what the metadata store says, and nothing is kept beside it: whoever is killed, or finds the machine
started anew, goes on where it stopped. A span whose data change later is a new one. No TensorFlow here.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from finetune.config import Config
from finetune.errors import ConfigError, FinetuneError, RunError
from finetune.events import Note, emit
from pipeline.retraining.facts import waiting_model
from pipeline.retraining.lineage import Lineage, store_of
from pipeline.retraining.listing import data_now

# A span that failed is tried again after one look, then two, four ... and at most so many seconds.
LONGEST_PAUSE = 3600.0

# Names of spans, in their order, with the digest of the data of each; without spans, the data have the name "".
Looked = Mapping[str, str]


@dataclass
class Queue:
    """Which span comes next. It holds nothing that the next look would not tell.

    Attributes:
        settle: Seconds for which data have to stay as they are before they are taken for whole.
    """

    settle: float
    _since: dict[tuple[str, str], float] = field(default_factory=dict)
    _failed: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)

    def next(self, there: Looked, decided: Looked, now: float) -> str | None:
        """Returns the name of the first span that is not decided on; None where there is none, or it is not whole yet.

        A span never overtakes one before it.

        Args:
            there: What is there now.
            decided: What was decided on, by the digest that it had.
            now: Seconds of a clock that never goes back.
        """
        pending = [(name, digest) for name, digest in there.items() if decided.get(name) != digest]
        self._since = {span: self._since.get(span, now) for span in pending}
        self._failed = {span: found for span, found in self._failed.items() if span in self._since}
        if not pending:
            return None
        first = pending[0]
        until, _ = self._failed.get(first, (0.0, 0.0))
        return first[0] if now - self._since[first] >= self.settle and now >= until else None

    def failed(self, name: str, there: Looked, now: float, pause: float) -> float:
        """Puts a span off whose run failed, twice as long each time; returns for how many seconds."""
        span = name, there[name]
        _, before = self._failed.get(span, (0.0, pause / 2))
        wait = min(2 * before, LONGEST_PAUSE)
        self._failed[span] = now + wait, wait
        return wait


def up_to(name: str, decided: Sequence[str], there: Sequence[str]) -> list[str]:
    """Returns what `data.spans` says for a span: all up to it, or up to the last that is decided on, if that is later.

    Args:
        name: Of the span to decide on; "" where there are no spans.
        decided: Names of those that were decided on.
        there: Names of all, in their order.
    """
    if not name:
        return []
    return [f"..{max((name, *(one for one in decided if one in there)), key=list(there).index)}"]


def watch(
    config: Config,
    retrain: Callable[[list[str]], None],
    every: float = 60.0,
    settle: float = 10.0,
    once: bool = False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Looks at the data again and again, and has each span that comes decided on, one at a time, in their order.

    While a candidate waits for approval, spans wait too. Where another run holds the output folder, or one fails, the
    same span is tried again later.

    Args:
        config: Of the pipeline; `data.spans` is empty.
        retrain: Decides and trains on the spans that it gets as `data.spans`, as `finetune retrain` does.
        every: Seconds between looks.
        settle: Seconds for which data have to stay as they are before they are taken for whole.
        once: Whether to end when there is nothing left that can be decided on.
        clock, sleep: Those of `time`.

    Raises:
        ConfigError: The config cannot be watched.
        RunError: Another watch is going on in the output folder; with `once`, a run failed.
        DataError: With `once`, the data cannot be looked at.
    """
    if config.data.spans:
        raise ConfigError([f"data.spans: got {', '.join(config.data.spans)}; expected none, as watch takes every span"])
    queue = Queue(settle)
    with _only_watch(config.output_path):
        while True:
            there, decided = _looked(config, once), Lineage(store_of(config)).decided()
            pending = [name for name, digest in there.items() if decided.get(name) != digest]
            waits = waiting_model(config.push_path)
            name = None if waits else queue.next(there, decided, clock())
            if name is not None:
                emit(Note(text=f"watch: {_called(name)}, {len(pending)} to decide on"))
                retrain(up_to(name, list(decided), list(there)))
                if Lineage(store_of(config)).decided().get(name) == there[name]:
                    continue
                pause = queue.failed(name, there, clock(), every)
                if once:
                    raise RunError(
                        f"watch: {_called(name)} is not done, as its run failed; the next watch tries it again."
                    )
                emit(Note(text=f"watch: {_called(name)} is not done; again in {pause:g} s", level="warning"))
            elif once and (waits or not pending):
                return
            sleep(min(every, max(settle, 0.1)) if pending and not waits else every)


def _looked(config: Config, once: bool) -> dict[str, str]:
    """Looks at every span, also those before the window, which are decided on in their order too.

    What cannot be looked at now may be there the next time; with `once` there is none.
    """
    every_span = config.model_copy(update={"data": config.data.model_copy(update={"window": "all"})})
    try:
        return data_now(every_span)
    except FinetuneError as error:
        if once:
            raise
        emit(Note(text=f"watch: {error}", level="warning"))
        return {}


def _called(name: str) -> str:
    return f"span {name}" if name else "the data"


@contextmanager
def _only_watch(output: Path) -> Iterator[None]:
    output.mkdir(parents=True, exist_ok=True)
    with (output / ".watch.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"output_dir: another `finetune watch` is going on in {output}; one is enough.") from None
        yield
