"""Every strategy keeps its contract, and one more is one file and one line."""

from __future__ import annotations

import dataclasses
import io
import re
import types
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from finetune.config import STRATEGIES, PhaseConfig, load_config
from finetune.config.strategies.contract import check_strategy
from finetune.errors import ConfigError
from pipeline.plan import print_plan

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "add-a-strategy.md"
RAW = {"name": "x", "data": {"root": "."}, "backbone": {"name": "SmallCNN", "weights": "random"}}


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_keeps_its_contract(name):
    check_strategy(name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"why": ""}, "does not say in a sentence"),
        ({"phases": ()}, "has no phase"),
        ({"phases": (PhaseConfig(name="all", unfreeze="all", epochs=1, learning_rate=1),)}, "spoil what the backbone"),
        ({"phases": STRATEGIES["full"].phases[:1] * 2}, "a config that names it is not valid"),
        (
            {"phases": (*STRATEGIES["full"].phases[:1], PhaseConfig(name="b", epochs=1, learning_rate=1))},
            "faster than the head",
        ),
    ],
)
def test_a_strategy_that_breaks_it_is_found(monkeypatch, changes, message):
    monkeypatch.setitem(STRATEGIES, "full", dataclasses.replace(STRATEGIES["full"], **changes))
    with pytest.raises(AssertionError, match=message):
        check_strategy("full")


def test_the_guide_adds_a_strategy(monkeypatch, tmp_path):
    file, line, contract = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**RAW, "training": {"strategy": "last_block"}}))
    with pytest.raises(ConfigError, match=r"training\.strategy: got 'last_block'"):
        load_config(path)
    monkeypatch.setitem(STRATEGIES, "last_block", None)  # Taken out at the end, whatever the guide puts there.
    module = types.ModuleType("last_block")
    exec(compile(file, str(GUIDE), "exec"), module.__dict__)
    exec(line, {"STRATEGIES": STRATEGIES, "LAST_BLOCK": module.LAST_BLOCK})
    exec(contract, {"check_strategy": check_strategy})
    console = Console(file=io.StringIO(), width=200)
    print_plan(load_config(path), console)
    assert "last_block" in console.file.getvalue()
    assert "0.0001, cosine" in console.file.getvalue()
