"""The guide's task, from the guide's own code: lines in tables, and a pipeline of it runs to its pushed model."""

from __future__ import annotations

import json
import re
import types
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.tasks import TASK_TABLES, task_fits, task_problems

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "add-a-task.md").read_text(encoding="utf-8")
*FILES, CHECKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
PATHS = re.findall(r"`([\w/]+/tasks/ordinal)\.py`:$", GUIDE, re.MULTILINE)
LINES = dict(re.findall(r"^\| `([\w.]+\.tasks)` \| `(.*)` \|$", GUIDE, re.MULTILINE))
(CONFIG,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture
def added(monkeypatch):
    """The guide's files, and its lines in the tables."""
    files = {}
    for path, code in zip(PATHS, FILES, strict=True):
        files[path.rpartition("/")[0].replace("/", ".")] = module = types.ModuleType(path.replace("/", "."))
        exec(compile(code, path, "exec"), module.__dict__)
    for name, table in TASK_TABLES.items():
        # A line names what its table imports already, or what the guide's file defines.
        known = {type(entry).__name__: type(entry) for entry in table.values()}
        (line,) = eval(f"{{{LINES[name]}}}", {**known, **vars(files.get(name, types.ModuleType("none")))}).items()
        monkeypatch.setitem(table, *line)


def test_every_table_that_there_is_has_a_line_in_the_guide():
    assert set(LINES) == set(TASK_TABLES)


def test_a_table_that_was_forgotten_is_named(added, monkeypatch):
    assert task_problems("ordinal", TASK_TABLES) == []
    monkeypatch.delitem(TASK_TABLES["trainer_module.tasks"], "ordinal")
    (problem,) = task_problems("ordinal", TASK_TABLES)
    assert problem.startswith("task: got 'ordinal', which trainer_module.tasks lacks")


def test_the_config_of_the_guide_fits(added):
    assert task_fits(yaml.safe_load(CONFIG)) == []


def test_the_checks_of_the_guide_pass(added):
    pytest.importorskip("tensorflow")
    exec(CHECKS, {})


@pytest.mark.long
def test_a_pipeline_of_the_task_runs_to_its_pushed_model(added, tmp_path):
    pytest.importorskip("tfx")
    from finetune.config import load_config
    from finetune_cli.predict import predict
    from pipeline.local import run_pipeline

    random = np.random.default_rng(1)
    words = {word: random.normal(0, 0.3, 8).tolist() for word in ("it", "was")}
    words |= {
        word: (random.normal(0, 0.1, 8) + place * np.eye(8)[0]).tolist()
        for place, word in enumerate(("awful", "fair", "good"))
    }
    (tmp_path / "words.json").write_text(json.dumps(words))
    rows = [f"it was {('awful', 'fair', 'good')[number % 3]} {number},{1 + number % 3}" for number in range(90)]
    (tmp_path / "stars.csv").write_text("\n".join(["text,label", *rows]))
    raw = {
        "name": "stars",
        **yaml.safe_load(CONFIG),
        "output_dir": str(tmp_path / "runs"),
        "data": {"root": str(tmp_path / "stars.csv"), "layout": "table"},
        "backbone": {"name": "GloVe", "weights": str(tmp_path / "words.json"), "text": {"max_words": 8}},
        "training": {
            "head": {"units": [], "dropout": 0.0},
            "phases": [{"name": "head", "epochs": 10, "learning_rate": 3e-2}],
        },
        "serving": {"measure_seconds": 1},
        "evaluation": {"gates": [{"metric": "accuracy", "min": 0.5}], "baselines": ["logistic_regression"]},
    }
    (tmp_path / "stars.yaml").write_text(yaml.safe_dump(raw))
    summary = run_pipeline(load_config(tmp_path / "stars.yaml"))
    assert summary.status == "pushed", summary.error or summary.gates
    awful, good = predict(Path(summary.pushed_model), texts=["it was awful", "it was good"])
    assert awful["label"] == "1"
    assert 1 <= awful["mean"] < good["mean"] <= 3
