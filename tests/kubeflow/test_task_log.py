"""The log of a pod: events as JSON lines that replay reads, and all else that is logged."""

from __future__ import annotations

import logging

import pytest

from finetune.events import ComponentFinished, Step, emit
from finetune_kubeflow.replay.run import states_in
from finetune_kubeflow.task.log import logs_to_stderr


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield root
    root.handlers[:], root.level = before


def test_replay_finds_the_state_of_each_node_in_what_a_pod_logs(tmp_path, capsys, root_logger):
    with logs_to_stderr():
        logging.getLogger("tfx").warning("something of TFX")
        logging.getLogger("apache_beam.typehints.native_type_compatibility").info("Using Any for unsupported type: x")
        emit(Step(component="Trainer", phase="head", epoch=1, step=1, loss=1.0, accuracy=0.5))
        emit(ComponentFinished(component="SchemaGen", state="ran", seconds=1.5))
        emit(ComponentFinished(component="Trainer", state="cached", seconds=0.5))
        logging.getLogger("tfx").warning("more of it")
    written = capsys.readouterr().err
    assert "something of TFX" in written
    assert "Using Any" not in written
    assert '"kind": "step"' not in written
    log = tmp_path / "log"
    log.write_text(written)
    assert states_in(log) == {"SchemaGen": "ran", "Trainer": "cached"}


def test_a_log_of_the_version_before_is_read_too(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        '{"kind": "component_started", "component": "A", "run_id": "r"}\n'
        'torn {"kind": "component_finished"\n'
        '{"kind": "component_finished", "component": "A", "state": "cached", "seconds": 0.1}\n'
        "the end\n"
    )
    assert states_in(log) == {"A": "cached"}
    log.write_text("")
    assert states_in(log) == {}
