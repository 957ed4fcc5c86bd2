"""The tables that say what a task is, one for each part of the pipeline that it concerns; whether they are whole."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from components.bulk_inferrer.tasks import TASKS as INFERRER_TASKS
from components.evaluator.tasks import TASKS as EVALUATOR_TASKS
from components.example_gen.tasks import TASKS as INGEST_TASKS
from components.serving_gate.tasks import TASKS as SERVED_TASKS
from evaluation.predictions import SINGLE_LABEL
from evaluation.tasks import TASKS as EVALUATION_TASKS
from finetune.config import STRATEGIES, AugmentationConfig, Config, EvaluationConfig, TrainingConfig
from finetune.config.head import RegularizersConfig
from finetune.config.keys import value_at
from finetune.config.strategies import AUTO
from finetune.errors import RunError, did_you_mean
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
    name = raw.get("task", SINGLE_LABEL)
    if not isinstance(name, str):
        return []
    problems = task_problems(name, TASK_TABLES)
    if problems:
        return problems
    data = raw["data"] if isinstance(raw.get("data"), dict) else {}
    masks = []
    if data.get("layout") == "masks" and not INGEST_TASKS[name].has_masks:
        masks = [f"data.layout: got 'masks', and task {name} reads none; expected task segmentation, or another layout"]
    return [*INGEST_TASKS[name].problems(data), *masks, *refused(raw, name)]


def refused(raw: dict[str, Any], name: str) -> list[str]:
    """Says what a raw config asks of training and evaluation that a task does not have, phase by phase."""
    keys = TRAINING_TASKS[name].refused
    phases = value_at(raw, "training.phases")
    places = {key: key for key in keys if not key.startswith(_OF_PHASES)}
    for index in range(len(phases) if isinstance(phases, list) else 0):
        of_phase = f"training.phases[{index}]."
        places |= {of_phase + key.removeprefix(_OF_PHASES): key for key in keys if key.startswith(_OF_PHASES)}
        places |= {of_phase + key: key for key in keys if key.startswith("augmentation.")}
    return [
        f"{place}: got {value!r}; with task {name} expected {keys[key]}"
        for place, key in places.items()
        if (value := value_at(_with_baselines(raw), place)) not in (None, False, {}, [], 0, "none", *_harmless(key))
    ]


# What each phase may say, in the keys that tasks refuse.
_OF_PHASES = "training.phases."
# Lists of baselines of which each answers as the task does.
_UNTRAINED: tuple[list[str], ...] = (
    [],
    ["majority"],
    ["from_scratch"],
    ["majority", "from_scratch"],
    ["from_scratch", "majority"],
)


def _with_baselines(raw: dict[str, Any]) -> dict[str, Any]:
    """Returns the config with the baselines that it has where it names none."""
    try:
        evaluation = EvaluationConfig.model_validate(raw.get("evaluation", {}))
    except ValidationError:  # Which `load_config` reports.
        return raw
    return {**raw, "evaluation": {**raw.get("evaluation", {}), "baselines": list(evaluation.baselines)}}


def _harmless(key: str) -> list[Any]:
    """Values of a refused key that ask for nothing: its default, and those that are not what is refused."""
    if key == "training.strategy":
        return [strategy for strategy in STRATEGIES if strategy != AUTO]
    if key == "evaluation.baselines":
        return list(_UNTRAINED)
    if key.startswith(_OF_PHASES):
        return [RegularizersConfig().model_dump(mode="json")]
    sections = {"training": TrainingConfig(), "augmentation": AugmentationConfig(), "evaluation": EvaluationConfig()}
    return [value_at({section: model.model_dump(mode="json") for section, model in sections.items()}, key)]


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
