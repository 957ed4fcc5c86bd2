"""The contract of `IngestTask`, which every entry of `TASKS` keeps."""

from __future__ import annotations

import hashlib

from components.example_gen.files import FileProblem
from components.example_gen.splits import SplitPlan
from components.example_gen.tasks import IngestTask


def check_task(task: IngestTask, label: str = "a") -> None:
    """Holds a task against what the ingest relies on.

    Args:
        task: What the ingest knows of it.
        label: A cell that names one label.

    Raises:
        AssertionError: The task breaks the contract; the message says how.
    """
    assert task.problems({}) == [], "the defaults of `data` go with every task"
    labels = task.labels_of(label, None)
    assert labels == (label,), f"a name alone is the label, and {label!r} became {labels}"
    for cell in ("two\nlines", "not \udce9 text"):
        try:
            task.labels_of(cell, None)
        except FileProblem:
            continue
        raise AssertionError(f"{cell!r} became a label, and a vocabulary holds one line of UTF-8 for each")

    contents = {hashlib.sha256(bytes([number])).hexdigest(): labels for number in range(100)}
    plan = SplitPlan({}, {"val": 0.2, "test": 0.2}, "salt")
    cut = task.cut(plan, contents, {})
    assert set(cut) == set(contents), "every content has a split, and nothing else has one"
    assert set(cut.values()) == {"train", "val", "test"}, f"100 contents fill {sorted(set(cut.values()))} alone"
    backwards = task.cut(plan, dict(reversed(contents.items())), {})
    assert backwards == cut, "the split of a content depends on the order in which contents come"
    assert set(task.cut(SplitPlan({}, {}), contents, {}).values()) == {"train"}, "with nothing to cut, all is train"
    assert task.cut(plan, {}, {}) == {}, "no content has no split"
    settled = dict.fromkeys(list(contents)[:50], "test")
    assert task.cut(plan, contents, settled).items() >= settled.items(), "what has a split since long has another one"
