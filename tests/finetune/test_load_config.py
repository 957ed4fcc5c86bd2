"""Configs: every mistake at once, each with key, received and expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune.config import STRATEGIES, load_config
from finetune.config.evaluation import GateConfig
from finetune.errors import ConfigError

GOOD = {"name": "birds", "data": {"root": "birds"}, "backbone": {"name": "MobileNetV2", "weights": "random"}}


def test_defaults_are_the_usual_two_phases(load):
    config = load(GOOD)
    assert [(p.name, p.unfreeze.last_layers, p.epochs, p.learning_rate) for p in config.training.phases] == [
        ("head", 0, 10, 1e-3),
        ("fine_tune", 10, 20, 1e-5),
    ]
    assert config.training.batch_size == 32
    assert config.output_path == Path("runs/birds").absolute()
    assert config.push_path == Path("runs/birds/pushed").absolute()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"text_columns": ["a"]}, "data.text_columns: "),
        ({"text_columns": ["a", "b"], "text_column": "c"}, "`text_column` (c) is one text a row"),
        ({"text_columns": ["a", "b"], "columns": ["a", "label"]}, "b among them"),
    ],
)
def test_pairs_of_texts_have_two_columns(problems, data, message):
    assert message in problems({**GOOD, "data": {"root": "x", "layout": "table", **data}})[0]


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
def test_splits_that_cannot_be(problems, splits, message):
    assert message in problems({**GOOD, "data": {"root": "x", "splits": splits}})[0]


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
def test_unfreeze_that_means_nothing(problems, unfreeze):
    phase = {"name": "a", "epochs": 1, "learning_rate": 1e-3, "unfreeze": unfreeze}
    assert "unfreeze" in problems({**GOOD, "training": {"phases": [phase]}})[0]


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
def test_phases_that_cannot_be(problems, keys, message):
    phase = {"name": "a", "epochs": 1, "learning_rate": 1e-3, **keys}
    assert message in problems({**GOOD, "training": {"phases": [phase]}})[0]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_are_phases_by_name_and_phases_of_ones_own_win(load, strategy):
    assert load({**GOOD, "training": {"strategy": strategy}}).training.phases == list(STRATEGIES[strategy].phases)
    own = {"strategy": strategy, "phases": [{"name": "own", "epochs": 1, "learning_rate": 0.1}]}
    assert [phase.name for phase in load({**GOOD, "training": own}).training.phases] == ["own"]


def test_auto_leaves_the_phases_to_the_trainer(load, problems):
    config = load({**GOOD, "training": {"strategy": "auto"}})
    assert config.training.phases == []
    assert load(config.to_yaml()) == config
    assert "at least one" in problems({**GOOD, "training": {"phases": []}})[0]
    baseline = {"training": {"strategy": "auto"}, "evaluation": {"baselines": ["from_scratch"]}}
    assert "which strategy `auto` does not know" in problems({**GOOD, **baseline})[0]
    assert "Did you mean 'gradual'?" in problems({**GOOD, "training": {"strategy": "gradul"}})[0]


def test_auto_begins_with_a_fitted_head_and_uses_all_data(load, problems):
    training = load({**GOOD, "training": {"strategy": "auto", "head": {"l2": 0.1}}}).training
    assert (training.head.start, training.head.units, training.head.dropout, training.head.l2) == ("fitted", [], 0, 0.1)
    assert (training.refit, training.calibration) == (True, "temperature")
    assert training.test_time_augmentation == "measured"
    other = {"strategy": "auto", "refit": False, "calibration": "none"}
    assert not load({**GOOD, "training": other}).training.refit
    explicit = load(GOOD).training
    assert (explicit.head.start, explicit.refit, explicit.calibration) == ("random", False, "none")
    assert explicit.test_time_augmentation == "none"
    (problem,) = problems({**GOOD, "training": {"strategy": "auto", "head": {"units": [64]}}})
    assert problem.startswith("training.head: got") or "units: got [64]" in problem
    assert "expected `units: []`" in problem
    (problem,) = problems({**GOOD, "training": {"strategy": "auto", "head": {"start": "random"}}})
    assert "`strategy: auto` begins with a fitted head" in problem
    (problem,) = problems({**GOOD, "training": {"similarity": "different"}})
    assert problem == (
        "training.similarity: removed; `training.strategy: auto` measures what it was told by it; leave it out"
    )


def test_one_loss_at_a_time_and_durations_that_a_baseline_can_add_up(problems):
    both = {**GOOD, "training": {"label_smoothing": 0.1, "focal_gamma": 2}}
    assert "at most one of `label_smoothing` and `focal_gamma`" in problems(both)[0]
    phases = [{"name": unit, unit: 5, "learning_rate": 1e-3} for unit in ("steps", "epochs")]
    mixed = {**GOOD, "training": {"phases": phases}, "evaluation": {"baselines": ["from_scratch"]}}
    assert "these have epochs and steps" in problems(mixed)[0]


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
def test_overrides_that_cannot_be_applied(problems, override, message):
    assert message in "\n".join(problems(GOOD, override))


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
def test_files_that_are_no_config(problems, text, message):
    assert message in problems(text)[0]


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


def test_gates_must_differ(problems):
    gate = {"metric": "accuracy", "min": 0.5}
    assert "twice: accuracy >= 0.5" in problems({**GOOD, "evaluation": {"gates": [gate, gate]}})[0]
    assert "at least one gate" in problems({**GOOD, "evaluation": {"gates": []}})[0]


@pytest.mark.parametrize(
    ("gate", "problem"),
    [
        ({"metric": "loss", "compare": "ratio"}, "expected `relative_to` beside a ratio"),
        ({"metric": "loss", "refuse_when": "disproven"}, "expected `confidence` beside it"),
        ({"metric": "loss", "relative_to": "from_scratch"}, "expected from_scratch to be listed in `baselines`"),
        ({"metric": "loss", "slice": {"site": "a"}}, "got a slice by site; expected label or one of data.slice_col"),
    ],
)
def test_a_gate_that_cannot_be_judged_is_a_mistake_in_the_config(problems, gate, problem):
    assert problem in problems({**GOOD, "evaluation": {"gates": [{"min": 0.5, **gate}]}})[0]


def test_a_teacher_to_compare_with_is_one_to_learn_from(load, problems):
    judged = {"evaluation": {"baselines": ["majority", "teacher"]}}
    assert "got `teacher`; expected training.distillation, which names one" in problems({**GOOD, **judged})[0]
    taught = {"training": {"distillation": {"teacher": "~/pushed/3"}}}
    assert load({**GOOD, **judged, **taught}).training.distillation.teacher == str(Path("~/pushed/3").expanduser())
    wrong = {"training": {"distillation": {"teacher": "pushed/3", "weight": 0}}}
    assert "training.distillation.weight: got 0" in problems({**GOOD, **wrong})[0]


def test_slices_of_the_report_are_columns_or_crosses_of_two(load, problems):
    assert load(GOOD).evaluation.report_slices(["site"]) == [["label"], ["site"]]
    assert "got a slice by sites" in problems({**GOOD, "evaluation": {"slices": [["label", "sites"]]}})[0]
    for columns in ([], ["label", "label"], ["a", "b", "c"]):
        found = problems({**GOOD, "evaluation": {"slices": [columns]}})[0]
        assert "expected one column or two different ones" in found


def test_a_config_survives_its_own_yaml(load):
    config = load(GOOD, "training.phases=[{name: a, epochs: 1, learning_rate: 0.1, unfreeze: all}]")
    assert load(config.to_yaml()) == config


def test_where_data_come_in_spans_each_candidate_is_judged_as_if_it_were_the_first(load):
    spans = {**GOOD, "data": {"root": "store/{SPAN}"}}
    assert load(GOOD).evaluation.promotion_risk == 0.05
    assert load(spans).evaluation.promotion_risk is None
    assert load(spans, "evaluation.promotion_risk=0.01").evaluation.promotion_risk == 0.01
    assert load(spans, "evaluation.mode=report_only").evaluation.promotion_risk is None
