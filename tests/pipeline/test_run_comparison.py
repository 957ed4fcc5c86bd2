"""`finetune compare`: what sets two runs apart, from what they left behind."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from components.bulk_inferrer.test_set import FOLDER, save_test_set
from evaluation.evidence import CANDIDATE, TestSet
from finetune.artifacts.example_list import ExampleList, ListedExample
from finetune.artifacts.report_data import ReportData
from finetune.artifacts.run_summary import RunSummary
from finetune.errors import ConfigError
from finetune_cli.main import app
from pipeline.comparison import compare_runs, decides

CONFIG = {
    "name": "flowers",
    "data": {"root": "photos"},
    "training": {"seed": 1, "phases": [{"name": "head", "epochs": 2}]},
    "evaluation": {"baselines": ["majority"], "costs": {}},
}
EXAMPLES = 40


@pytest.fixture
def made(tmp_path):
    """Makes a run as the pipeline leaves it, with a test split of numbered examples; every second is of class b."""

    def make(run_id, config=CONFIG, wrong=(), numbers=range(EXAMPLES), train=range(100, 120), keeps=True, **changes):
        folder, places = tmp_path / "runs" / run_id, {}
        if keeps:
            places = {name: str(tmp_path / "artifacts" / run_id / name) for name in ("examples", "predictions")}
            rows = [_listed(number, "test") for number in numbers] + [_listed(number, "train") for number in train]
            ExampleList.of(rows).write(places["examples"])
            (tmp_path / "artifacts" / run_id / "predictions").mkdir(parents=True)
            save_test_set([_test_set(numbers, wrong)], len(numbers), places["predictions"])
        splits = {"train": len(train), "test": len(numbers)}
        summary = RunSummary(run_id=run_id, status="pushed", splits=splits)
        facts = {"code": {"trainer_module": "1" * 64}, "versions": {"tfx": "1.16.0"}, **changes}
        data = ReportData(title="flowers", summary=summary, config_yaml=json.dumps(config), artifacts=places)
        folder.mkdir(parents=True)
        data.model_copy(update=facts).write(folder)
        return folder

    return make


def _listed(number: int, split: str) -> ListedExample:
    return ListedExample(f"{number}.png", 1, 0, f"{number:064x}"[::-1], ("ab"[number % 2],), split)


def _test_set(numbers, wrong) -> TestSet:
    labels = np.array([number % 2 for number in numbers])
    said = np.array([label ^ (number in wrong) for label, number in zip(labels, numbers, strict=True)])
    digests = np.array([f"{number:064x}"[::-1][:32].encode() for number in numbers], "S32")
    return TestSet(["a", "b"], labels, {}, {CANDIDATE: 0.1 + 0.8 * np.eye(2)[said]}, digests=digests)


def test_one_key_changed(made):
    changed = {**CONFIG, "training": {**CONFIG["training"], "phases": [{"name": "head", "epochs": 9}]}}
    found = compare_runs(made("r1", wrong=range(20)), made("r2", changed, wrong=range(2)))
    assert [(one.name, one.first, one.second) for one in found.config] == [("training.phases[0].epochs", "2", "9")]
    assert (found.changed, found.warnings, found.code) == (["training.phases[0].epochs"], [], [])
    assert not any(split.differs for split in found.splits)
    accuracy = next(metric for metric in found.answers.metrics if metric.name == "accuracy")
    assert (accuracy.first, accuracy.second, accuracy.better) == (0.5, 0.95, "second")
    assert (found.answers.both_right, found.answers.first_right, found.answers.second_right) == (20, 0, 18)


def test_more_than_one_thing_changed_is_told_first(made):
    changed = {**CONFIG, "training": {"seed": 2}, "data": {"root": "elsewhere"}}
    found = compare_runs(made("r1"), made("r2", changed, train=range(101, 125), code={"trainer_module": "2" * 64}))
    assert found.changed == ["training.seed", "training.phases[0].name", "training.phases[0].epochs", "data", "code"]
    assert found.warnings[0].startswith("5 things changed, so no difference can be put down to one: training.seed, ")
    (train,) = (split for split in found.splits if split.split == "train")
    assert (train.first, train.second, train.only_first, train.only_second) == (20, 24, 1, 5)
    assert [one.name for one in found.code] == ["code of trainer_module"]


def test_keys_that_decide_nothing_are_shown_and_do_not_count(made):
    changed = {**CONFIG, "name": "other", "keep": {"runs": 3}, "evaluation": {"baselines": [], "costs": {}}}
    found = compare_runs(made("r1"), made("r2", changed))
    assert {one.name: one.decides for one in found.config} == {
        "name": False,
        "evaluation.baselines[0]": False,
        "keep.runs": False,
    }
    assert (found.changed, found.warnings) == ([], [])
    assert decides("evaluation.threshold.at")
    assert decides("tuning.space"), "a section that is not known decides"
    assert decides("names")


def test_other_test_splits_are_judged_on_the_common_examples(made):
    found = compare_runs(made("r1"), made("r2", numbers=range(10, 50)))
    told = (
        "metrics: test splits differ (10 examples of the first run alone, 10 of the second); judged on the 30 in common"
    )
    assert told in found.warnings
    assert (found.answers.examples, found.changed) == (30, ["data"])
    apart = compare_runs(made("r3", numbers=range(4)), made("r4", numbers=range(10, 14)))
    assert apart.answers is None
    assert "metrics: the two test splits have no example in common" in apart.warnings


def test_what_a_run_lacks_is_said_and_the_rest_is_compared(made, tmp_path):
    whole, failed = made("r1"), made("r2", {**CONFIG, "training": {"seed": 2}}, keeps=False)
    found = compare_runs(whole, failed)
    assert found.answers is None
    assert "metrics: the second run has no predictions of the test split, its status is pushed" in found.warnings
    assert "data: a run's list of examples is gone or was not kept; only their numbers are compared" in found.warnings
    assert "training.seed" in found.changed
    gone = made("r3")
    place = tmp_path / "artifacts" / "r3" / "predictions" / FOLDER
    (place / "digests.npy").unlink()
    facts = json.loads((place / "test_set.json").read_text())
    (place / "test_set.json").write_text(json.dumps({**facts, "digests": False}))
    old = "metrics: an earlier version of ours wrote the predictions of the second run, run it again"
    assert old in compare_runs(whole, gone).warnings
    place.rename(tmp_path / "away")
    assert any("are gone from" in text for text in compare_runs(whole, gone).warnings)
    other = made("r4", task="multi_label")
    assert (
        "metrics: the first run's task is single_label, the second's multi_label" in compare_runs(whole, other).warnings
    )


def test_runs_that_are_no_two_runs(made, tmp_path):
    run = made("20261127T0001Z")
    with pytest.raises(ConfigError, match="twice; expected two runs"):
        compare_runs(run, run.parent / "." / run.name)
    with pytest.raises(ConfigError, match=r"expected a run's folder.*Did you mean '20261127T0001Z'"):
        compare_runs(run, run.parent / "20261127T0002Z")
    with pytest.raises(ConfigError, match="has 20261127T0001Z"):
        compare_runs(run, run.parent / "nothing")
    (run / "report.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read as JSON"):
        compare_runs(run, tmp_path)


def test_on_the_command_line(made):
    changed = {**CONFIG, "training": {**CONFIG["training"], "seed": "[bold]2"}}
    runs = [str(made("r1", wrong=range(20))), str(made("r2", changed))]
    shown = CliRunner().invoke(app, ["compare", *runs])
    assert shown.exit_code == 0, shown.output
    assert "training.seed" in shown.output
    assert "[bold]2" in shown.output, "values are no markup"
    assert "the same in both: data, code" in shown.output
    assert "+0.500" in shown.output
    told = json.loads(CliRunner().invoke(app, ["compare", *runs, "--json"]).output)
    assert told["changed"] == ["training.seed"]
    assert told["answers"]["metrics"][0]["change"]["confidence"] == 0.95
    assert CliRunner().invoke(app, ["compare", runs[0], runs[0]]).exit_code == 2
