"""The closing view of a run: verdict first, what to do next last, and nothing wider than the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from finetune.artifacts.run_summary import RunSummary
from finetune_cli.summary_view import print_summary


def pipe(width: int = 200) -> Console:
    return Console(file=io.StringIO(), width=width)


def text(console: Console) -> str:
    return console.file.getvalue()


EMPTY = [{"run_id": "r", "status": status} for status in ("failed", "pushed")]
SUMMARY = {
    "schema_version": 1,
    "run_id": "r1",
    "name": "flowers",
    "status": "pushed",
    "error": None,
    "pushed_model": "/runs/my flowers/serving/7",
    "metrics": {"accuracy": 0.9133, "macro_f1": 0.91},
    "champion_metrics": {"accuracy": 0.88},
    "baselines": {"from_scratch": {"accuracy": 0.59}},
    "gates": [
        {
            "name": "accuracy >= 0.85",
            "metric": "accuracy",
            "value": 0.9133,
            "bound": 0.85,
            "passed": True,
            "reason": "fine",
        }
    ],
    "phases": [
        {
            "name": "head",
            "epochs": 7,
            "seconds": 21.0,
            "trainable_parameters": 6405,
            "total_parameters": 2264389,
            "val_loss": 0.4,
            "val_accuracy": 0.87,
            "stopped_early": True,
        }
    ],
    "components": [{"id": "Trainer", "seconds": 1.0, "state": "ran"}],
    "splits": {"train": 510, "val": 90, "test": 150},
    "report": "/runs/report.html",
    "log_file": "/runs/run.log",
    "seconds": 248.7,
}
SEARCHED = {
    **SUMMARY,
    "search": {
        "candidates": [
            {"name": "probe", "why": "The head.", "expected_seconds": 0, "seconds": 9.0, "val_loss": 0.41,
             "val_accuracy": 0.86, "reason": "it is the simplest"},
            {"name": "all_layers", "why": "All.", "expected_seconds": 90, "seconds": 101.0, "val_loss": 0.33,
             "val_accuracy": 0.9, "gain": 0.08, "standard_error": 0.031, "against": "probe", "reason": "lower"},
            {"name": "own_phases", "why": "Own.", "expected_seconds": 900, "reason": "no room"},
        ],
        "chosen": "all_layers", "reason": "its loss is lower", "budget_minutes": 10.0, "seconds": 250.0,
        "val_examples": 90,
    },
    "refit": {"examples": 600, "steps": 380, "seconds": 120.0, "averaged": 3},
    "calibration": {"temperature": 0.71, "measured_on": "the validation split", "loss_before": 0.36,
                    "loss_after": 0.33, "ece_before": 0.09, "ece_after": 0.03},
    "averaging": {"applied": True, "asked_for": False, "gain": 0.02, "standard_error": 0.01,
                  "reason": "its loss is lower"},
}  # fmt: skip
REFUSED = {
    **SUMMARY,
    "status": "refused",
    "pushed_model": None,
    "gates": [
        {
            "name": "accuracy >= 0.95",
            "metric": "accuracy",
            "value": 0.9497,
            "bound": 0.95,
            "passed": False,
            "reason": "0.9497 is below 0.95",
        }
    ],
}
FAILED = {
    "run_id": "r1",
    "name": "flowers",
    "status": "failed",
    "error": "DataError: no files\nin /data",
    "log_file": "/runs/run.log",
}


@pytest.mark.parametrize(
    ("summary", "first"),
    [
        (SUMMARY, "PUSHED flowers: the only gate passed (4 min 09 s)"),
        (REFUSED, "REFUSED flowers: 1 of 1 gate failed (4 min 09 s)"),
        (FAILED, "FAILED flowers: before the run was complete"),
    ],
)
def test_the_summary_opens_with_the_verdict(summary: dict, first: str):
    console = pipe()
    print_summary(console, RunSummary.model_validate(summary))
    assert text(console).strip().splitlines()[0] == first
    assert "\x1b" not in text(console)


def test_the_summary_of_a_pushed_run_says_how_to_try_it():
    console = pipe(width=60)
    print_summary(console, RunSummary.model_validate(SUMMARY))
    shown = text(console)
    assert "finetune predict '/runs/my flowers/serving/7' image.jpg" in shown.splitlines()[-1]
    assert "What to do next" not in shown
    for part in ("champion", "from scratch", "0.913", "0.880", "0.590", "7*", "/runs/report.html", "/runs/run.log"):
        assert part in shown


def test_a_single_file_that_was_left_out_is_told():
    console = pipe()
    print_summary(console, RunSummary.model_validate({**SUMMARY, "left_out": {"truncated": 1, "[b]odd": 1200}}))
    assert "data: left out 1 truncated, 1,200 [b]odd; the report names each" in text(console)


def test_what_was_tried_and_chosen_is_shown_with_its_reason():
    console = pipe()
    print_summary(console, RunSummary.model_validate(SEARCHED))
    shown = " ".join(text(console).split())
    for part in (
        "all layers 1 min 41 s 0.330 0.900 0.080 ± 0.031 lower",
        "own phases n/a n/a n/a no room",
        "all layers was chosen: its loss is lower.",
        "took 4 min 10 s of 10 min 00 s",
        "trained once more for 380 steps on 600 examples of train and validation together; the mean of its weights and",
        "of those of the 3 trainings that judged it is the one that was tested",
        "temperature 0.710, fitted on the validation split: there the loss went from 0.360 to 0.330",
        "error from 0.090 to 0.030",
        "so that every prediction takes it twice as long. It was measured on what was held out: its loss is lower.",
    ):
        assert part in shown


def test_the_summary_of_a_refused_run_says_which_gates_failed_and_what_to_do():
    console = pipe()
    print_summary(console, RunSummary.model_validate(REFUSED))
    shown = text(console)
    assert "accuracy >= 0.95: 0.9497 is below 0.95." in shown
    # Three digits would show 0.950 beside 0.950.
    assert "0.9497" in shown
    assert "0.9500" in shown
    assert "Nothing was pushed." in shown
    assert "What to do next" in shown
    assert "evaluation.gates" in shown
    assert "finetune predict" not in shown


def test_the_summary_of_a_failed_run_shows_the_error_and_the_log():
    console = pipe()
    print_summary(console, RunSummary.model_validate(FAILED))
    assert "DataError: no files\n  in /data" in "\n".join(line.rstrip() for line in text(console).splitlines())
    assert "/runs/run.log" in text(console)


@pytest.mark.parametrize("summary", [SUMMARY, SEARCHED, REFUSED, FAILED, *EMPTY])
@pytest.mark.parametrize("width", [80, 50, 24])
def test_every_summary_fits_except_for_paths(summary: dict, width: int):
    console = pipe(width=width)
    print_summary(console, RunSummary.model_validate(summary))
    rows = [row for row in text(console).splitlines() if "/runs/" not in row]
    assert max(map(len, rows)) <= width


def test_an_ascii_console_does_not_end_the_run():
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding="ascii"), width=80)
    print_summary(console, RunSummary.model_validate({**REFUSED, "name": "Blüten"}))
    console.file.flush()
    assert b"Bl?ten" in raw.getvalue()
