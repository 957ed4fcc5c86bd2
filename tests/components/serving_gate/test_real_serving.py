"""The serving gate on real SavedModels in real processes."""

from __future__ import annotations

import shutil

import pytest

from components.serving_gate.gate import try_to_serve, verdict
from evaluation.metrics import METRICS
from finetune.config.evaluation import GateConfig

NO_SLOWER = [
    GateConfig(metric=f"latency_{quantile}_ms_batch1", max=1.2, relative_to="champion", compare="ratio")
    for quantile in ("p50", "p95")
]


def failures(findings) -> list[str]:
    return [result.metric for result in verdict(NO_SLOWER, findings) if not result.passed]


def test_another_preprocessing_is_refused_by_parity_and_a_delay_by_the_latency_beside_the_champion(models, tmp_path):
    """The candidate has both faults; the champion, which has neither, is what makes the delay one."""
    candidate = models.export("bgr_and_slow", bgr=True, slow_by=1000)
    findings = try_to_serve(
        models.trial(candidate, models.export("good"), budget=4.0), tmp_path, models.launch(tmp_path)
    )
    assert findings.refusal == findings.champion_refusal == ""
    assert set(findings.metrics) == {name for name, metric in METRICS.items() if metric.of_serving}
    assert findings.metrics["peak_memory_mb"] > 50
    # On a busy machine the tail is the machine's, and p95 may leave the question open.
    assert failures(findings)[:2] == ["parity_max_difference", "latency_p50_ms_batch1"]
    assert findings.metrics["parity_max_difference"] > 0.05


def test_a_model_that_cannot_be_loaded_is_refused_with_the_reason(models, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(models.export("good"), broken)
    (broken / "variables" / "variables.index").unlink()
    findings = try_to_serve(models.trial(broken), tmp_path, models.launch(tmp_path))
    assert "variables" in findings.refusal
    assert failures(findings)[0] == "served"


@pytest.mark.long
def test_a_delay_is_refused_and_twenty_of_twenty_models_without_one_pass(models, tmp_path):
    good = models.export("good")
    refused = []
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        findings = try_to_serve(models.trial(good, good, budget=10.0), folder, models.launch(folder))
        results = verdict(NO_SLOWER, findings)
        ratios = [
            f"{result.value:.2f} ({result.interval.low:.2f} to {result.interval.high:.2f})" for result in results[2:]
        ]
        refused.append(failures(findings))
        print(f"{number}: p50 and p95 / champion: {' and '.join(ratios)}; refused by {refused[-1]}", flush=True)
    assert refused == [[]] * 20
    slow = models.export("slow", slow_by=1000)
    findings = try_to_serve(models.trial(slow, good, budget=10.0), tmp_path, models.launch(tmp_path))
    assert "latency_p50_ms_batch1" in failures(findings)
