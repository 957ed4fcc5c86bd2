"""TensorBoard and MLflow: what they are told of a training, and that their absence does not end it."""

from __future__ import annotations

import math

import pytest

from finetune.config import TrackingConfig
from finetune.events import Epoch, Note, PhaseFinished, emit
from trainer_module.tracking import outbox
from trainer_module.tracking.mlflow import RUN_TAG, log_outcome
from trainer_module.tracking.training import flat, tracked

tf = pytest.importorskip("tensorflow")


def config_of(tmp_path, **changes) -> TrackingConfig:
    mlflow = {"uri": (tmp_path / "mlruns").as_uri(), "experiment": "shapes"}
    return TrackingConfig.model_validate({"tensorboard": True, "mlflow": mlflow, **changes})


def epoch(phase: str, epoch: int, number: int, val_loss: float, component: str = "Trainer") -> None:
    metrics = {"loss": 0.5, "accuracy": 0.75, "val_loss": val_loss, "val_accuracy": 0.25, "learning_rate": 0.125}
    emit(Epoch(component=component, phase=phase, epoch=epoch, epochs=2, number=number, seconds=1, **metrics))


def train() -> None:
    epoch("head", 1, 1, 0.5)
    epoch("head", 2, 2, 0.25)
    emit(
        PhaseFinished(
            component="Trainer", phase="head", best_epoch=2, val_loss=0.25, val_accuracy=0.25, epochs=2,
            stopped_early=False, seconds=1,
        )
    )  # fmt: skip
    epoch("tune", 1, 3, 0.125)
    epoch("tune", 1, 9, 99.0, component="ScratchTrainer")


SETTINGS = {"training": {"seed": 3, "phases": [{"name": "head"}]}, "backbone": {"arguments": {"alpha": 0.5}}}


def test_settings_become_dotted_keys():
    expected = {"training.seed": "3", "training.phases.0.name": "head", "backbone.arguments.alpha": "0.5"}
    assert flat(SETTINGS) == expected


def test_tensorboard_gets_each_epoch_by_its_number_in_all_phases_and_in_its_own(tmp_path):
    config = config_of(tmp_path, mlflow=None)
    with tracked(config, str(tmp_path), "0123456789", "Trainer", SETTINGS) as tracking:
        train()
    assert tracking.mlflow_run == ""
    (file,) = (tmp_path / "Trainer-01234567").iterdir()
    found = {
        (value.tag, event.step): tf.make_ndarray(value.tensor).item()
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    assert [found["val_loss", number] for number in (1, 2, 3)] == [0.5, 0.25, 0.125]
    assert [found["head/val_loss", 2], found["tune/val_loss", 1]] == [0.25, 0.125]
    assert found["head/best_val_loss", 2] == 0.25
    assert found["learning_rate", 3] == 0.125
    assert ("val_loss", 9) not in found, "another trainer's"


@pytest.fixture
def client(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    return mlflow.MlflowClient((tmp_path / "mlruns").as_uri())


def test_mlflow_gets_parameters_metrics_and_the_outcome(tmp_path, client):
    config = config_of(tmp_path, tensorboard=False)
    with tracked(config, str(tmp_path / "none"), "key", "Trainer", SETTINGS) as tracking:
        train()
    run_id = tracking.mlflow_run
    log_outcome(config, run_id, {"accuracy": 0.875, "loss": math.nan}, "pushed")
    run = client.get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "Trainer")
    assert run.data.params == flat(SETTINGS)
    assert (run.data.tags[RUN_TAG], run.data.tags["finetune.status"]) == ("key", "pushed")
    assert run.data.metrics["test/accuracy"] == 0.875
    assert "test/loss" not in run.data.metrics
    assert [(m.step, m.value) for m in client.get_metric_history(run_id, "val_loss")] == [
        (1, 0.5),
        (2, 0.25),
        (3, 0.125),
    ]
    assert not (tmp_path / "none").exists()


def test_a_training_that_goes_on_goes_on_in_its_mlflow_run(tmp_path, client):
    config = config_of(tmp_path, tensorboard=False)
    killed = tracked(config, str(tmp_path), "key", "Trainer", SETTINGS)
    first = killed.__enter__().mlflow_run
    with tracked(config, str(tmp_path), "key", "Trainer", SETTINGS) as tracking:
        again = tracking.mlflow_run
    with tracked(config, str(tmp_path), "key", "Trainer", SETTINGS) as tracking:
        afresh = tracking.mlflow_run
    assert first == again != afresh
    failing = tracked(config, str(tmp_path), "other", "Trainer", SETTINGS)
    failed = failing.__enter__().mlflow_run
    with pytest.raises(ZeroDivisionError):
        failing.gen.throw(ZeroDivisionError)
    assert client.get_run(failed).info.status == "FAILED"
    killed.gen.close()


def warnings(heard) -> list[str]:
    return [note.text for note in heard if isinstance(note, Note) and note.level == "warning"]


def test_trackers_that_cannot_be_written_are_told_once_and_at_the_end_and_training_goes_on(tmp_path, heard):
    (tmp_path / "file").write_text("in the way of a folder")
    config = config_of(tmp_path, mlflow={"uri": "nonsense://nowhere"})
    with tracked(config, str(tmp_path / "file"), "key", "Trainer", {}) as tracking:
        train()
    assert tracking.mlflow_run == ""
    log_outcome(config, tracking.mlflow_run, {"accuracy": 1.0}, "pushed")
    told = warnings(heard)
    for title in ("TensorBoard", "MLflow"):
        first, last = (text for text in told if text.startswith(title))
        assert first.startswith(f"{title} cannot be written to and is tried again; training goes on: ")
        assert last == f"{title} was not reached: 7 entries were not written", "two an epoch, one for the phase"
    assert len(told) == 4


def test_the_outcome_that_cannot_be_written_is_told(tmp_path, heard):
    log_outcome(config_of(tmp_path, mlflow={"uri": "nonsense://nowhere"}), "a_run", {"accuracy": 1.0}, "pushed")
    (told,) = warnings(heard)
    assert told.startswith("MLflow does not have the outcome of the run: ")


class Server:
    """Stands in for a tracking server that can be down."""

    def __init__(self):
        self.is_down = False
        self.steps: list[int] = []
        self.attempts = 0
        self.ended = None

    def log(self, values, step, at):
        self.attempts += 1
        if self.is_down:
            raise ConnectionError("refused")
        self.steps.append(step)

    def close(self, succeeded):
        self.ended = succeeded


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(outbox.time, "monotonic", lambda: now[0])
    return now


def test_a_server_that_was_down_for_a_while_gets_what_it_missed_in_order(clock, heard):
    server = Server()
    box = outbox.Outbox("MLflow", lambda: server)
    box.log({"loss": 1.0}, 1)
    server.is_down = True
    for step in range(2, 12):
        box.log({"loss": 1.0}, step)
        clock[0] += 1
    assert server.steps == [1]
    assert server.attempts == 2, "no attempt within ten seconds of the last"
    server.is_down = False
    box.log({"loss": 1.0}, 12)
    assert server.steps == list(range(1, 13))
    box.close(True)
    assert server.ended is True
    assert len(warnings(heard)) == 1, "an outage is told once"
    assert heard[-1].text == "MLflow is written to again, and has what it missed"


def test_attempts_become_rare_and_what_waits_is_bounded(clock, heard, monkeypatch):
    monkeypatch.setattr(outbox, "MOST_ENTRIES", 5)
    server = Server()
    server.is_down = True
    box = outbox.Outbox("MLflow", lambda: server)
    for step in range(1, 3601):
        box.log({"loss": 1.0}, step)
        clock[0] += 1
    assert server.attempts <= 12, "after 0, 10, 20, 40 ... 600 seconds of an hour"
    box.close(False)
    assert warnings(heard)[-1] == "MLflow was not reached: 3600 entries were not written"


def test_a_server_that_is_down_at_the_start_is_opened_later(clock):
    server, tries = Server(), []

    def opened():
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("refused")
        return server

    box = outbox.Outbox("MLflow", opened)
    for step in range(1, 60):
        box.log({"loss": 1.0}, step)
        clock[0] += 1
    assert server.steps == list(range(1, 60))
