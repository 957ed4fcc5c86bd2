"""Configs: every mistake at once, each with key, received and expected."""

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
from finetune.config import STRATEGIES, Config, load_config
from finetune.config.evaluation import GateConfig
from finetune.errors import ConfigError
from pipeline.checks import backbone_fits, files_exist
from pipeline.plan import print_plan

ROOT = Path(__file__).parents[2]
GOOD = {"name": "birds", "data": {"root": "birds"}, "backbone": {"name": "MobileNetV2", "weights": "random"}}


@pytest.fixture
def load(tmp_path):
    def load(config: dict | str, *overrides: str, checks=()) -> Config:
        path = tmp_path / "config.yaml"
        path.write_text(config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False))
        return load_config(path, overrides, checks)

    return load


def problems(load, config, *overrides, checks=()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(config, *overrides, checks=checks)
    assert caught.value.exit_code == 2
    return caught.value.problems


def test_defaults_are_the_usual_two_phases(load):
    config = load(GOOD)
    assert [(p.name, p.unfreeze.last_layers, p.epochs, p.learning_rate) for p in config.training.phases] == [
        ("head", 0, 10, 1e-3),
        ("fine_tune", 10, 20, 1e-5),
    ]
    assert config.training.batch_size == 32
    assert config.output_path == Path("runs/birds").absolute()
    assert config.push_path == Path("runs/birds/pushed").absolute()


def test_all_mistakes_are_reported_at_once(load):
    bad = {
        "name": "Birds!",
        "data": {"rot": "x", "splits": {"train": 0.5, "val": 0.2, "test": 0.2}},
        "backbone": {"name": "MobileNetV2", "weights": "random", "arguments": {"pooling": "avg"}},
        "training": {"phases": [{"name": "head", "epochs": "ten", "learning_rate": 0}]},
        "evaluation": {"gates": [{"metric": "acuracy", "min": 0.5}, {"metric": "loss"}]},
        "distribution": {"strategy": "mirored"},
    }
    found = "\n".join(problems(load, bad, "training.seed=x", "nonsense", checks=[gates_can_be_measured]))
    for expected in (
        "name: got 'Birds!'; expected string should match pattern",
        "data.root: missing; expected folder of images",
        "data.rot: unknown key; expected one of root, layout,",
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


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": "train", "val": 1.5, "test": "val"}, "a fraction between 0 and 1"),
        ({"train": 0.7, "val": 0.3}, "missing: test"),
        ({"train": 0.7, "val": 0.15, "test": "test"}, "expected `train` to name a folder"),
        ({"train": "a", "val": 0.6, "test": 0.5}, "leave some of it"),
        ({"train": "", "val": 0.6, "test": 0.5}, "the name of a folder"),
    ],
)
def test_splits_that_cannot_be(load, splits, message):
    assert message in problems(load, {**GOOD, "data": {"root": "x", "splits": splits}})[0]


@pytest.mark.parametrize(("unfreeze", "expected"), [("none", 0), ("all", "all"), ({"last_layers": 4}, 4), (None, 0)])
def test_unfreeze_is_written_in_words_or_as_a_count(load, unfreeze, expected):
    phase = {"name": "a", "epochs": 1, "learning_rate": 1e-3, "unfreeze": unfreeze}
    assert load({**GOOD, "training": {"phases": [phase]}}).training.phases[0].unfreeze.last_layers == expected


@pytest.mark.parametrize(
    "unfreeze",
    [
        "some",
        4,
        {"last_layers": -1},
        {"last_layer": 2},
        ["all"],
        {"last_blocks": 0},
        {"fraction": 1.5},
        {"variables": "("},
        {"last_blocks": 1, "fraction": 0.5},
        {"last_layers": "all", "from_layer": "block_1"},
    ],
)
def test_unfreeze_that_means_nothing(load, unfreeze):
    phase = {"name": "a", "epochs": 1, "learning_rate": 1e-3, "unfreeze": unfreeze}
    assert "unfreeze" in problems(load, {**GOOD, "training": {"phases": [phase]}})[0]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"epochs": 0}, "epochs: got 0; expected greater than or equal to 1"),
        ({"epochs": None}, "expected exactly one of `epochs`, `steps` and `examples`"),
        ({"steps": 5}, "expected exactly one of `epochs`, `steps` and `examples`"),
        ({"optimizer": "adamm"}, "Did you mean 'adam'?"),
        ({"optimizer": {"clipnorm": 1.0, "clipvalue": 0.5}}, "expected at most one of `clipnorm`, `clipvalue`"),
        ({"schedule": {"name": "cosine", "warmup_epochs": 1}}, "warmup_epochs: expected less than the 1 epochs"),
        ({"block_rate_factor": 2}, "block_rate_factor: got 2; expected less than or equal to 1"),
    ],
)
def test_phases_that_cannot_be(load, keys, message):
    phase = {"name": "a", "epochs": 1, "learning_rate": 1e-3, **keys}
    assert message in problems(load, {**GOOD, "training": {"phases": [phase]}})[0]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_are_phases_by_name_and_phases_of_ones_own_win(load, strategy):
    assert load({**GOOD, "training": {"strategy": strategy}}).training.phases == list(STRATEGIES[strategy].phases)
    own = {"strategy": strategy, "phases": [{"name": "own", "epochs": 1, "learning_rate": 0.1}]}
    assert [phase.name for phase in load({**GOOD, "training": own}).training.phases] == ["own"]


def test_auto_leaves_the_phases_to_the_trainer(load):
    config = load({**GOOD, "training": {"strategy": "auto"}})
    assert config.training.phases == []
    assert load(config.to_yaml()) == config
    assert "at least one" in problems(load, {**GOOD, "training": {"phases": []}})[0]
    baseline = {"training": {"strategy": "auto"}, "evaluation": {"baselines": ["from_scratch"]}}
    assert "which strategy `auto` does not know" in problems(load, {**GOOD, **baseline})[0]
    assert "Did you mean 'gradual'?" in problems(load, {**GOOD, "training": {"strategy": "gradul"}})[0]


@pytest.mark.parametrize("strategy", [*STRATEGIES, "auto"])
def test_the_plan_prints_the_phases_of_every_strategy(load, strategy):
    out = io.StringIO()
    print_plan(load({**GOOD, "training": {"strategy": strategy}}), Console(file=out, width=200))
    rule = "fewer than 20 examples a class: linear_probe"
    for expected in [phase.name for phase in STRATEGIES[strategy].phases] if strategy != "auto" else [rule]:
        assert expected in out.getvalue()
    if strategy == "discriminative":
        assert "0.0001, cosine after 2 epochs of warm-up, x 0.38 a block" in out.getvalue()


def test_one_loss_at_a_time_and_durations_that_a_baseline_can_add_up(load):
    both = {**GOOD, "training": {"label_smoothing": 0.1, "focal_gamma": 2}}
    assert "at most one of `label_smoothing` and `focal_gamma`" in problems(load, both)[0]
    phases = [{"name": unit, unit: 5, "learning_rate": 1e-3} for unit in ("steps", "epochs")]
    mixed = {**GOOD, "training": {"phases": phases}, "evaluation": {"baselines": ["from_scratch"]}}
    assert "these have epochs and steps" in problems(load, mixed)[0]


def test_a_handle_has_every_baseline_but_from_scratch(load):
    encoder = {**GOOD, "backbone": {"handle": "encoder", "image_size": 8}, "training": {"strategy": "linear_probe"}}
    for baselines in (["majority"], ["logistic_regression"], []):
        load({**encoder, "evaluation": {"baselines": baselines}}, checks=[backbone_fits])
    problem = problems(load, {**encoder, "evaluation": {"baselines": ["from_scratch"]}}, checks=[backbone_fits])[0]
    assert problem.startswith("evaluation.baselines: `from_scratch`")


def test_overrides_reach_sections_lists_and_absent_sections(load):
    phases = [{"name": n, "epochs": 1, "learning_rate": 1e-3} for n in "ab"]
    config = load(
        {**GOOD, "training": {"phases": phases}},
        "training.phases[1].epochs=5",
        "data.root=elsewhere",
        "augmentation.horizontal_flip=true",
        "training.phases[0].learning_rate=1e-4",
        "data.splits={train: 0.8, val: 0.1, test: 0.1}",
    )
    assert [phase.epochs for phase in config.training.phases] == [1, 5]
    assert config.training.phases[0].learning_rate == 1e-4
    assert config.data.root == "elsewhere"
    assert config.augmentation.horizontal_flip
    assert config.data.splits == {"train": 0.8, "val": 0.1, "test": 0.1}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "expected key=value"),
        ("=3", "expected key=value"),
        ("a..b=1", "expected a dotted key"),
        ("training.phases[9].epochs=1", "there is no [9]"),
        ("name.first=x", "which has no keys"),
        ("training.seed=[1", "not valid YAML"),
        ("training.sed=1", "Did you mean 'seed'?"),
    ],
)
def test_overrides_that_cannot_be_applied(load, override, message):
    assert message in "\n".join(problems(load, GOOD, override))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got an empty file"),
        ("- a", "got a list"),
        ("a: [", "not valid YAML"),
        ("name: a\nname: b", "key 'name' stands twice"),
        ("a: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("{[1]: 2}", "not valid YAML"),
    ],
)
def test_files_that_are_no_config(load, text, message):
    assert message in problems(load, text)[0]


def test_a_missing_and_a_binary_file(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "absent.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read as UTF-8"):
        load_config(tmp_path / "binary.yaml")


def test_gates_are_named_after_what_they_ask():
    assert GateConfig(metric="accuracy", min=0.85).name == "accuracy >= 0.85"
    assert GateConfig(metric="loss", max=0.5, slice={"label": "rose"}).name == "loss <= 0.5 on label=rose"
    assert GateConfig(metric="accuracy", min=-0.01, relative_to="champion").name == "accuracy - champion >= -0.01"


def test_gates_must_differ(load):
    gate = {"metric": "accuracy", "min": 0.5}
    assert "twice: accuracy >= 0.5" in problems(load, {**GOOD, "evaluation": {"gates": [gate, gate]}})[0]
    assert "at least one gate" in problems(load, {**GOOD, "evaluation": {"gates": []}})[0]


@pytest.mark.parametrize(
    ("gate", "problem"),
    [
        ({"metric": "loss", "compare": "ratio"}, "expected `relative_to` beside a ratio"),
        ({"metric": "loss", "refuse_when": "disproven"}, "expected `confidence` beside it"),
        ({"metric": "loss", "relative_to": "from_scratch"}, "expected from_scratch to be listed in `baselines`"),
        ({"metric": "loss", "slice": {"site": "a"}}, "got a slice by site; expected label or one of data.slice_col"),
    ],
)
def test_a_gate_that_cannot_be_judged_is_a_mistake_in_the_config(load, gate, problem):
    assert problem in problems(load, {**GOOD, "evaluation": {"gates": [{"min": 0.5, **gate}]}})[0]


def test_slices_of_the_report_are_columns_or_crosses_of_two(load):
    assert load(GOOD).evaluation.report_slices(["site"]) == [["label"], ["site"]]
    assert "got a slice by sites" in problems(load, {**GOOD, "evaluation": {"slices": [["label", "sites"]]}})[0]
    for columns in ([], ["label", "label"], ["a", "b", "c"]):
        found = problems(load, {**GOOD, "evaluation": {"slices": [columns]}})[0]
        assert "expected one column or two different ones" in found


def test_checks_add_their_problems_to_the_others(load):
    bad = {**GOOD, "backbone": {"name": "mobilnet_v2", "weights": "absent.h5"}, "sed": 1}
    found = "\n".join(problems(load, bad, checks=[backbone_fits, files_exist]))
    assert "backbone.name: got 'mobilnet_v2';" in found
    assert "Did you mean 'MobileNetV2'?" in found
    assert "data.root: got 'birds', which is not a folder here" in found
    assert "backbone.weights: got 'absent.h5', which is not a file here" in found
    assert "sed: unknown key" in found


def test_a_config_survives_its_own_yaml(load):
    config = load(GOOD, "training.phases=[{name: a, epochs: 1, learning_rate: 0.1, unfreeze: all}]")
    assert load(config.to_yaml()) == config


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
