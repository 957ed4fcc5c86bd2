"""`tuning.json`: the trials of a search over training keys, and what they say."""

from __future__ import annotations

from typing import Any, Literal

from finetune.artifacts.base import Artifact, Record


class TriedKey(Record):
    """A key of the space.

    Attributes:
        as_it_is: What the config says of it.
        choices: Its values; empty where it is a range of numbers from `low` to `high`.
        explained: Share of the differences between trials that the key explains by itself, in [0, 1]; None where there
            are too few trials to tell.
    """

    key: str
    as_it_is: Any = None
    choices: list[Any] = []
    low: float | None = None
    high: float | None = None
    log: bool = False
    explained: float | None = None


class Trial(Record):
    """A trial, that of the config as it is being number 0.

    Attributes:
        values: Of keys that differ from the config.
        share: Of each phase's time that it was trained for.
        state: `stopped` where it ended before its time, `left_out` where the budget was used up before it.
        score: Its metric on the validation split; None where it failed or was left out, or the metric is undefined.
        seconds: That it took; of several heads in one batch, each one's part.
        epochs: That were trained.
        batched: Whether its head was trained in one batch with others.
        courses: Its score after each epoch, a list for each phase; None where the metric is undefined, empty where
            nothing followed the phase.
        reason: Why it was stopped, failed or was left out.
    """

    number: int
    values: dict[str, Any] = {}
    share: float = 1.0
    state: Literal["done", "stopped", "failed", "left_out"] = "done"
    score: float | None = None
    seconds: float = 0.0
    epochs: int = 0
    batched: bool = False
    courses: list[list[float | None]] = []
    reason: str = ""


class Effect(Record):
    """What one value of one key changes, while the others stay as the config has them.

    Attributes:
        change: Of the score, against that of the config as it is; `low` and `high` are the ends of its interval at 95
            %, paired by validation example.
    """

    key: str
    value: Any
    change: float
    low: float
    high: float


class Tuning(Artifact, file="tuning.json"):
    """A search.

    Attributes:
        metric: Name of the score, of `of_class` where it is that of one class.
        best: Number of the trial whose values the Trainer takes.
        nested: What the best trial is worth on examples that did not choose it; None where that is undefined.
        chance: What choosing has added to its score, by that estimate.
        val_examples: How many examples the scores are of.
        seconds: Of all trials, those before a kill included.
        ended_because: A sentence part.
    """

    method: str
    metric: str
    of_class: str | None = None
    higher_is_better: bool
    keys: list[TriedKey]
    trials: list[Trial]
    best: int
    nested: float | None = None
    chance: float | None = None
    val_examples: int
    seconds: float
    ended_because: str
    effects: list[Effect] = []

    @property
    def best_trial(self) -> Trial:
        """The trial whose values the Trainer takes."""
        return next(trial for trial in self.trials if trial.number == self.best)

    @property
    def as_it_is(self) -> Trial:
        """The trial of the config as it is."""
        return self.trials[0]

    @property
    def done(self) -> list[Trial]:
        """The trials that have a score."""
        return [trial for trial in self.trials if trial.score is not None]

    @property
    def stopped(self) -> list[Trial]:
        """The trials that ended before their time."""
        return [trial for trial in self.trials if trial.state == "stopped"]
