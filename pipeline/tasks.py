"""The tables that say what a task is, one for each part of the pipeline that it concerns; whether they are whole."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from components.bulk_inferrer.tasks import TASKS as INFERRER_TASKS
from components.evaluator.tasks import TASKS as EVALUATOR_TASKS
from components.example_gen.tasks import TASKS as INGEST_TASKS
from components.serving_gate.tasks import TASKS as SERVED_TASKS
from evaluation.predictions import SINGLE_LABEL
from evaluation.tasks import TASKS as EVALUATION_TASKS
from evaluation.tasks import task_of
from finetune.config import Config
from finetune.errors import RunError, did_you_mean
from pipeline.refused_keys import refused
from pipeline.report.tasks import TASKS as REPORT_TASKS
from registry.versions import FACTS_FILE, newest_version
from trainer_module.tasks import TASKS as TRAINING_TASKS
from transforms.tasks import TASKS as TRANSFORM_TASKS

# Import path of each table, and what it has for each task.
TASK_TABLES: dict[str, Mapping[str, Any]] = {
    "components.example_gen.tasks": INGEST_TASKS,
    "transforms.tasks": TRANSFORM_TASKS,
    "trainer_module.tasks": TRAINING_TASKS,
    "evaluation.tasks": EVALUATION_TASKS,
    "components.bulk_inferrer.tasks": INFERRER_TASKS,
    "components.evaluator.tasks": EVALUATOR_TASKS,
    "components.serving_gate.tasks": SERVED_TASKS,
    "pipeline.report.tasks": REPORT_TASKS,
}


def task_fits(raw: dict[str, Any]) -> list[str]:
    """Says whether every table has the task of a raw config, and what in the config does not go with it."""
    name = task_of(raw)
    if name is None:
        return []
    problems = task_problems(name, TASK_TABLES)
    if problems:
        return problems
    data = raw["data"] if isinstance(raw.get("data"), dict) else {}
    masks = []
    if data.get("layout") == "masks" and not INGEST_TASKS[name].has_masks:
        masks = [f"data.layout: got 'masks', and task {name} reads none; expected task segmentation, or another layout"]
    return [
        *INGEST_TASKS[name].problems(data),
        *masks,
        *refused(raw, TRAINING_TASKS[name].refused, f"task {name}"),
    ]


def check_champion(config: Config) -> None:
    """Looks at the model that is served: it and the candidate can be compared when both are of one task.

    Raises:
        RunError: It is of another task.
    """
    champion = newest_version(config.push_path)
    facts = champion / FACTS_FILE if champion else None
    if not facts or not facts.is_file():
        return
    # Models of before there were several tasks name none.
    served = json.loads(facts.read_text(encoding="utf-8")).get("task", SINGLE_LABEL)
    if served != config.task:
        raise RunError(
            f"task: got {config.task!r}, and {str(champion)!r}, which is served, is of task {served!r}; the two cannot "
            "be compared. Give the pipeline a new `name` or `output_dir`."
        )


def task_problems(name: str, tables: Mapping[str, Collection[str]]) -> list[str]:
    """Says what speaks against the name of a task: that there is none, or that a table lacks it."""
    known = sorted(set().union(*tables.values()))
    if name not in known:
        return [f"task: got {name!r}; expected one of {', '.join(known)}.{did_you_mean(name, known)}"]
    return [
        f"task: got {name!r}, which {table} lacks; expected an entry beside {', '.join(sorted(entries))}"
        for table, entries in tables.items()
        if name not in entries
    ]
