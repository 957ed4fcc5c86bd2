"""How often the same test examples judged a candidate, and what risk is left for the next one.

A look is one candidate judged beside one champion, promoted or not; judging the same pair again is none. Look k may
promote a candidate falsely with probability risk * 6 / (pi^2 k^2) at most. These add up to the risk over any number of
looks (a Bonferroni bound with unequal shares, as in the alpha spending of Lan and DeMets 1983 and of Foster and Stine
2008, "Alpha-investing"). It holds for candidates that were chosen by the verdicts before them too: until the first
false promotion all of these are refusals, which tell nothing (Dwork et al. 2015, "The reusable holdout"; Blum and
Hardt 2015, "The ladder"). It does not hold against fitting to the numbers of earlier reports.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from evaluation.metrics import METRICS
from evaluation.power import POWER
from finetune.artifacts.findings import Reuse
from finetune.artifacts.test_sketch import TestSketch
from finetune.config.evaluation import GateConfig

# Of more than this share, a test split is the same one as before, for counting.
SAME = 0.5


@dataclass(frozen=True)
class Look:
    """A candidate that test examples judged: which model, beside which champion, on which examples."""

    model: str
    champion: str
    test: TestSketch


def number_of(look: Look, earlier: Iterable[Look]) -> int:
    """Returns the how manieth look this is at these test examples, from 1.

    Args:
        look: At a test split.
        earlier: In the order of time; those at less than half of today's examples do not count.
    """
    pairs = dict.fromkeys((one.model, one.champion) for one in earlier if look.test.share_in(one.test) > SAME)
    before = list(pairs)
    pair = look.model, look.champion
    return (before.index(pair) if pair in pairs else len(before)) + 1


def share_of_risk(risk: float, look: int) -> float:
    """Returns the risk that the how manieth look may take; all of them add up to `risk`."""
    return risk * 6 / (math.pi * look) ** 2


def is_bounded(gate: GateConfig) -> bool:
    """Whether a gate bounds the risk of a false promotion: it lets no candidate pass that has not proven itself."""
    return looks(gate) and gate.confidence is not None and gate.refuses_when == "unproven"


def looks(gate: GateConfig) -> bool:
    """Whether a gate looks at the test split to compare candidate and champion."""
    return gate.relative_to == "champion" and not METRICS[gate.metric].of_model


def at_look(gate: GateConfig, reuse: Reuse | None) -> GateConfig:
    """Returns the gate with the confidence that its look demands; of others the gate as it is.

    The candidate that should be stopped has to pass every gate, so each of them may take the whole share.
    """
    if reuse is None or reuse.level is None or not is_bounded(gate):
        return gate
    assert gate.confidence is not None
    return gate.model_copy(update={"confidence": max(gate.confidence, 1 - 2 * reuse.level)})


def reuse_of(gates: Sequence[GateConfig], look: Look, earlier: Iterable[Look], risk: float | None) -> Reuse | None:
    """Tells what a look at the test split may risk, and what is left of the split.

    Args:
        gates: Of the config.
        look: At the test split of today.
        earlier: All before, in the order of time.
        risk: Over all looks; None to bound nothing.

    Returns:
        None where no gate compares with the champion on examples. A test split is used up when a new one of the same
        size costs no more labels than those that make up for the looks.
    """
    if not any(map(looks, gates)):
        return None
    number, examples = number_of(look, earlier), look.test.examples
    own = [1 - gate.confidence for gate in gates if is_bounded(gate) and gate.confidence is not None]
    if risk is None or not own:
        return Reuse(look=number, examples=examples, risk=risk)
    least = min(own) / 2
    level, first = (min(least, share_of_risk(risk, each)) for each in (number, 1))
    found = NormalDist().inv_cdf(POWER)
    more = ((found - NormalDist().inv_cdf(level)) / (found - NormalDist().inv_cdf(first))) ** 2 - 1
    labels = math.ceil(examples * more)
    return Reuse(
        look=number, examples=examples, risk=risk, level=level, more_labels=labels, used_up=labels >= examples > 0
    )
