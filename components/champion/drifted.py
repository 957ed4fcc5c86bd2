"""Which spans have drifted from what their champion was made with, as decisions to train have found. Plain Python.

A decision leaves what it says of the spans that it looked at on its artifact in the metadata store, as JSON: name of a
span to the names of the reasons by which it differs. The latest that looked at a span counts, so that a span that was
put right is an ordinary one again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from finetune.artifacts.retrain_decision import LookedAtSpan
from finetune.errors import RunError

# The type of artifacts of decisions, and the property that has the spans.
DECISION_TYPE, SPANS = "RetrainDecision", "spans"


def to_text(spans: Iterable[LookedAtSpan]) -> str:
    """Returns one line for the property."""
    return json.dumps({span.name: span.differs_in for span in spans})


def latest_of_each(decisions: Iterable[tuple[int, str]]) -> dict[str, list[str]]:
    """Returns the spans that have drifted by the latest decision on each, with all reasons by which they differ.

    Args:
        decisions: Id and property of each; decisions of a version before had none, which is empty.

    Raises:
        RunError: A property is none that `to_text` writes.
    """
    found: dict[str, LookedAtSpan] = {}
    for _, said in sorted(decisions):
        found |= {span.name: span for span in _read(said)}
    return {name: span.differs_in for name, span in found.items() if span.drifted}


def that_count(decisions: Mapping[int, str]) -> list[int]:
    """Returns the ids of the latest decision on each span that has ever drifted, in their order.

    The others change nothing, and a verdict that does not depend on them is found in the cache.

    Raises:
        RunError: See `latest_of_each`.
    """
    latest: dict[str, int] = {}
    for number, said in sorted(decisions.items()):
        latest |= {span.name: number for span in _read(said) if span.drifted or span.name in latest}
    return sorted(set(latest.values()))


def _read(said: str) -> list[LookedAtSpan]:
    try:
        found = json.loads(said or "{}")
        return [LookedAtSpan(name=name, differs_in=reasons) for name, reasons in found.items()]
    except (ValueError, AttributeError):
        raise RunError(
            f"{DECISION_TYPE} in the metadata store: got {said[:80]!r} as its {SPANS}; expected reasons by span, such "
            f'as {{"7": ["labels"]}}. Was it changed by hand?'
        ) from None
