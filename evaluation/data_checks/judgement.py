"""Makes the chosen checks, holds what they found against their bounds, and says what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.data_checks import CHECKS
from evaluation.data_checks.check import TEST, Examples, Found
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


def refusal(findings: Sequence[DataFinding]) -> str:
    """Says why the data are refused, a line each, and how to mend that; empty where they are not."""
    return "\n".join(
        f"data.checks.{finding.check}: {finding.sentence} If that is as it should be, raise its bound, or set it to "
        "warn."
        for finding in findings
        if finding.stops
    )
