"""How often the default gate lets a later model out: the table of docs/gates.md holds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from evaluation.intervals import paired_ends
from evaluation.tasks import gates_of
from finetune.config import EvaluationConfig

DOCS = Path(__file__).parents[2] / "docs" / "gates.md"
APART, BOTH_WRONG, DRAWS = 0.1, 0.08, 8_000
BETTER = (0.0, 0.01, 0.02, 0.03, 0.05)


def ends(examples: int, better: float, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Interval of the difference on test splits of models that answer APART of the examples differently."""
    shares = [1 - APART - BOTH_WRONG, (APART + better) / 2, (APART - better) / 2, BOTH_WRONG]
    return paired_ends(np.random.default_rng(1).multinomial(examples, shares, DRAWS).T, confidence)


def test_the_default_gate_lets_out_as_often_as_the_docs_say() -> None:
    (gate,) = [gate for gate in gates_of("single_label", EvaluationConfig()) if gate.relative_to == "champion"]
    assert (gate.metric, gate.min, gate.confidence, gate.refuse_when) == ("accuracy", -0.01, 0.95, "unproven")
    rows = re.findall(r"^\| ([\d,]+) ((?:\| \d+ % ){5})\|$", DOCS.read_text(encoding="utf-8"), re.M)
    assert len(rows) == 4
    for size, cells in rows:
        for better, said in zip(BETTER, re.findall(r"\d+", cells), strict=True):
            low, _ = ends(int(size.replace(",", "")), better, gate.confidence)
            assert (low >= gate.min).mean() == pytest.approx(int(said) / 100, abs=0.025), (size, better)


def test_a_gate_that_refuses_only_what_is_shown_to_be_worse_lets_worse_models_out() -> None:
    _, high = ends(150, 0.0, 0.95)
    assert (high >= -0.01).mean() > 0.97
    _, high = ends(150, -0.02, 0.95)
    assert (high >= -0.01).mean() == pytest.approx(0.95, abs=0.02)
