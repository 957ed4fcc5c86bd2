"""The guide's metric, from the guide's own code: one file and one line, and everything that should work does."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.metrics import matthews_corrcoef

from evaluation import metrics
from evaluation.checks import gates_can_be_measured
from evaluation.evidence import CANDIDATE, CHAMPION, TestSet
from evaluation.metrics import METRICS
from evaluation.reference import metrics_reference
from evaluation.verdict import Tfma, findings, judge_all
from finetune.config.evaluation import GateConfig
from pipeline.report import formats

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "add-a-metric.md").read_text(encoding="utf-8")
FILE, LINE, CHECK = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
(CONFIG,) = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL))
(PATH,) = re.findall(r"^`(evaluation/metrics/\w+\.py)`:$", GUIDE, re.MULTILINE)


@pytest.fixture
def added(tmp_path, monkeypatch):
    """The guide's file, where Python finds it under the guide's name, and the guide's line in the table."""
    path = tmp_path / Path(PATH).name
    path.write_text(FILE)
    spec = importlib.util.spec_from_file_location(PATH.removesuffix(".py").replace("/", "."), path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    (metric,) = eval(f"({LINE})", {path.stem: module})
    monkeypatch.setitem(METRICS, metric.name, metric)
    return metric


def test_set() -> TestSet:
    random = np.random.default_rng(4)
    labels = random.integers(0, 3, 120)
    sites = random.choice(["north", "south"], 120)
    models = {}
    for name, skill in ((CANDIDATE, 2.0), (CHAMPION, 0.0)):
        odds = np.exp(random.normal(size=(120, 3)) + skill * np.eye(3)[labels])
        models[name] = odds / odds.sum(axis=1, keepdims=True)
    return TestSet(list("abc"), labels, {"label": np.array(list("abc"))[labels], "site": sites}, models)


test_set.__test__ = False


def test_the_check_of_the_guide_passes(added):
    exec(CHECK, {})


def test_its_gates_are_known_to_the_config_and_judged_with_intervals(added):
    assert gates_can_be_measured(CONFIG) == []
    gates = [GateConfig(**gate) for gate in CONFIG["evaluation"]["gates"]]
    results = judge_all(gates, test_set(), Tfma(None, expected=False), [])
    whole, *sites = results
    found = test_set().of(CANDIDATE)
    assert whole.value == pytest.approx(matthews_corrcoef(found.labels, found.predicted))
    assert whole.interval.low < whole.value < whole.interval.high
    assert [result.slice for result in sites] == [{"site": "north"}, {"site": "south"}]
    assert all(result.passed for result in results)


def test_a_refusal_gives_its_advice(added):
    (refused,) = judge_all([GateConfig(metric="matthews", min=1)], test_set(), Tfma(None, expected=False), [])
    assert refused.advice == added.advice


def test_it_is_reported_under_its_label(added):
    found = findings(test_set(), [["label"]]).metrics["matthews"]
    assert found.change.low > 0, "the candidate is better than chance"
    assert formats.label("matthews") == "Matthews correlation"
    assert not formats.lower_is_better("matthews")
    assert "| `matthews` | higher | overall | single_label | bootstrap | scikit-learn |" in metrics_reference()


def test_tfma_measures_it_by_scikit_learn_and_decides_its_plain_gates(added):
    pytest.importorskip("tensorflow_model_analysis")
    from components.evaluator.eval_config import eval_config

    (specs,) = eval_config("single_label", [GateConfig(metric="matthews", min=0.5)], []).metrics_specs
    (spec,) = [spec for spec in specs.metrics if '"matthews"' in spec.config]
    assert spec.class_name == "ReferenceMetric"
    assert spec.per_slice_thresholds[0].threshold.value_threshold.lower_bound.value == pytest.approx(0.5, abs=1e-5)


def test_without_the_line_nothing_knows_it():
    assert "matthews" not in metrics.METRICS
    assert "got 'matthews'; expected one of accuracy," in gates_can_be_measured(CONFIG)[0]
