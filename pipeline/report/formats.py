"""How numbers, names and lists are written, in the console and in the HTML report alike."""

from __future__ import annotations

import math
import re

from evaluation.metrics import METRICS

MISSING = "n/a"
MATRIX_LETTERS = 24


def as_number(value: object) -> float | None:
    """`value` as a float (it may be NaN or infinite), or None when it is not a number at all."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def finite(value: object) -> float | None:
    """`value` as a finite float, or None."""
    found = as_number(value)
    return found if found is not None and math.isfinite(found) else None


def number(value: object, digits: int = 3) -> str:
    """A metric or loss: `0.913`, `4.2e-05`, `12,345`, `nan`; `n/a` when there is none."""
    found = as_number(value)
    if found is None:
        return MISSING
    if abs(found) < 1e-12:
        # What is left over where numbers cancel out.
        found = 0.0
    if 0 < abs(found) < 0.5 * 10**-digits:
        return f"{found:.2g}"
    if 10_000 <= abs(found) < math.inf:
        return f"{found:,.0f}"
    return f"{found:.{digits}f}"


def value_and_bound(value: object, bound: object) -> tuple[str, str]:
    """Both numbers with enough digits to tell them apart, so that 0.8497 never reads as `0.850` beside `0.850`."""
    for digits in (3, 4, 5, 6):
        texts = number(value, digits), number(bound, digits)
        if texts[0] != texts[1] or as_number(value) == as_number(bound):
            break
    return texts


def count(value: object) -> str:
    """A whole number with thousands separators, or `n/a`."""
    found = finite(value)
    return MISSING if found is None else f"{found:,.0f}"


def short_count(value: object) -> str:
    """A parameter count in about four characters: `6.4 k`, `2.26 M`, `1.10 B`."""
    found = finite(value)
    if found is None:
        return MISSING
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(found) >= size:
            return f"{found / size:.3g} {unit}"
    return f"{found:.0f}"


def percent(share: object) -> str:
    """A share of one as a percentage: `4.2%`, `57%`."""
    found = finite(share)
    if found is None:
        return MISSING
    return f"{found * 100:.1f}%" if 0 < found < 0.1 else f"{found * 100:.0f}%"


def duration(seconds: object) -> str:
    """`2.1 s`, `42 s`, `3 min 12 s`, `1 h 04 min`."""
    found = finite(seconds)
    if found is None:
        return MISSING
    if found < 9.95:
        return f"{max(found, 0):.1f} s"
    whole = round(found)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def label(name: object) -> str:
    """The name of a metric or a baseline as people write it: `macro F1`, `from scratch`."""
    metric = METRICS.get(str(name))
    return metric.label if metric else str(name).replace("_", " ")


def typeset(name: object) -> str:
    """A gate's name as it is printed, with the signs of mathematics for `>=`, `<=` and `-`."""
    text = str(name).replace(">=", "≥").replace("<=", "≤").replace(" - ", " − ")
    return re.sub(r"(?<=[≥≤] )-(?=\d)", "−", text)


def plural(amount: int, noun: str) -> str:
    """`1 gate`, `3 gates`, `2 classes`."""
    ending = "" if amount == 1 else "es" if noun.endswith("s") else "s"
    return f"{amount:,} {noun}{ending}"


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of `metric` is the better one; of a metric that is no longer known, it is not."""
    return metric in METRICS and not METRICS[metric].higher_is_better


def shortened(name: str) -> str:
    """The name of a class beside the matrix: a longer one would push the numbers off the page."""
    return name if len(name) <= MATRIX_LETTERS else f"{name[: MATRIX_LETTERS - 1]}…"


def listing(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def rounded(amount: int) -> str:
    """A number that is only roughly known, with two digits: `2,300`."""
    digits = max(len(str(amount)) - 2, 0)
    return f"{round(amount, -digits):,}"


def shown(value: object) -> str:
    """A value of a key, with numbers to three digits."""
    is_number = isinstance(value, float) and not isinstance(value, bool)
    return f"{value:.3g}" if is_number else str(value)
