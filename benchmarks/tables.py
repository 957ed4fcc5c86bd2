"""Figures as text and as files: medians, Markdown tables, the machine that they were measured on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results"


def machine() -> str:
    """What the figures were measured on, as one line."""
    model = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown CPU"
    )
    memory = next((int(line.split()[1]) / 1024**2 for line in _lines("/proc/meminfo") if "MemTotal" in line), 0)
    return (
        f"{len(os.sched_getaffinity(0))} cores of {model}, {memory:.0f} GiB, no GPU used, {platform.system()}, Python "
        f"{platform.python_version()}, TensorFlow {metadata.version('tensorflow')}, {date.today():%Y-%m-%d}, "
        f"load average at the start {os.getloadavg()[0]:.1f}"
    )


def spread(values: Iterable[float], digits: int = 3) -> str:
    """`median (least - largest)`."""
    values = list(values)
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} - {max(values):.{digits}f})"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def earlier(name: str, empty: Any) -> Any:
    """Reads what an earlier run left in `results/<name>.json`, to go on from; `empty` where there is none."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text()) if file.is_file() else empty


def is_done(runs: list[dict], **facts: Any) -> bool:
    """Says whether a run with these facts is among those that were kept."""
    return any(all(run.get(name) == value for name, value in facts.items()) for run in runs)


def save(name: str, text: str, figures: Any) -> None:
    """Writes `results/<name>.md` and `results/<name>.json`."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text + "\n")
    (RESULTS / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).is_file() else []
