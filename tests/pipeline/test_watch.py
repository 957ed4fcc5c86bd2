"""Watching data: every span is decided on once and in order, however often the watch is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from finetune.config import load_config
from finetune.errors import ConfigError, DataError, RunError
from pipeline.retraining import watch as watching
from pipeline.retraining.lineage import store_of
from pipeline.retraining.watch import LONGEST_PAUSE, Queue, up_to, watch
from registry.versions import model_digest, versions


def test_spans_come_in_order_when_they_are_still_and_one_that_failed_holds_the_others_up():
    queue, there = Queue(settle=10), {"1": "a", "2": "b"}
    assert queue.next(there, {}, now=0) is None
    assert queue.next(there, {}, now=9) is None
    assert queue.next(there | {"1": "changed"}, {}, now=10) is None
    assert queue.next(there, {}, now=11) is None
    assert queue.next(there, {}, now=21) == "1"
    assert queue.failed("1", there, now=21, pause=5) == 5
    assert queue.next(there, {}, now=25) is None
    assert queue.next(there, {}, now=26) == "1"
    assert queue.failed("1", there, now=26, pause=5) == 10
    assert queue.next(there, {"1": "a"}, now=26) == "2"
    assert queue.next(there, {"1": "a", "2": "b"}, now=26) is None
    # It came again with other data, and has to be still again.
    assert queue.next({"1": "late", "2": "b"}, {"1": "a", "2": "b"}, now=27) is None
    assert queue.next({"1": "late", "2": "b"}, {"1": "a", "2": "b"}, now=37) == "1"


def test_pauses_grow_to_an_hour():
    queue, there = Queue(settle=0), {"1": "a"}
    queue.next(there, {}, now=0)
    assert max(queue.failed("1", there, now=0, pause=60) for _ in range(20)) == LONGEST_PAUSE


def test_a_span_is_decided_on_with_all_before_it_and_with_later_ones_that_were():
    assert up_to("2", ["1"], ["1", "2", "3"]) == ["..2"]
    assert up_to("1", ["1", "2"], ["1", "2", "3"]) == ["..2"]
    assert up_to("10", ["2"], ["2", "10"]) == ["..10"]
    assert up_to("", [], [""]) == []


def configured(folder: Path) -> Path:
    """Writes a config of data in spans below a folder."""
    raw = {
        "name": "shapes",
        "output_dir": str(folder / "out"),
        "data": {"root": f"{folder}/store/{{SPAN}}"},
        "backbone": {"name": "SmallCNN", "weights": "random", "image_size": 32},
    }
    folder.mkdir(exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.fixture
def config(tmp_path) -> Path:
    return configured(tmp_path)


def test_a_second_watch_and_a_choice_of_spans_are_errors(config):
    with pytest.raises(ConfigError, match="watch takes every span"):
        watch(load_config(config, ["data.spans=[..3]"]), lambda spans: None)
    with watching._only_watch(load_config(config, []).output_path), pytest.raises(RunError, match="another"):
        watch(load_config(config, []), lambda spans: None)


def test_while_a_candidate_waits_nothing_is_started(config, monkeypatch):
    monkeypatch.setattr(watching, "waiting_model", lambda directory: "a model")
    monkeypatch.setattr(watching, "_looked", lambda *_: {"1": "a"})
    watch(load_config(config, []), lambda spans: pytest.fail("started"), once=True)


def left(config: Path) -> dict[str, Any]:
    """What a watch has left: decisions with their spans and endings, versions by the digest of their models."""
    loaded = load_config(config, [])
    store = store_of(loaded)
    recorded = sorted(store.get_artifacts_by_type("RetrainDecision"), key=lambda one: one.id)
    said = [{key: value.string_value for key, value in one.custom_properties.items()} for one in recorded]
    return {
        "decisions": [(one["action"], one.get("ended", ""), list(json.loads(one["data"]))) for one in said],
        "models": [model_digest(loaded.push_path / str(number)) for number in versions(loaded.push_path)],
        "verdicts": len(store.get_artifacts_by_type("GateVerdict")),
        "half": [path.name for path in loaded.push_path.glob(".incoming*")],
    }


def test_once_says_when_a_run_failed_or_the_data_cannot_be_looked_at(tmp_path):
    config = load_config(configured(tmp_path), [])
    with pytest.raises(DataError):
        watch(config, lambda spans: pytest.fail("started"), settle=0, once=True)
    (tmp_path / "store" / "1").mkdir(parents=True)
    started = []
    with pytest.raises(RunError, match=r"span 1 is not done"):
        watch(config, started.append, settle=0, once=True)
    assert started == [["..1"]]


def test_killed_at_twenty_moments_every_span_is_decided_on_once_and_the_end_is_the_same(tmp_path):
    undisturbed, killed = (configured(tmp_path / name) for name in ("undisturbed", "killed"))
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("stand_in_run.py")), str(undisturbed), str(killed), "20"]
    done = subprocess.run([*command, "0"], cwd=root, env=environment, check=True, capture_output=True, text=True)
    # Most of the kills have to meet a watch that works, or they show nothing.
    assert int(done.stdout.split()[-1]) >= 10
    expected = left(undisturbed)
    assert expected["decisions"] == [
        ("cold", "pushed", ["1"]),
        ("warm", "pushed", ["1", "2"]),
        ("warm", "pushed", ["1", "2", "3"]),
    ]
    assert (len(expected["models"]), expected["verdicts"], expected["half"]) == (3, 3, [])
    assert left(killed) == expected
