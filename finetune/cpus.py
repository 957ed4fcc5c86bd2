"""How many processors this process may use, and telling libraries so before they start their threads.

A container that may use two processors of a host with 64 still sees 64: what limits it is a quota of its control group,
which NumPy, TensorFlow and OpenMP do not ask for. Without this they start 64 threads, which wait for each other.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

# Read by TensorFlow (operations beside each other, and within one; tf.data runs on the former), OpenMP, and the two
# libraries of linear algebra under NumPy, SciPy and scikit-learn.
THREAD_VARIABLES = (
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)


@cache
def available() -> int:
    """Returns how many processors this process may use: those that it may be scheduled on, within its quota."""
    return within_quota(len(os.sched_getaffinity(0)), quota())


def limit_threads() -> None:
    """Tells libraries of a quota that they do not see, by variables of the environment that are not set yet.

    It has an effect on what is imported afterwards, and on processes that are started.
    """
    for name, value in thread_limits(len(os.sched_getaffinity(0)), quota()).items():
        os.environ.setdefault(name, value)


def thread_limits(schedulable: int, quota: float | None) -> Mapping[str, str]:
    """Returns the variables to set; none where libraries see for themselves how many processors there are."""
    count = within_quota(schedulable, quota)
    return dict.fromkeys(THREAD_VARIABLES, str(count)) if count < schedulable else {}


def within_quota(schedulable: int, quota: float | None) -> int:
    """Returns how many of the schedulable processors a quota pays for; a part of one counts as one."""
    return schedulable if quota is None else max(min(math.ceil(quota), schedulable), 1)


def quota(root: Path = Path("/")) -> float | None:
    """Returns the processors' worth of time that the control groups of this process allow; None without a limit.

    The tightest limit counts, of the group and of all that it is in. Both forms are read: version 2 (`cpu.max`, one
    tree) and version 1 (`cpu.cfs_quota_us`, a tree for each controller), of which a host may have both.

    Args:
        root: Folder below which `proc` and `sys` lie.
    """
    return min((limit for folder in _folders(root) if (limit := _limit(folder)) is not None), default=None)


def _folders(root: Path) -> Iterator[Path]:
    """Yields the folder of each group that this process is in; one that this container does not see may be missing."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        names = controllers.split(",")
        if controllers and "cpu" not in names:
            continue
        # Version 2 is mounted alone, or beside the trees of version 1.
        for name in (controllers, "cpu") if controllers else ("", "unified"):
            tree = root / "sys/fs/cgroup" / name
            group = Path(path.lstrip("/"))
            yield from (tree / part for part in (group, *group.parents))


def _limit(folder: Path) -> float | None:
    """The processors that a group may use: microseconds of processor time in each period of so many microseconds."""
    both = _text(folder / "cpu.max").split() or [
        *_text(folder / "cpu.cfs_quota_us").split(),
        *_text(folder / "cpu.cfs_period_us").split(),
    ]
    try:
        allowed, period = map(int, both)
    except ValueError:  # no file, or `max`
        return None
    return allowed / period if allowed > 0 and period > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
