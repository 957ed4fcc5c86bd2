"""Where a phase ends between the weights that it began with and those that it came to, as in WiSE-FT.

Wortsman et al. 2022, https://arxiv.org/abs/2109.01903.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trainer_module.calibration import as_served
from trainer_module.examples.input_data import labels
from trainer_module.fitted_head import below_last_layer, logits_from
from trainer_module.frozen_features.feed import Feed
from trainer_module.phases.program import Program
from trainer_module.phases.setup import Setup
from trainer_module.phases.state import State

# Shares of the way that are looked at.
INTERPOLATIONS = tuple(tenth / 10 for tenth in range(11))


@dataclass(frozen=True)
class Point:
    """A point lies on the line from the weights that a phase began with to those that it came to."""

    share: float  # Of the way, in [0, 1].
    figures: dict[str, float]  # `val_loss` and `val_accuracy` there.


def end_on_the_line(setup: Setup, program: Program, state: State, val: Feed) -> Point | None:
    """Moves the model to the point that the config asks for, and takes its weights for the best.

    With `validation` that is where the validation loss is lowest, the nearest to the start of several. Where the model
    will be served at a temperature, each point is judged at its own: the far end is surer of itself, or less sure, in
    a way that calibration takes back, and would lose to the start for that alone.

    Args:
        setup: Of the training.
        program: Of the phase.
        state: Where it stands: `start` has the weights that it began with, `best` those that it came to.
        val: The validation examples as the phase reads them.

    Returns:
        The point; None where the phase keeps what it came to.
    """
    wanted = program.scope.phase.interpolation
    if wanted is None:
        return None
    start = [state.start.weights[place] for place in program.scope.places]
    end = [state.best.weights[place] for place in program.scope.places]

    def move_to(share: float) -> None:
        program.assign([(1.0 - share) * one + share * other for one, other in zip(start, end, strict=True)])

    share = wanted if wanted != "validation" else _best_share(_judge(setup, program, val), move_to)
    move_to(share)
    figures = program.validate()
    state.best = program.snapshot()
    return Point(share, figures)


def _best_share(judge: Callable[[], float], move_to: Callable[[float], None]) -> float:
    losses = {}
    for share in INTERPOLATIONS:
        move_to(share)
        losses[share] = judge()
    return min(losses, key=lambda share: losses[share])


def _judge(setup: Setup, program: Program, val: Feed) -> Callable[[], float]:
    """Returns what says how high the validation loss of the weights in the model is."""
    if setup.training.calibration == "none":
        return lambda: program.validate()["val_loss"]
    below, targets = below_last_layer(val), setup.task.targets(labels(setup.val).numpy(), len(setup.classes))
    return lambda: float(as_served(setup.training, setup.task, targets, logits_from(setup, val, below)).losses.mean())
