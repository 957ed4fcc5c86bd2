"""`finetune retrain`: what it decides as data come in, what it says of it, and what it costs where nothing is new."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import CLASSES, draw
from PIL import Image

from finetune.artifacts.run_summary import RunSummary
from finetune.config import load_config

pytest.importorskip("tfx")

REFUSES = 'evaluation.gates=[{"metric": "accuracy", "min": 1.1}]'


@pytest.fixture(scope="module")
def place(images, raw_config, tmp_path_factory) -> Path:
    """A folder with shapes of its own, and a config that pushes what it trains."""
    place = tmp_path_factory.mktemp("retrain")
    shutil.copytree(images, place / "images")
    raw = {**raw_config, "output_dir": str(place / "out"), "data": {"root": str(place / "images")}}
    (place / "config.yaml").write_text(yaml.safe_dump(raw))
    return place


@pytest.fixture(scope="module")
def retrain(place) -> Callable[..., RunSummary]:
    from pipeline.retraining.retrain import retrain

    return lambda *overrides: retrain(load_config(place / "config.yaml", overrides))


def add(place: Path, count: int, seed: int, change: Callable[[np.ndarray], np.ndarray] = lambda pixels: pixels) -> None:
    """Adds so many new pictures of each class to train, changed or as those before."""
    for kind in CLASSES:
        for index in range(count):
            pixels = change(np.asarray(draw(kind, seed + index)))
            Image.fromarray(pixels).save(place / "images" / "train" / kind / f"new-{seed}-{index}.png")


def decisive(summary: RunSummary) -> list[str]:
    return [reason.name for reason in summary.decision.decisive]


def in_a_process(place: Path, *arguments: str) -> tuple[subprocess.CompletedProcess, float]:
    """Runs the command, and tells the seconds of processor time that it took."""
    code = "import sys; from finetune_cli.main import main; sys.argv[0] = 'finetune'\ntry: main()\nfinally:\n"
    code += "    import resource; used = resource.getrusage(resource.RUSAGE_SELF)\n"
    code += "    print('TOOK', used.ru_utime + used.ru_stime, 'tensorflow' in sys.modules, flush=True)"
    command = [sys.executable, "-c", code, "retrain", str(place / "config.yaml"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    took = next(line.split() for line in done.stdout.splitlines() if line.startswith("TOOK"))
    assert took[2] == "False", "TensorFlow was imported"
    return done, float(took[1])


@pytest.mark.by_test
def test_decisions_follow_the_data_as_they_come(place, retrain, tmp_path):
    first = retrain()
    assert (first.status, first.decision.action, decisive(first)) == ("pushed", "cold", ["champion"])
    assert json.loads((place / "out/runs" / first.run_id / "summary.json").read_text())["decision"]["action"] == "cold"
    assert 'id="decision"' in Path(first.report).read_text()

    # Nothing new: within seconds, without TensorFlow; and again, from what the first answer has left.
    for _ in range(2):
        done, seconds = in_a_process(place, f"--summary={tmp_path / 'summary.json'}")
        assert done.returncode == 5, done.stderr
        assert seconds < 5
    told = json.loads((tmp_path / "summary.json").read_text())
    assert (told["status"], told["decision"]["action"]) == ("nothing_to_do", "nothing to do")
    assert told["decision"]["reasons"][0]["value"] == 0
    assert "None of 78 examples is new" in done.stdout

    # A few more of the same kind: looked into, and no reason to train; then not looked into again.
    add(place, 2, seed=5000)
    quiet = retrain()
    assert (quiet.status, decisive(quiet)) == ("nothing_to_do", ["new examples"])
    reasons = {reason.name: reason for reason in quiet.decision.reasons}
    assert reasons["new examples"].value == 6
    assert reasons["new examples"].bound == pytest.approx(7.8)
    assert "it takes 10 examples on each side" in reasons["frozen features"].sentence
    assert reasons["champion on new examples"].interval is not None
    assert "cannot be told" not in reasons["labels"].sentence
    done, _ = in_a_process(place)
    assert done.returncode == 5
    assert "6 of them looked at before" in done.stdout

    # Explained, a decision leaves nothing behind.
    add(place, 5, seed=6000, change=lambda pixels: 255 - pixels // 2)
    from pipeline.retraining.retrain import explain

    config = load_config(place / "config.yaml", [])
    explained = explain(config)
    moved = retrain(REFUSES)
    assert explained.action == moved.decision.action == "warm"
    # Pictures of another brightness: features tell, and the run that follows is refused.
    assert "frozen features" in decisive(moved)
    assert (moved.status, moved.decision.champion) == ("refused", 1)
    # What a refused run has judged is nothing new.
    again = retrain(REFUSES)
    assert (again.status, again.decision.reasons[0].value) == ("nothing_to_do", 0)


@pytest.mark.by_test
def test_a_candidate_that_waits_is_the_only_one(place, retrain):
    time.sleep(0.01)
    add(place, 4, seed=7000)
    # From the champion on, nothing may be gained, and what is served already does not wait.
    waits = retrain("evaluation.approval=required", "retrain.cold_every=1")
    assert (waits.status, waits.decision.action) == ("pending", "cold")
    add(place, 4, seed=8000)
    waiting = retrain("evaluation.approval=required")
    assert (waiting.status, waiting.decision.action) == ("pending", "waiting")
    assert waiting.pending_model == waits.pending_model


@pytest.mark.by_test
def test_data_that_are_refused_stop_it_once(place, retrain):
    shutil.rmtree(place / "out/pushed/.pending")
    broken = place / "images/train/disc"
    for index in range(20):
        (broken / f"broken-{index}.png").write_bytes(f"no picture {index}".encode())
    stopped = retrain()
    assert (stopped.status, stopped.decision.action) == ("refused", "stop: data")
    assert "data.max_bad_fraction" in stopped.error
    again = retrain()
    assert (again.status, again.decision.action) == ("nothing_to_do", "nothing to do")


@pytest.mark.by_test
def test_decisions_are_in_the_metadata_store(place):
    from ml_metadata.proto import metadata_store_pb2

    from pipeline.run_metadata import open_store

    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(place / "out/metadata.sqlite")
    recorded = open_store(connection).get_artifacts_by_type("RetrainDecision")
    actions = [one.custom_properties["action"].string_value for one in sorted(recorded, key=lambda one: one.id)]
    nothing = "nothing to do"
    assert actions == [
        *("cold", nothing, nothing, nothing, nothing, "warm", nothing),
        *("cold", "waiting", "stop: data", nothing),
    ]
    assert all(Path(one.uri, "decision.json").is_file() for one in recorded)


@pytest.mark.by_test_current
def test_a_span_of_another_kind_is_named_and_a_gate_judges_by_the_others(raw_config, tmp_path):
    from pipeline.retraining.retrain import retrain

    store = tmp_path / "store"

    def add_span(number: int, change: Callable[[np.ndarray], np.ndarray] = lambda pixels: pixels) -> None:
        for kind in CLASSES:
            folder = store / str(number) / kind
            folder.mkdir(parents=True)
            for index in range(20):
                pixels = change(np.asarray(draw(kind, 10_000 * number + index)))
                Image.fromarray(pixels).save(folder / f"{index}.png")

    ordinary = {"metric": "accuracy", "min": -1.0, "relative_to": "champion", "slice": {"span": "ordinary"}}
    raw = {
        **raw_config,
        "output_dir": str(tmp_path / "out"),
        "data": {"root": f"{store}/{{SPAN}}", "checks": {}},
        "evaluation": {"gates": [ordinary]},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(raw))
    config = load_config(tmp_path / "config.yaml", [])
    add_span(1)
    first = retrain(config)
    assert (first.status, first.decision.spans, first.drifted) == ("pushed", [], None)
    add_span(2)
    add_span(3, change=lambda pixels: 255 - pixels // 2)
    second = retrain(config)
    named = {span.name: span.differs_in for span in second.decision.spans}
    assert named["2"] == []
    assert "frozen features" in named["3"]
    (drifted,) = second.drifted
    assert (drifted.name, drifted.differs_in) == ("3", named["3"])
    gate = second.gates[0]
    assert gate.judged
    assert gate.examples == second.splits["test"] - drifted.examples
    assert "Left out of `span: ordinary`" in Path(second.report).read_text()
