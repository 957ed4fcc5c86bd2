"""TensorBoard and MLflow: what they are told of a training, and that their absence does not end it."""

from __future__ import annotations

import math

import pytest

from finetune.config import TrackingConfig
from finetune.events import Epoch, Note, PhaseFinished, emit
from trainer_module.tracking import RUN_TAG, flat, log_outcome, tracked

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
    with tracked(config, str(tmp_path), "0123456789", "Trainer", SETTINGS) as run_id:
        train()
    assert run_id == ""
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
    with tracked(config, str(tmp_path / "none"), "key", "Trainer", SETTINGS) as run_id:
        train()
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
    first = killed.__enter__()
    with tracked(config, str(tmp_path), "key", "Trainer", SETTINGS) as again:
        pass
    with tracked(config, str(tmp_path), "key", "Trainer", SETTINGS) as afresh:
        pass
    assert first == again != afresh
    with pytest.raises(ZeroDivisionError), tracked(config, str(tmp_path), "other", "Trainer", SETTINGS) as failed:
        raise ZeroDivisionError
    assert client.get_run(failed).info.status == "FAILED"
    killed.gen.close()


def test_a_tracker_that_cannot_be_written_is_told_once_and_training_goes_on(tmp_path, heard):
    (tmp_path / "file").write_text("in the way of a folder")
    config = config_of(tmp_path, mlflow={"uri": "nonsense://nowhere"})
    with tracked(config, str(tmp_path / "file"), "key", "Trainer", {}) as run_id:
        train()
    assert run_id == ""
    log_outcome(config, run_id, {"accuracy": 1.0}, "pushed")
    told = [note.text for note in heard if isinstance(note, Note) and note.level == "warning"]
    assert len(told) == 2
    assert told[0].startswith("TensorBoard is no longer written to, training goes on: ")
    assert told[1].startswith("MLflow is no longer written to, training goes on: ")
