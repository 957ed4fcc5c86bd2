"""Configs beside what stands on the ground: checks of the floors above, plan, recipes, reference."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from evaluation.checks import gates_can_be_measured
from finetune.config import STRATEGIES, load_config
from pipeline.checks import LOCAL_CHECKS, backbone_fits, files_exist, modality_fits
from pipeline.plan import print_plan
from trainer_module.search.candidates import PICTURES

ROOT = Path(__file__).parents[2]
GOOD = {"name": "birds", "data": {"root": "birds"}, "backbone": {"name": "MobileNetV2", "weights": "random"}}


@pytest.mark.parametrize("task", [["detection"], {"detection": None}, None, 3], ids=str)
def test_a_task_that_is_no_text_is_reported_by_every_check_alike(task, problems):
    evaluation = {"source_task": "digits", "gates": [{"metric": "accuracy", "min": 0.5}], "threshold": "f1"}
    found = problems(
        {**GOOD, "task": task, "tuning": {"metric": "loss"}, "evaluation": evaluation}, checks=LOCAL_CHECKS
    )
    assert f"task: got {task!r}; expected a valid string" in found


def test_all_mistakes_are_reported_at_once(problems):
    bad = {
        "name": "Birds!",
        "data": {"rot": "x", "splits": {"train": 0.5, "val": 0.2, "test": 0.2}},
        "backbone": {"name": "MobileNetV2", "weights": "random", "arguments": {"pooling": "avg"}},
        "training": {"phases": [{"name": "head", "epochs": "ten", "learning_rate": 0}]},
        "evaluation": {"gates": [{"metric": "acuracy", "min": 0.5}, {"metric": "loss"}]},
        "distribution": {"strategy": "mirored"},
    }
    found = "\n".join(problems(bad, "training.seed=x", "nonsense", checks=[gates_can_be_measured]))
    for expected in (
        "name: got 'Birds!'; expected string should match pattern",
        "data.root: missing; expected folder of pictures or of sounds",
        "data.rot: unknown key; expected one of root, window,",
        "Did you mean 'root'?",
        "data.splits: got {'train': 0.5, 'val': 0.2, 'test': 0.2}; expected fractions that add up to 1",
        "backbone.arguments: got {'pooling': 'avg'}; pooling is set by the pipeline",
        "training.phases[0].epochs: got 'ten'; expected a valid integer",
        "training.phases[0].learning_rate: got 0; expected greater than 0",
        "evaluation.gates[0].metric: got 'acuracy'; expected one of accuracy, macro_f1, weighted_f1,",
        "Did you mean 'accuracy'?",
        "evaluation.gates[1]: got {'metric': 'loss'}; expected exactly one of `min` and `max`",
        "distribution.strategy: got 'mirored';",
        "Did you mean 'mirrored'?",
        "training.seed: got 'x'; expected a valid integer",
        "'nonsense': expected key=value",
    ):
        assert expected in found


@pytest.mark.parametrize("strategy", [*STRATEGIES, "auto"])
def test_the_plan_prints_the_phases_of_every_strategy(load, strategy):
    out = io.StringIO()
    print_plan(load({**GOOD, "training": {"strategy": strategy}}), Console(file=out, width=200))
    phases = STRATEGIES[strategy].phases if strategy != "auto" else [one for each in PICTURES for one in each.phases]
    for phase in phases:
        assert phase.name in out.getvalue()
    if strategy == "discriminative":
        assert "0.0001, cosine after 2 epochs of warm-up, x 0.38 a block" in out.getvalue()


def test_a_handle_has_every_baseline_but_from_scratch(load, problems):
    encoder = {**GOOD, "backbone": {"handle": "encoder", "image_size": 8}, "training": {"strategy": "linear_probe"}}
    for baselines in (["majority"], ["logistic_regression"], []):
        load({**encoder, "evaluation": {"baselines": baselines}}, checks=[backbone_fits])
    problem = problems({**encoder, "evaluation": {"baselines": ["from_scratch"]}}, checks=[backbone_fits])[0]
    assert problem.startswith("evaluation.baselines: `from_scratch`")


def test_a_teacher_is_the_folder_of_a_saved_model_and_teaches_pictures_without_labels_alone(problems, tmp_path):
    (tmp_path / "birds" / "a").mkdir(parents=True)
    (tmp_path / "pushed" / "3").mkdir(parents=True)
    (tmp_path / "pushed" / "3" / "saved_model.pb").touch()

    def found(backbone=GOOD["backbone"], **taught) -> list[str]:
        data = {"root": str(tmp_path / "birds")}
        raw = {**GOOD, "data": data, "backbone": backbone, "training": {"distillation": taught}}
        return [each for each in problems(raw, checks=[files_exist, modality_fits]) if "distillation" in each]

    (unversioned,) = found(teacher=str(tmp_path / "pushed"))
    assert unversioned.startswith(
        f"training.distillation.teacher: got {str(tmp_path / 'pushed')!r}, which is a folder wi"
    )
    assert unversioned.endswith(f"Did you mean {str(tmp_path / 'pushed' / '3')!r}?")
    missing = found(teacher="elsewhere", unlabelled="nowhere")
    assert [each.split(", which is ")[1].split(";")[0] for each in missing] == ["not a folder here"] * 2
    (of_texts,) = found({"name": "GloVe", "weights": "random"}, teacher="champion", unlabelled=str(tmp_path))
    assert of_texts.startswith("training.distillation.unlabelled: got ")
    assert "is shown texts" in of_texts


def test_the_plan_names_who_teaches(load):
    out = io.StringIO()
    taught = {"teacher": "champion", "temperature": 3, "weight": 0.5, "unlabelled": "more"}
    config = load({**GOOD, "training": {"distillation": taught}})
    print_plan(config, Console(file=out, width=200))
    assert "TeacherResolver > Teacher > Trainer" in out.getvalue()
    said = "teacher    champion, temperature 3, 50% of the loss; pictures without labels in more"
    assert said in out.getvalue()


def test_checks_add_their_problems_to_the_others(problems):
    bad = {**GOOD, "backbone": {"name": "mobilnet_v2", "weights": "absent.h5"}, "sed": 1}
    found = "\n".join(problems(bad, checks=[backbone_fits, files_exist]))
    assert "backbone.name: got 'mobilnet_v2';" in found
    assert "Did you mean 'MobileNetV2'?" in found
    assert "data.root: got 'birds', which is not a folder here" in found
    assert "backbone.weights: got 'absent.h5', which is not a file here" in found
    assert "sed: unknown key" in found


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_is_valid_and_says_how_it_is_run(path):
    load_config(path, checks=[backbone_fits])
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    for word in ("Run:", "Takes:", "Expect:"):
        assert any(word in line for line in header), f"{path.name} lacks the line {word}"


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_reading_a_config_imports_neither_tensorflow_nor_tfx(tmp_path, command):
    (tmp_path / "birds").mkdir()
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**GOOD, "data": {"root": str(tmp_path / "birds")}}))
    code = (
        "import sys; from finetune_cli.main import app; app(sys.argv[1:], standalone_mode=False); "
        "print(sorted({'tensorflow', 'tfx', 'apache_beam', 'tf_keras', 'matplotlib'} & set(sys.modules)))"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code, command, str(path)], capture_output=True, text=True, check=True)
    print(f"{command}: {time.monotonic() - start:.2f} s")
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_reference_in_the_docs_is_the_one_of_the_code():
    from finetune_cli.reference import config_reference

    assert (ROOT / "docs" / "config.md").read_text() == config_reference(), "run `make docs`"
