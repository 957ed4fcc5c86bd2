"""The report's section on a search, and what the console says of it."""

from __future__ import annotations

import base64
import io

import pytest
from rich.console import Console

from finetune.artifacts.report_data import ReportData
from finetune.artifacts.run_summary import RunSummary
from finetune.artifacts.tuning import Effect, Trial, TriedKey, Tuning
from finetune_cli.summary_view import print_summary
from pipeline.report.page import render
from pipeline.report.sentences import tuning_sentences
from pipeline.report.tuning import tuning as section

RATE, UNITS = "training.phases[0].learning_rate", "training.head.units"


def searched(**changes) -> Tuning:
    keys = [
        TriedKey(key=RATE, as_it_is=1e-3, low=1e-4, high=1e-1, log=True, explained=0.62),
        TriedKey(key=UNITS, as_it_is=[256], choices=[[], [64]], explained=0.04),
    ]
    trials = [
        Trial(number=0, score=0.45, seconds=3, epochs=10, batched=True),
        Trial(number=1, values={RATE: 3e-3, UNITS: []}, score=0.39, seconds=2, epochs=8, batched=True),
        Trial(number=2, values={RATE: 5e-2, UNITS: [64]}, state="failed", reason="phase head: the loss became nan"),
        Trial(number=3, values={RATE: 2e-4, UNITS: [64]}, score=0.61, seconds=4, epochs=10),
        Trial(number=4, values={RATE: 2e-4, UNITS: []}, state="left_out", reason="the 5 minutes were used up"),
    ]
    facts = {
        "method": "random", "metric": "loss", "higher_is_better": False, "keys": keys, "trials": trials, "best": 1,
        "nested": 0.405, "chance": 0.015, "val_examples": 150, "seconds": 75.0, "ended_because": "all are done",
    }  # fmt: skip
    return Tuning(**{**facts, **changes})


def drawn(figure: dict) -> str:
    return base64.b64decode(figure["image"].partition(",")[2]).decode()


def summary_of(tuning: Tuning) -> RunSummary:
    return RunSummary(run_id="1", name="flowers", status="tuned", tuning=tuning)


def test_the_best_trial_comes_first_and_what_failed_says_why():
    view = section(searched())
    assert [row["trial"].number for row in view["rows"]] == [1, 0, 3]
    assert [row["best"] for row in view["rows"]] == [True, False, False]
    assert view["rows"][1]["values"] == ["0.001", "[256]"]
    assert view["failed"] == [{"number": 2, "reason": "phase head: the loss became nan"}]
    assert [each["key"] for each in view["sensitivity"]] == ["phases[0].learning_rate", "head.units"]


def test_what_the_best_owes_to_chance_is_told():
    told = " ".join(tuning_sentences(searched()))
    assert "Of 3 trials, trial 1 has the best" in told
    assert "0.3900; the config as it is has 0.4500" in told
    assert "about 0.4050 is to be expected" in told
    assert "0.0150 of it down to chance" in told
    assert "chance" not in " ".join(tuning_sentences(searched(nested=None, chance=None)))


def test_a_line_goes_through_the_values_of_each_trial():
    (figure,) = section(searched())["figures"]
    picture = drawn(figure)
    assert "phases[0].learning_rate" in picture
    assert "[256]" in picture, "what the config says is on the axis, though it is no choice"
    # Those with a score: three lines, beside the axes.
    assert "3 trials" in figure["alt"]


def test_one_key_at_a_time_is_drawn_for_each_key():
    effects = [
        Effect(key=RATE, value=1e-2, change=0.1, low=0.05, high=0.15),
        Effect(key=RATE, value=1e-4, change=0.2, low=0.1, high=0.3),
        Effect(key=UNITS, value=[64], change=-0.02, low=-0.05, high=0.01),
    ]
    figures = section(searched(method="one_at_a_time", effects=effects))["figures"]
    assert len(figures) == 2
    assert "better is down" in drawn(figures[0])
    assert "[64]" in drawn(figures[1])


def test_the_page_shows_a_search_and_escapes_what_it_says():
    odd = Trial(number=2, state="failed", reason="<script>alert(1)</script>")
    trials = [each if each.number != 2 else odd for each in searched().trials]
    page = render(ReportData(title="flowers", summary=summary_of(searched(trials=trials))))
    assert "What each key explains" in page
    assert "(best)" in page
    assert "<script>alert" not in page


def test_a_run_without_a_search_has_no_such_section():
    assert section(None) is None
    page = render(ReportData(title="flowers", summary=RunSummary(run_id="1", name="x", status="checked")))
    assert "What each key explains" not in page


def test_what_ended_early_says_so_and_is_no_failure():
    reason = "its best score by epoch 3, 0.6100, was worse than 0.4500, the median of what others averaged by then"
    early = searched().trials[3].model_copy(update={"state": "stopped", "reason": reason, "epochs": 7})
    found = searched(trials=[*searched().trials[:3], early, *searched().trials[4:]])
    view = section(found)
    assert [trial.number for trial in view["stopped"]] == [3]
    assert [each["number"] for each in view["failed"]] == [2]
    assert 3 in [row["trial"].number for row in view["rows"]]
    assert "dotted where it ended early" in view["figures"][0]["alt"]
    assert view["figures"][0]["image"] != section(searched())["figures"][0]["image"]
    assert "1 trial ended early" in " ".join(tuning_sentences(found))
    assert "ended early" not in " ".join(tuning_sentences(searched()))
    page = render(ReportData(title="flowers", summary=summary_of(found)))
    assert "7 (ended early)" in page
    assert f"Trial 3, after 7 epochs: {reason}." in page


@pytest.mark.parametrize("width", [60, 200])
def test_the_console_shows_the_best_trials_and_the_config_as_it_is(width):
    console = Console(file=io.StringIO(), width=width)
    print_summary(console, summary_of(searched()))
    text = " ".join(console.file.getvalue().split())
    assert "TUNED flowers: trial 1 is the best of 3 trials" in text
    assert "the config as it is" in text
    assert "finetune run" in text
