"""Every part of the pipeline knows every task."""

from __future__ import annotations

import copy
import json

import pytest

from finetune.config import AugmentationConfig, Config, TrainingConfig
from finetune.config.keys import set_at
from finetune.errors import RunError
from pipeline.tasks import TASK_TABLES, check_champion, task_fits, task_problems
from registry.versions import FACTS_FILE


def test_no_part_lacks_a_task():
    for name in set().union(*TASK_TABLES.values()):
        assert task_problems(name, TASK_TABLES) == []


def test_a_task_that_nobody_knows():
    (problem,) = task_fits({"task": "multi_lable"})
    assert problem == (
        "task: got 'multi_lable'; expected one of detection, multi_label, segmentation, single_label. Did you mean "
        "'multi_label'?"
    )


def test_a_task_that_one_part_lacks():
    tables = {"one.tasks": ["here", "there"], "two.tasks": ["here"]}
    assert task_problems("there", tables) == ["task: got 'there', which two.tasks lacks; expected an entry beside here"]


def test_the_data_section_must_go_with_the_task():
    (problem,) = task_fits({"data": {"label_separator": "|"}})
    assert problem.startswith("data.label_separator: got '|'; single_label")
    assert task_fits({"task": "multi_label", "data": {"label_separator": ";"}}) == []


def test_a_champion_of_another_task_is_refused(tmp_path):
    config = Config.model_validate(
        {
            "name": "moods",
            "task": "multi_label",
            "output_dir": str(tmp_path),
            "data": {"root": "moods.csv"},
            "backbone": {"name": "GloVe", "weights": "words.txt"},
        }
    )
    check_champion(config)
    facts = tmp_path / "pushed" / "3" / FACTS_FILE
    facts.parent.mkdir(parents=True)
    facts.write_text(json.dumps({"task": "multi_label"}))
    check_champion(config)
    facts.write_text(json.dumps({"backbone": {}}))
    with pytest.raises(RunError, match=r"task: got 'multi_label', and '.*/pushed/3', .* is of task 'single_label'"):
        check_champion(config)


BOXES = {
    "task": "detection",
    "data": {"root": "cells", "manifest": "coco.json"},
    "evaluation": {"gates": [{"metric": "box_map_50", "min": 0.5}]},
}


def test_a_config_of_boxes_fits_as_it_is_and_with_its_defaults_written_out():
    assert task_fits(BOXES) == []
    training = TrainingConfig().model_dump(mode="json")
    augmentation = AugmentationConfig(horizontal_flip=True).model_dump(mode="json")
    assert task_fits({**BOXES, "training": training, "augmentation": augmentation}) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.strategy", "auto"),
        ("training.start_from", "champion"),
        ("training.head", {"units": [64]}),
        ("training.label_smoothing", 0.1),
        ("training.class_weights", "balanced"),
        ("training.calibration", "temperature"),
        ("training.test_time_augmentation", "flip"),
        ("training.peft", "lora"),
        ("training.frozen_features.cache", "on"),
        ("tuning.space", {"training.seed": [1, 2]}),
        ("evaluation.costs", {"a": {"b": 2}}),
        ("evaluation.baselines", ["logistic_regression"]),
        ("augmentation.rotation", 0.1),
        ("augmentation.mixup", 0.2),
    ],
)
def test_what_boxes_do_not_go_with_is_told_with_its_key(key, value):
    raw = copy.deepcopy(BOXES)
    set_at(raw, key, value)
    (problem,) = task_fits(raw)
    assert problem.startswith(f"{key}: got {value!r}; with task detection expected ")


def test_so_is_what_a_phase_of_its_own_asks_for():
    phases = [{"name": "head", "augmentation": {"zoom": 0.1}, "regularizers": {"dropout": 0.5}}]
    problems = task_fits({**BOXES, "training": {"phases": phases}})
    assert sorted(problem.partition(":")[0] for problem in problems) == [
        "training.phases[0].augmentation.zoom",
        "training.phases[0].regularizers",
    ]


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_of_parts_of_a_picture_no_linear_model_is_trained_where_nobody_names_one(task, load):
    backbone = {"name": "MobileNetV2", "weights": "random", "image_size": 64}
    data = {"root": "cells", **({"manifest": "coco.json"} if task == "detection" else {})}
    raw = {"name": "x", "task": task, "data": data, "backbone": backbone}
    assert task_fits(raw) == []
    assert load(raw).evaluation.baselines == ["majority"]
    assert load({**raw, "evaluation": {"baselines": []}}).evaluation.baselines == []
    assert load({**raw, "task": "multi_label"}).evaluation.baselines == ["majority", "logistic_regression"]


MASKS = {
    "task": "segmentation",
    "data": {"root": "cells"},
    "evaluation": {"baselines": ["majority"], "gates": [{"metric": "mean_iou", "min": 0.5}]},
}


def test_a_config_of_masks_fits_with_what_moves_them_along():
    moving = AugmentationConfig(horizontal_flip=True, rotation=0.1, zoom=0.1, shift=0.1, random_resized_crop=0.5)
    assert task_fits({**MASKS, "augmentation": moving.model_dump(mode="json")}) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.strategy", "auto"),
        ("training.start_from", "champion"),
        ("training.class_weights", "balanced"),
        ("training.peft", "lora"),
        ("training.distillation", {"teacher": "runs/big/pushed"}),
        ("tuning.space", {"training.seed": [1, 2]}),
        ("evaluation.baselines", ["logistic_regression"]),
        ("augmentation.random_erasing", 0.1),
        ("augmentation.cutmix", 0.2),
    ],
)
def test_what_masks_do_not_go_with_is_told_with_its_key(key, value):
    raw = copy.deepcopy(MASKS)
    set_at(raw, key, value)
    (problem,) = task_fits(raw)
    assert problem.startswith(f"{key}: got {value!r}; with task segmentation expected ")
