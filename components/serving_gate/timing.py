"""How fast a model answers, and how fast beside the champion. Plain Python; no clock here, the servers hold it.

A machine is never quiet. Requests to candidate and champion therefore alternate, each pair in the other order than the
pair before, and all batch sizes take turns: what disturbs one disturbs the other. To compare, the quantile is taken
within each round, and the rounds are compared pair by pair: whatever the noise is, it is as likely to fall on one side
of a pair as on the other. Absolute figures are quantiles over all requests, noise included.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from components.serving_gate.server import Server
from evaluation.metrics.serving import BATCH_SIZES, QUANTILES, TIMED, latency, throughput
from finetune.artifacts.findings import Interval
from finetune.config.evaluation import GateConfig

WARM_UP_CALLS = 3
# From 8 rounds on, all of them on one side is less likely than 1 % by chance alone: 2 / 2**8.
MIN_ROUNDS, MAX_ROUNDS = 8, 20
MAX_CALLS = 400
CALLS_A_ROUND = 10
# For a batch size that no gate asks about: its figures are for the report, and never beside a bound.
REPORT_SECONDS = 1.0
# Of the interval of a comparison. A gate that is wrong this rarely can be run every night.
CONFIDENCE = 0.99

Rounds = list[list[float]]


@dataclass(frozen=True)
class Timings:
    """Seconds of each request to one model, by batch size, round by round."""

    rounds: Mapping[int, Rounds]

    def milliseconds(self, batch: int) -> list[float]:
        """All requests of a batch size."""
        return [1000 * second for one in self.rounds[batch] for second in one]

    def pooled(self) -> dict[str, float]:
        """Metrics by name, over all requests."""
        found: dict[str, float] = {}
        for batch, rounds in self.rounds.items():
            found |= _metrics(batch, [second for one in rounds for second in one])
        return found

    def of_rounds(self) -> dict[str, list[float]]:
        """Metrics by name, measured within each round: for comparison with the rounds of another model."""
        found: dict[str, list[float]] = {}
        for batch, rounds in self.rounds.items():
            for one in rounds:
                for name, value in _metrics(batch, one).items():
                    found.setdefault(name, []).append(value)
        return found


def _metrics(batch: int, seconds: Sequence[float]) -> dict[str, float]:
    found = {latency(name, batch): 1000 * float(np.quantile(seconds, share)) for name, share in QUANTILES.items()}
    return {**found, throughput(batch): batch * len(seconds) / sum(seconds)}


def change_interval(candidate: Sequence[float], champion: Sequence[float], compare: str) -> Interval:
    """Interval of the typical change from the champion to the candidate, whatever the noise looks like.

    Args:
        candidate: A metric, round by round.
        champion: The same metric in the same rounds.
        compare: `ratio` or `difference`.

    Returns:
        Two of the sorted changes of the rounds, which hold their median between them with CONFIDENCE, or with what so
        few rounds give (the interval of the sign test; Conover, Practical Nonparametric Statistics, section 3.2).
    """
    changes = _changes(candidate, champion, compare)
    count = len(changes)
    left_out = max(int(binom.ppf((1 - CONFIDENCE) / 2, count, 0.5)) - 1, 0)
    confidence = 1 - 2 * float(binom.cdf(left_out, count, 0.5))
    return Interval(changes[left_out], changes[count - 1 - left_out], confidence, "sign test")


def candidate_beside(reference: float, candidate: Sequence[float], champion: Sequence[float], compare: str) -> float:
    """The candidate's typical value beside a typical one of the champion, such that their change is the median one.

    The median of the candidate's own rounds would be another number, whose change may lie outside the interval.
    """
    change = statistics.median(_changes(candidate, champion, compare))
    return reference * change if compare == "ratio" else reference + change


def _changes(candidate: Sequence[float], champion: Sequence[float], compare: str) -> list[float]:
    pairs = zip(candidate, champion, strict=True)
    return sorted(one / other if compare == "ratio" else one - other for one, other in pairs)


def budgets(gates: Sequence[GateConfig], seconds: float) -> dict[int, float]:
    """Returns how many seconds to time each batch size for.

    Args:
        gates: Those whose batch sizes share `seconds`; the other sizes take REPORT_SECONDS each, or less.
        seconds: From the config.
    """
    asked = {TIMED[gate.metric] for gate in gates if gate.metric in TIMED}
    unasked = min(REPORT_SECONDS, seconds / len(BATCH_SIZES))
    return {size: seconds / len(asked) if size in asked else unasked for size in BATCH_SIZES}


def time_alternately(servers: Sequence[Server], budgets: Mapping[int, float], requests: int) -> list[Timings]:
    """Times servers side by side.

    Args:
        servers: One or more; the first is no different from the others.
        budgets: Per requests a batch, the seconds that it should take; slow models take longer, for a few calls each
            at least.
        requests: How many different requests there are; they are taken in turn.
    """
    plan = {}
    for batch, budget in budgets.items():
        numbers = _in_turn(0, batch, requests)
        warm = [[server.seconds(numbers) for _ in range(WARM_UP_CALLS)] for server in servers]
        plan[batch] = rounds_and_calls(sum(seconds[-1] for seconds in warm), budget)
    measured: list[dict[int, Rounds]] = [{batch: [] for batch in budgets} for _ in servers]
    first = 0
    for number in range(MAX_ROUNDS):
        for batch, (rounds, calls) in plan.items():
            if number >= rounds:
                continue
            for one in measured:
                one[batch].append([])
            for call in range(calls):
                numbers = _in_turn(first, batch, requests)
                first += batch
                order = range(len(servers)) if (number + call) % 2 else range(len(servers) - 1, -1, -1)
                for index in order:
                    measured[index][batch][-1].append(servers[index].seconds(numbers))
    return [Timings(one) for one in measured]


def rounds_and_calls(seconds: float, budget: float) -> tuple[int, int]:
    """How many rounds, and how many calls in each.

    Args:
        seconds: What one call to each server takes.
        budget: What all calls may take.
    """
    calls = min(max(int(budget / max(seconds, 1e-6)), MIN_ROUNDS), MAX_CALLS)
    rounds = min(max(calls // CALLS_A_ROUND, MIN_ROUNDS), MAX_ROUNDS)
    return rounds, calls // rounds


def _in_turn(first: int, batch: int, requests: int) -> list[int]:
    return [(first + offset) % requests for offset in range(batch)]
