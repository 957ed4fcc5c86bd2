"""`decision.json`: what `finetune retrain` decided, and the numbers that it decided by."""

from __future__ import annotations

from typing import Literal

from finetune.artifacts.base import Artifact, Record
from finetune.artifacts.findings import Interval
from finetune.errors import NOTHING_TO_DO, PENDING, REFUSED

Action = Literal["nothing to do", "warm", "cold", "stop: data", "waiting"]
# Those that a run follows from.
TRAINS = ("warm", "cold")
# The reason that makes a span one that has drifted. Other shares of labels do not, nor does what the champion gets
# wrong: to set these aside leaves less evidence, and none that is better (benchmarks.replacements).
DRIFT = "frozen features"
# Of a command that ends with the others.
_EXIT_CODES: dict[Action, int] = {"nothing to do": NOTHING_TO_DO, "stop: data": REFUSED, "waiting": PENDING}


class RetrainReason(Record):
    """Something that was looked at: `name` is what in short, `sentence` says it for people.

    Attributes:
        value: What was measured, with its `interval`; None where it was not, and the sentence says why.
        bound: From which on, or beyond which, it speaks for an action; None where it has none.
        decisive: Whether the action follows from it.
    """

    name: str
    sentence: str
    value: float | None = None
    interval: Interval | None = None
    bound: float | None = None
    decisive: bool = False


class LookedAtSpan(Record):
    """A span whose examples were compared with those that the champion was made with.

    Attributes:
        name: Of the span.
        differs_in: Names of the reasons by which it is not like them.
    """

    name: str
    differs_in: list[str] = []

    @property
    def drifted(self) -> bool:
        """Whether it is no ordinary span: inputs themselves differ, be it in labels too or in what is right."""
        return DRIFT in self.differs_in


class RetrainDecision(Artifact, file="decision.json"):
    """What follows from the data, the champion and the policy, and why.

    Attributes:
        action: `warm` and `cold` train, from the champion and from the backbone; the others do not.
        reasons: Those that the action follows from first.
        at: When it was made (ISO 8601).
        champion: The version that is served; None while there is none.
        spans: Those that were looked at, each by itself.
    """

    action: Action
    reasons: list[RetrainReason]
    at: str = ""
    champion: int | None = None
    spans: list[LookedAtSpan] = []

    @property
    def trains(self) -> bool:
        """Whether a run follows."""
        return self.action in TRAINS

    @property
    def exit_code(self) -> int:
        """What a command ends with after which no run follows; 0 where one does."""
        return _EXIT_CODES.get(self.action, 0)

    @property
    def decisive(self) -> list[RetrainReason]:
        """The reasons that the action follows from."""
        return [reason for reason in self.reasons if reason.decisive]
