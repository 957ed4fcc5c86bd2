"""TensorBoard and MLflow: what they are told of a training, and that their absence does not end it."""

from __future__ import annotations

import base64
import math

import numpy as np
import pytest

from finetune.config import TrackingConfig
from finetune.events import Epoch, Note, PhaseFinished, TrialFinished, TrialStarted, emit
from registry.versions import model_digest, push_version, roll_back
from trainer_module.tracking.entries import Candidate, Outcome, Picture, Served
from trainer_module.tracking.mlflow import CHALLENGER, CHAMPION, RUN_TAG
from trainer_module.tracking.outcome import tell
from trainer_module.tracking.training import Places, entries, flat, tracked

tf = pytest.importorskip("tensorflow")


def config_of(tmp_path, **changes) -> TrackingConfig:
    mlflow = {"uri": (tmp_path / "mlruns").as_uri(), "experiment": "shapes"}
    return TrackingConfig.model_validate({"tensorboard": True, "mlflow": mlflow, **changes})


def places(tmp_path) -> Places:
    return Places(str(tmp_path), str(tmp_path / "mlflow"))


def epoch(phase: str, epoch: int, number: int, val_loss: float, component: str = "Trainer", trial: str = "") -> None:
    metrics = {"loss": 0.5, "accuracy": 0.75, "val_loss": val_loss, "val_accuracy": 0.25, "learning_rate": 0.125}
    emit(
        Epoch(component=component, phase=phase, epoch=epoch, epochs=2, number=number, seconds=1, trial=trial, **metrics)
    )


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


def events(folder) -> dict[tuple[str, int], object]:
    (file,) = (path for path in folder.iterdir() if path.is_file())
    return {
        (value.tag, event.step): value
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }


def curve(folder, name: str) -> list[tuple[int, float]]:
    found = events(folder).items()
    return [(step, tf.make_ndarray(value.tensor).item()) for (tag, step), value in found if tag == name]


def search() -> None:
    for number, trial in enumerate(("cheap", "dear")):
        emit(TrialStarted(component="Trainer", trial=trial, parameters={"training": {"seed": number}}))
        epoch("tune", 1, 1, 0.5, trial=trial)
        epoch("tune", 2, 2, 0.25, trial=trial)
        emit(TrialFinished(component="Trainer", trial=trial, metrics={"val_loss": 0.25}, succeeded=number == 0))


def test_tensorboard_gets_each_epoch_by_its_number_in_all_phases_and_in_its_own(tmp_path):
    config = config_of(tmp_path, mlflow=None)
    with tracked(config, places(tmp_path), "0123456789", "Trainer", SETTINGS) as tracking:
        train()
    assert not tracking.is_kept
    folder = tmp_path / "Trainer-01234567"
    assert curve(folder, "val_loss") == [(1, 0.5), (2, 0.25), (3, 0.125)], "and none of another trainer"
    assert (curve(folder, "head/val_loss"), curve(folder, "tune/val_loss")) == ([(1, 0.5), (2, 0.25)], [(1, 0.125)])
    assert curve(folder, "head/best_val_loss") == [(2, 0.25)]
    assert curve(folder, "learning_rate")[-1] == (3, 0.125)
    assert not (tmp_path / "mlflow").exists()


def test_a_fit_to_validation_too_has_no_curve_of_it():
    told = {"component": "Trainer", "phase": "all", "epochs": 1, "val_loss": 0.1, "val_accuracy": 0.9, "seconds": 1}
    of_epoch = {**told, "epoch": 1, "number": 1, "learning_rate": 0.1, "loss": 0.5, "accuracy": 0.8, "trial": "refit"}
    (numbers, in_phase) = entries(Epoch(**of_epoch, val_is_trained_on=True), "Trainer", "run")
    assert set(numbers.values) == {"loss", "accuracy", "learning_rate"}
    assert set(in_phase.values) == {"all/loss", "all/accuracy", "all/learning_rate"}
    ended = PhaseFinished(**told, best_epoch=1, stopped_early=False, trial="refit", val_is_trained_on=True)
    assert entries(ended, "Trainer", "run") == []


def test_no_curve_of_tensorboard_starts_anew_with_a_trial_and_each_has_its_hyper_parameters(tmp_path):
    from tensorboard.plugins.hparams import plugin_data_pb2

    with tracked(config_of(tmp_path, mlflow=None), places(tmp_path), "0123456789", "Trainer", SETTINGS):
        search()
    folder = tmp_path / "Trainer-01234567"
    assert curve(folder, "val_loss") == []
    for seed, trial in enumerate(("cheap", "dear")):
        assert curve(folder / trial, "val_loss") == [(1, 0.5), (2, 0.25)]
        assert curve(folder / trial, "final/val_loss") == [(0, 0.25)]
        found = {
            tag: plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
            for (tag, _), value in events(folder / trial).items()
            if value.metadata.plugin_data.plugin_name == "hparams"
        }
        start, end = found["_hparams_/session_start_info"], found["_hparams_/session_end_info"]
        assert start.session_start_info.hparams["training.seed"].number_value == seed
        assert end.session_end_info.status == (1 if trial == "cheap" else 2), "success, or failure"
    settings = events(folder)["_hparams_/session_start_info", 0]
    hparams = plugin_data_pb2.HParamsPluginData.FromString(settings.metadata.plugin_data.content)
    assert hparams.session_start_info.hparams["training.phases.0.name"].string_value == "head"


def test_tensorboard_gets_pictures(tmp_path):
    png = tf.io.encode_png(np.full([3, 5, 3], 7, np.uint8)).numpy()
    with tracked(config_of(tmp_path, mlflow=None), places(tmp_path), "0123456789", "Trainer", SETTINGS) as tracking:
        tracking.put(Picture(run=tracking.run, name="augmentation", png=base64.b64encode(png).decode()))
    value = events(tmp_path / "Trainer-01234567")["augmentation", 0]
    assert value.metadata.plugin_data.plugin_name == "images"
    assert tf.make_ndarray(value.tensor).tolist() == [b"5", b"3", png]


@pytest.fixture
def client(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    return mlflow.MlflowClient((tmp_path / "mlruns").as_uri())


def runs(client) -> dict[str, list]:
    (experiment,) = (found for found in client.search_experiments() if found.name == "shapes")
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"])
    by_name: dict[str, list] = {}
    for run in found:
        by_name.setdefault(run.info.run_name, []).append(run)
    return by_name


def history(client, run, name: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name)]


def test_a_folder_of_mlflow_gets_parameters_metrics_and_the_outcome(tmp_path, client):
    config = config_of(tmp_path, tensorboard=False)
    with tracked(config, places(tmp_path), "key", "Trainer", SETTINGS) as tracking:
        train()
    report = tmp_path / "report.html"
    report.write_text("good")
    metrics = {"accuracy": 0.875, "loss": math.nan}
    files = [str(report), str(tmp_path / "gone.md")]
    outcome = Outcome(run=tracking.run, metrics=metrics, status="pushed", files=files, texts={"c.yaml": "x"}, at=1.0)
    ids = tell(config, tmp_path / "mlflow", "run", [outcome])
    (run,) = runs(client)["Trainer"]
    assert ids == {tracking.run: run.info.run_id}
    assert run.info.status == "FINISHED"
    assert run.data.params == flat(SETTINGS)
    assert (run.data.tags[RUN_TAG], run.data.tags["finetune.status"]) == (tracking.run, "pushed")
    assert run.data.metrics["test/accuracy"] == 0.875
    assert "test/loss" not in run.data.metrics
    assert history(client, run, "val_loss") == [(1, 0.5), (2, 0.25), (3, 0.125)]
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"report.html", "c.yaml"}
    assert not list(tmp_path.glob("Trainer-*"))
    assert not list((tmp_path / "mlflow").rglob("*.jsonl")), "nothing waits"


def test_trials_are_runs_below_the_training(tmp_path, client):
    config = config_of(tmp_path, tensorboard=False)
    with tracked(config, places(tmp_path), "key", "Trainer", SETTINGS):
        search()
    found = runs(client)
    parent = found["Trainer"][0].info.run_id
    for seed, trial in enumerate(("cheap", "dear")):
        (run,) = found[trial]
        assert run.data.tags["mlflow.parentRunId"] == parent
        assert run.data.params == {"training.seed": str(seed)}
        assert history(client, run, "tune/val_loss") == [(1, 0.5), (2, 0.25)]
        assert run.info.status == ("FINISHED" if trial == "cheap" else "FAILED")


def test_a_training_that_goes_on_goes_on_in_its_mlflow_run(tmp_path, client):
    config = config_of(tmp_path, tensorboard=False)

    def told_to_end():
        with tracked(config, places(tmp_path), "key", "Trainer", SETTINGS):
            epoch("head", 1, 1, 0.5)
            epoch("head", 2, 2, 0.25)
            raise SystemExit(143)

    with pytest.raises(SystemExit):
        told_to_end()
    (run,) = runs(client)["Trainer"]
    assert run.info.status == "RUNNING"
    with pytest.raises(ZeroDivisionError), tracked(config, places(tmp_path), "key", "Trainer", SETTINGS):
        raise ZeroDivisionError
    assert client.get_run(run.info.run_id).info.status == "FAILED"
    with tracked(config, places(tmp_path), "key", "Trainer", SETTINGS):
        # Its checkpoint was of the first epoch.
        epoch("head", 2, 2, 0.25)
        epoch("head", 3, 3, 0.125)
    (same,) = runs(client)["Trainer"]
    assert same.info.run_id == run.info.run_id
    assert same.info.status == "FINISHED"
    assert history(client, same, "val_loss") == [(1, 0.5), (2, 0.25), (3, 0.125)]
    with tracked(config, places(tmp_path), "key", "Trainer", SETTINGS):
        pass
    assert len(runs(client)["Trainer"]) == 2, "one that ended well is over"


def test_names_and_values_that_mlflow_does_not_take_are_changed(tmp_path, client, heard):
    settings = {"class weights": {"a(b)": 2.0, "x" * 300: 1}, "long": "y" * 10_000}
    config = config_of(tmp_path, tensorboard=False)
    with tracked(config, places(tmp_path), "key", "Trainer", settings):
        epoch("fine tune!", 1, 1, 0.5)
    (run,) = runs(client)["Trainer"]
    assert run.data.params["class weights.a_b_"] == "2.0"
    assert len(run.data.params["long"]) == 500
    assert run.data.params["long"].endswith("...")
    assert run.data.metrics["fine tune_/val_loss"] == 0.5
    assert warnings(heard) == []


def model_of(tmp_path, name: str) -> Candidate:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "saved_model.pb").write_text(name)
    return Candidate(run="", model="flowers", folder=str(folder), digest=model_digest(folder), status="refused")


def test_the_served_version_is_the_champion_and_the_latest_candidate_the_challenger(tmp_path, client):
    config, pushed = config_of(tmp_path, tensorboard=False), tmp_path / "pushed"
    served = Served(model="flowers", versions=str(pushed))

    def judged(name: str, push: bool) -> Candidate:
        with tracked(config, places(tmp_path), name, "Trainer", {}) as tracking:
            pass
        candidate = model_of(tmp_path, name).model_copy(update={"run": tracking.run})
        if push:
            push_version(tmp_path / name, pushed)
        tell(config, tmp_path / "mlflow", name, [candidate, served])
        return candidate

    def aliases() -> dict[str, str]:
        return {name: str(version) for name, version in client.get_registered_model("flowers").aliases.items()}

    judged("first", push=True)
    assert aliases() == {CHALLENGER: "1", CHAMPION: "1"}
    second = judged("second", push=False)
    assert aliases() == {CHALLENGER: "2", CHAMPION: "1"}
    tell(config, tmp_path / "mlflow", "again", [second, served])
    assert len(client.search_model_versions("name = 'flowers'")) == 2, "the same model is one version"
    push_version(tmp_path / "second", pushed)
    tell(config, tmp_path / "mlflow", "approved", [served])
    assert aliases() == {CHALLENGER: "2", CHAMPION: "2"}
    version = client.get_model_version_by_alias("flowers", CHAMPION)
    assert version.tags["finetune.status"] == "pushed"
    assert [file.path for file in client.list_artifacts(version.run_id, "model")] == ["model/saved_model.pb"]
    roll_back(pushed)
    tell(config, tmp_path / "mlflow", "back", [served])
    assert aliases() == {CHALLENGER: "2", CHAMPION: "1"}
    model_of(tmp_path, "from elsewhere")
    push_version(tmp_path / "from elsewhere", pushed)
    tell(config, tmp_path / "mlflow", "elsewhere", [served])
    assert aliases() == {CHALLENGER: "2"}, "what is served is no version of MLflow's"


def warnings(heard) -> list[str]:
    return [note.text for note in heard if isinstance(note, Note) and note.level == "warning"]


def test_trackers_that_cannot_be_written_are_told_and_training_goes_on(tmp_path, heard):
    (tmp_path / "file").write_text("in the way of a folder")
    config = config_of(tmp_path, mlflow={"uri": "nonsense://nowhere"})
    with tracked(config, Places(str(tmp_path / "file"), str(tmp_path / "file")), "key", "Trainer", {}):
        train()
    told = warnings(heard)
    assert any(text.startswith("what MLflow is to have is kept in memory alone: ") for text in told)
    for title in ("TensorBoard", "MLflow"):
        first, last = (text for text in told if text.startswith(title))
        assert first.startswith(f"{title} cannot be written to and is tried again: ")
        assert last == f"{title} was not reached in time; entries that are lost: 9", "two an epoch, and three more"


def test_credentials_in_the_config_are_refused_and_not_repeated(problems):
    config = {"name": "x", "data": {"root": "x"}, "backbone": {"name": "SmallCNN"}}
    found = problems({**config, "tracking": {"mlflow": {"uri": "https://ann:s3cret@mlflow.example/"}}})
    (told,) = (text for text in found if text.startswith("tracking"))
    assert told.startswith("tracking.mlflow.uri: got 'https://...@mlflow.example/'; expected a URL without credentials")
