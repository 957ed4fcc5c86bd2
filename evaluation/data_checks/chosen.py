"""Which checks a config makes, with what actions and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluation.data_checks import CHECKS
from finetune.config.data import ActiveAction, CheckConfig
from finetune.config.keys import value_at
from finetune.errors import did_you_mean


def chosen_checks(configured: Mapping[str, CheckConfig]) -> dict[str, tuple[ActiveAction, float]]:
    """Returns action and bound of each check that is not off, in the order of the table."""
    chosen: dict[str, tuple[ActiveAction, float]] = {}
    for name, check in CHECKS.items():
        own = configured.get(name, CheckConfig())
        action = own.action or check.action
        if action != "off":
            chosen[name] = (action, check.bound if own.bound is None else own.bound)
    return chosen


def data_checks_exist(raw: dict[str, Any]) -> list[str]:
    """Each check exists, and can do what `data.checks` asks of it."""
    configured = value_at(raw, "data.checks")
    problems = []
    for name, value in configured.items() if isinstance(configured, dict) else ():
        check = CHECKS.get(str(name))
        if check is None:
            expected = f"no such check; expected one of {', '.join(CHECKS)}."
            problems.append(f"data.checks.{name}: {expected}{did_you_mean(str(name), CHECKS)}")
        elif not check.drops and "drop" in (value, value.get("action") if isinstance(value, dict) else None):
            problems.append(
                f"data.checks.{name}: got 'drop'; it is about the data as a whole and names no example to leave out. "
                "Expected off, warn or stop"
            )
    return problems
