"""The guide's gates, from the guide's own text: they are valid, and decide as it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import yaml

from evaluation.checks import gates_can_be_measured
from evaluation.evidence import CANDIDATE, CHAMPION, TestSet
from evaluation.verdict import Tfma, judge_all
from finetune.config.evaluation import GateConfig

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "add-a-gate.md").read_text(encoding="utf-8")
(DECISIONS,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
(CONFIG,) = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL))


def test_the_decisions_are_as_the_guide_says():
    exec(DECISIONS, {})


def test_a_candidate_that_misses_more_at_one_site_is_refused_there_and_nowhere_else():
    assert gates_can_be_measured(CONFIG) == []
    labels = np.tile([0, 1], 200)
    sites = np.repeat(["north", "south"], 200)
    models = {}
    for model, missed_every in ((CANDIDATE, 2), (CHAMPION, 20)):
        missed = np.zeros(400, bool)
        missed[201::2][::missed_every] = True  # of the sick of the south
        sick = np.where((labels == 1) & ~missed, 0.9, 0.1)
        models[model] = np.stack([1 - sick, sick], axis=1)
    columns = {"label": np.array(["healthy", "sick"])[labels], "site": sites}
    test_set = TestSet(["healthy", "sick"], labels, columns, models)
    gates = [GateConfig(**gate) for gate in CONFIG["evaluation"]["gates"]]
    floor, north, south = judge_all(gates, test_set, Tfma(None, expected=False), [])
    assert not floor.passed
    assert floor.value == 0.75
    assert north.slice == {"site": "north"}
    assert north.passed
    assert south.slice == {"site": "south"}
    assert not south.passed
    assert south.interval.high < 0
