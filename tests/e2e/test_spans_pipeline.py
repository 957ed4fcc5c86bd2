"""Weeks of pictures as spans: what is read, what is recorded, and that no test example is ever trained on."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from conftest import CLASSES, Runner, draw

from finetune.artifacts.example_list import ExampleList
from finetune.artifacts.ingest_report import IngestReport
from finetune.file_stats import CLOCK_NS

pytest.importorskip("tfx")

pytestmark = pytest.mark.by_test_current


def add_week(store: Path, week: int, count: int = 24) -> None:
    """Writes store/<week>/<class>/*.png and the marker, and waits until a change from now on would show."""
    for kind in CLASSES:
        folder = store / str(week) / kind
        folder.mkdir(parents=True)
        for index in range(count):
            draw(kind, 1000 * week + index).save(folder / f"{index:03}.png")
    (store / str(week) / "_SUCCESS").touch()
    time.sleep(CLOCK_NS / 1e9)


def examples_of(output: Path) -> list[Path]:
    """The folders of examples that the runs have left, in their order."""
    return sorted((output / "artifacts" / "ImageExampleGen" / "examples").iterdir(), key=lambda path: int(path.name))


@pytest.fixture(scope="module")
def weeks(raw_config, tmp_path_factory) -> tuple[Path, Runner, list[dict]]:
    """The store, the runner, and the summaries of a run on two weeks, and of one when a third has come."""
    store = tmp_path_factory.mktemp("store")
    raw = {
        **raw_config,
        "output_dir": str(tmp_path_factory.mktemp("output")),
        "data": {"root": f"{store}/{{SPAN}}", "window": 2, "span_marker": "_SUCCESS", "checks": {}},
    }
    raw["evaluation"] = {
        "gates": [*raw_config["evaluation"]["gates"], {"metric": "loss", "max": 100, "slice": {"span": 2}}]
    }
    runner = Runner(raw, tmp_path_factory.mktemp("configs"))
    add_week(store, 1)
    add_week(store, 2)
    runs = [runner.run()]
    add_week(store, 3)
    (store / "4" / "disc").mkdir(parents=True)  # It is being written.
    runs.append(runner.run())
    return store, runner, runs


def test_each_run_reads_its_window(weeks):
    _, _, runs = weeks
    assert [run["error"] for run in runs] == [None, None]
    found = [IngestReport.read(folder) for folder in examples_of(Path(runs[0]["output_dir"]))]
    assert [[span.name for span in report.spans] for report in found] == [["1", "2"], ["2", "3"]]
    assert [report.waiting for report in found] == [[], ["4"]]
    assert [report.used for report in found] == [144, 144]


def test_a_gate_can_ask_for_a_span(weeks):
    for run in weeks[2]:
        (gate,) = [gate for gate in run["gates"] if gate["slice"] == {"span": "2"}]
        assert gate["judged"]
        assert gate["passed"]


def test_no_test_example_was_ever_trained_on(weeks):
    _, _, runs = weeks
    splits: dict[str, set[str]] = {}
    for folder in examples_of(Path(runs[0]["output_dir"])):
        listed = ExampleList.read(folder)
        for digest, split in zip(listed.digests, listed.splits, strict=True):
            splits.setdefault(digest, set()).add(split)
    assert len(splits) == 3 * 24 * len(CLASSES)
    assert {split for found in splits.values() for split in found} == {"train", "val", "test"}
    assert [found for found in splits.values() if len(found) > 1] == []
    assert weeks[2][1]["reuse"]["learned"] == 0


@pytest.mark.long
def test_what_is_cut_anew_is_left_out_of_the_comparison(weeks):
    _, runner, _ = weeks
    run = runner.run("data.split_salt=other")
    assert run["error"] is None
    assert 0 < run["reuse"]["learned"] < run["splits"]["test"]
    (beside,) = [gate for gate in run["gates"] if "champion" in gate["reference_name"] or "champion" in gate["name"]]
    assert beside["examples"] == run["splits"]["test"] - run["reuse"]["learned"]
    data = json.loads(Path(run["report"]).with_name("summary.json").read_text())
    assert data["reuse"]["learned"] == run["reuse"]["learned"]
