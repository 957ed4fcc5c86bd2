"""A real tracking server of MLflow: killed in the middle, silent, broken, or with a token that is wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from finetune.config import TrackingConfig
from finetune.events import Epoch, Note, TrialFinished, TrialStarted, emit
from registry.versions import model_digest, push_version
from trainer_module.tracking.entries import Candidate, Outcome, Served
from trainer_module.tracking.outcome import tell
from trainer_module.tracking.training import Places, tracked

pytest.importorskip("mlflow.server")

EPOCHS = 12
TOKEN = "t0ken-that-is-wrong"


class Server:
    """`mlflow server` on SQLite, in a process group of its own."""

    def __init__(self, folder: Path):
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db", "--workers", "1"]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            with suppress(urllib.error.URLError, OSError):
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                return
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            time.sleep(0.5)
        raise AssertionError("the server does not come up")

    def kill(self) -> None:
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("server"))
    try:
        found.start()
        yield found
    finally:
        found.kill()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("trainer_module.tracking.outbox.FIRST_WAIT", 0.2)
    monkeypatch.setattr("trainer_module.tracking.outbox.LONGEST_WAIT", 0.2)


def config_of(uri: str, experiment: str) -> TrackingConfig:
    return TrackingConfig.model_validate({"tensorboard": False, "mlflow": {"uri": uri, "experiment": experiment}})


def epoch(number: int, trial: str = "") -> None:
    metrics = {"loss": 0.5, "accuracy": 0.75, "val_loss": 1 / number, "val_accuracy": 0.25, "learning_rate": 0.125}
    more = {"epoch": number, "epochs": EPOCHS, "number": number, "seconds": 1.0, "trial": trial}
    emit(Epoch(component="Trainer", phase="head", **metrics, **more))


def runs_of(uri: str, experiment: str) -> tuple[object, list]:
    from mlflow import MlflowClient

    client = MlflowClient(uri, uri)
    found = client.get_experiment_by_name(experiment)
    return client, client.search_runs([found.experiment_id]) if found else []


def steps(client, run, name: str = "val_loss") -> list[int]:
    return [metric.step for metric in client.get_metric_history(run.info.run_id, name)]


def warnings(heard) -> list[str]:
    return [note.text for note in heard if isinstance(note, Note) and note.level == "warning"]


def until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.long
def test_a_server_that_is_killed_and_comes_back_has_every_epoch_once_and_the_aliases_right(tmp_path, server, heard):
    config, places, pushed = config_of(server.uri, "killed"), Places("", str(tmp_path / "mlflow")), tmp_path / "pushed"
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(os.urandom(100_000))

    def training(first: int, last: int, stop: bool) -> str:
        with tracked(config, places, "key", "Trainer", {"seed": 1}) as tracking:
            for number in range(first, last + 1):
                epoch(number)
                if number == 4:
                    until(lambda: [steps(client, run) for run in runs_of(server.uri, "killed")[1]] == [[1, 2, 3, 4]])
                    server.kill()
            if stop:
                raise SystemExit(143)
        return tracking.run

    client, _ = runs_of(server.uri, "killed")
    with pytest.raises(SystemExit):
        training(1, 7, stop=True)
    server.start()
    # The last checkpoint was of epoch 5.
    run = training(6, EPOCHS, stop=False)
    (found,) = runs_of(server.uri, "killed")[1]
    assert steps(client, found) == list(range(1, EPOCHS + 1))
    assert steps(client, found, "head/val_loss") == list(range(1, EPOCHS + 1))
    assert (found.info.status, found.data.params) == ("FINISHED", {"seed": "1"})

    server.kill()
    push_version(model, pushed)
    report = tmp_path / "report.html"
    report.write_text("<p>good</p>")
    candidate = Candidate(run=run, model="flowers", folder=str(model), digest=model_digest(model), status="pushed")
    served = Served(model="flowers", versions=str(pushed))
    outcome = Outcome(run=run, metrics={"accuracy": 0.9}, status="pushed", files=[str(report)], at=time.time())
    tell(config, tmp_path / "mlflow", "run-1", [outcome, candidate, served], seconds=3)
    assert any("entries that wait for the next run: 3" in text for text in warnings(heard))
    server.start()
    tell(config, tmp_path / "mlflow", "run-2", [served])
    aliases = client.get_registered_model("flowers").aliases
    assert {name: str(version) for name, version in aliases.items()} == {"challenger": "1", "champion": "1"}
    (version,) = client.search_model_versions("name = 'flowers'")
    assert version.run_id == found.info.run_id
    (file,) = client.list_artifacts(found.info.run_id, "model")
    assert (file.path, file.file_size) == ("model/saved_model.pb", 100_000)
    done = client.get_run(found.info.run_id)
    assert (done.data.metrics["test/accuracy"], done.data.tags["finetune.status"]) == (0.9, "pushed")
    assert "report.html" in {one.path for one in client.list_artifacts(found.info.run_id)}
    assert not list((tmp_path / "mlflow").rglob("*.jsonl")), "nothing waits any more"


@pytest.mark.long
def test_trials_of_a_search_are_nested_and_long_parameters_are_cut(tmp_path, server, heard):
    config = config_of(server.uri, "search")
    with tracked(config, Places("", str(tmp_path)), "key", "Trainer", {"long": "x" * 100_000, "a(b)": 1}):
        for trial in ("cheap", "dear"):
            emit(TrialStarted(component="Trainer", trial=trial, parameters={"rate": 0.1}))
            epoch(1, trial)
            emit(TrialFinished(component="Trainer", trial=trial, metrics={"val_loss": 0.5, "odd": float("nan")}))
    client, found = runs_of(server.uri, "search")
    by_name = {run.info.run_name: run for run in found}
    assert sorted(by_name) == ["Trainer", "cheap", "dear"]
    parent = by_name["Trainer"].info.run_id
    assert {by_name[name].data.tags["mlflow.parentRunId"] for name in ("cheap", "dear")} == {parent}
    assert len(by_name["Trainer"].data.params["long"]) == 500
    assert steps(client, by_name["dear"]) == [1]
    assert by_name["dear"].data.metrics["final/val_loss"] == 0.5
    assert warnings(heard) == []


class Odd(BaseHTTPRequestHandler):
    """Answers every request as its server says."""

    def do_GET(self):
        self.server.seen.append(self.headers.get("Authorization", ""))
        if self.server.code is None:
            self.server.released.wait(30)
            return
        self.send_response(self.server.code)
        self.end_headers()
        self.wfile.write(b"no " + self.headers.get("Authorization", "").encode())

    do_POST = do_GET

    def log_message(self, *arguments):
        pass


@pytest.fixture
def odd() -> Iterator[ThreadingHTTPServer]:
    found = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    found.seen, found.code, found.released = [], None, threading.Event()
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.released.set()
    found.shutdown()
    found.server_close()


@pytest.mark.parametrize("code", [None, 503, 401, 403, 404, 200], ids=lambda code: str(code or "silence"))
def test_a_server_that_does_not_answer_as_it_should_costs_no_time_and_nothing_is_lost(
    odd, code, tmp_path, heard, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    odd.code = code
    config = config_of(f"http://127.0.0.1:{odd.server_port}", "odd")
    monkeypatch.setattr("trainer_module.tracking.outbox.CLOSING_SECONDS", 0.5)
    began = time.monotonic()
    with tracked(config, Places("", str(tmp_path)), "key", "Trainer", {"seed": 1}):
        for number in range(1, EPOCHS + 1):
            epoch(number)
        assert time.monotonic() - began < 2, "the training itself does not wait"
        until(lambda: odd.seen)
    assert set(odd.seen) == {f"Bearer {TOKEN}"}
    told = warnings(heard)
    assert told, "it is said"
    assert not any(TOKEN in text for text in told)
    (journal,) = tmp_path.rglob("*.jsonl")
    assert journal.read_text().count('"numbers"') == 2 * EPOCHS
    assert TOKEN not in journal.read_text()
