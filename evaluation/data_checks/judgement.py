"""Makes the chosen checks, holds what they found against their bounds, and says what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.data_checks import CHECKS
from evaluation.data_checks.check import TEST, TRAIN, VAL, Examples, Found
from finetune.artifacts.data_findings import DataFinding
from finetune.config.data import ActiveAction


@dataclass(frozen=True)
class Judged:
    """What all checks found.

    Attributes:
        findings: One a check that was made, in the order of the table.
        found: What each of them found, by its name.
        dropped: int, sorted numbers of the examples of train and val that are not trained on.
    """

    findings: list[DataFinding]
    found: dict[str, Found]
    dropped: np.ndarray


def judge(examples: Examples, chosen: Mapping[str, tuple[ActiveAction, float]]) -> Judged:
    """Makes the checks.

    Args:
        examples: All of the run.
        chosen: Action and bound of each check to make.
    """
    findings, found, dropped = [], {}, [np.zeros(0, int)]
    for name, (action, bound) in chosen.items():
        check = CHECKS[name]
        result = found[name] = check.find(examples)
        above = result.value is not None and result.value > bound
        drop = result.drop if above and action == "drop" else np.zeros(0, int)
        # A test example is evidence, whatever is said of it.
        drop = drop[examples.splits[drop] != TEST]
        dropped.append(drop)
        findings.append(
            DataFinding(
                check=name,
                label=check.label,
                action=action,
                measures=check.measures,
                share=check.share,
                value=result.value,
                bound=bound,
                found=above,
                why_not=result.why_not,
                suspects=len(result.suspects),
                worst=result.suspects[0].reason if above and result.suspects else "",
                dropped=len(np.unique(drop)),
                advice=check.advice if above else "",
            )
        )
    return Judged(findings, found, np.unique(np.concatenate(dropped)))


def emptied(examples: Examples, dropped: np.ndarray) -> str:
    """Says what the dropped examples leave nothing of, and how to mend that; empty where enough is left to train on."""
    left = np.ones(len(examples.paths), bool)
    left[dropped] = False
    train, val = (left & (examples.splits == split) for split in (TRAIN, VAL))
    had, has = (examples.labels[rows].any(axis=0) for rows in (examples.splits == TRAIN, train))
    gone = [examples.classes[int(column)] for column in np.flatnonzero(had & ~has)]
    what = "val without an example" if not val.any() else ""
    if gone:
        what = f"no example of {', '.join(map(repr, gone))} in train"
    if not what:
        return ""
    return f"data.checks: got `drop`, which leaves {what}; mend the data by hand, or set the check to warn."


def refusal(findings: Sequence[DataFinding]) -> str:
    """Says why the data are refused, a line each, and how to mend that; empty where they are not."""
    return "\n".join(
        f"data.checks.{finding.check}: {finding.sentence} If that is as it should be, raise its bound, or set it to "
        "warn."
        for finding in findings
        if finding.stops
    )
