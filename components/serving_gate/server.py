"""What the gate asks of whatever serves a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class NotServed(Exception):
    """The model cannot be served; the message says why, as a clause such as `it did not answer within 60 s`."""


@dataclass(frozen=True)
class Output:
    """One output tensor of an answer to a whole batch, its values as nested lists.

    `dtype` is TensorFlow's name, such as `float32` or `string`; None where the protocol does not tell.
    """

    dtype: str | None
    shape: tuple[int, ...]
    values: list[Any]


Answer = Mapping[str, Output]


class Server(Protocol):
    """A process that serves one model. Every method but `close` may raise NotServed.

    Attributes:
        load_seconds: How long loading took; NaN before.
    """

    load_seconds: float

    def prepare(self) -> None:
        """Waits until the model could be loaded."""

    def load(self) -> None:
        """Loads the model."""

    def predict(self, requests: Sequence[int]) -> Answer:
        """The outputs for a batch of requests, which are named by their numbers."""

    def seconds(self, requests: Sequence[int]) -> float:
        """How long the answer to a batch took."""

    def peak_memory_mb(self) -> float:
        """The largest resident memory of the process so far, in 10^6 bytes."""

    def close(self) -> None:
        """Ends the process."""
