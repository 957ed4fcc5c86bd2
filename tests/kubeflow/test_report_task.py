"""The last task of a run: what it tells of one that failed, of one that the data stopped, of one that decided."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import small_components

from finetune.artifacts.report_data import ReportData
from finetune.artifacts.retrain_decision import RetrainDecision, RetrainReason
from finetune.artifacts.run_summary import RunSummary
from finetune.config import load_config
from finetune_kubeflow.client.outcome import exit_code_in
from finetune_kubeflow.package.packed import pack, pack_config
from finetune_kubeflow.task import process, report, run_nodes
from pipeline import run_metadata
from pipeline.metadata_connection import METADATA_ENV, sqlite_connection
from pipeline.retraining.lineage import Lineage
from pipeline.run_ids import start_of
from pipeline.run_metadata import RunMetadata, note_failure, open_store
from pipeline.saved_report import save_report

OUTPUTS = {
    "report": "system.HTML",
    "metrics": "system.Metrics",
    "confusion_matrix": "system.ClassificationMetrics",
    "model_card": "system.Markdown",
    "model": "system.Model",
}


class Place:
    """A volume, a metadata store, and the last task on them."""

    def __init__(self, folder: Path, tiny: Path, read_log: Callable[[], str]):
        self.folder, self.volume, self._read_log = folder, folder / "volume", read_log
        self.connection = sqlite_connection(folder / "metadata.sqlite")
        self.config = load_config(tiny / "tiny.yaml", ["output_dir=out"])

    def arguments(self) -> list[str]:
        """What the package gives the last task."""
        artifacts = {
            name: {"artifacts": [{"name": name, "type": {"schemaTitle": kind}, "uri": str(self.folder / "kfp" / name)}]}
            for name, kind in OUTPUTS.items()
        }
        given = json.dumps(
            {"outputs": {"artifacts": artifacts, "outputFile": str(self.folder / "kfp" / "output.json")}}
        )
        return ["--run-id", "kfp-id", "--config", pack_config(self.config), "--executor-input", given]

    def told(self) -> tuple[int | None, dict]:
        """Runs the last task; returns the exit code that it tells of, and the metadata of its outputs."""
        options = process.parser("report", None)
        for name in ("--config", "--executor-input"):
            options.add_argument(name)
        parsed = options.parse_args(self.arguments())
        with process.logs_to_stderr():
            assert process.attempt(parsed, lambda task: report.report(parsed, task)) == 0
        return exit_code_in(self._read_log()), self.metadata()

    def metadata(self) -> dict:
        """What the outputs of the last task say of themselves to KFP, by name."""
        told = json.loads((self.folder / "kfp" / "output.json").read_text())["artifacts"]
        return {name: one["artifacts"][0]["metadata"] for name, one in told.items()}

    def summary(self) -> RunSummary:
        (folder,) = (self.volume / "out" / "runs").iterdir()
        assert start_of(folder.name), "folders of runs sort by time"
        return RunSummary.read(folder)


@pytest.fixture
def place(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Place]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    monkeypatch.chdir(tmp_path)
    for name in METADATA_ENV:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("FINETUNE_MLMD_DATABASE", str(tmp_path / "metadata.sqlite"))
    monkeypatch.setenv("FINETUNE_ROOT", str(tmp_path / "volume"))
    yield Place(tmp_path, tiny, lambda: capsys.readouterr().err)
    root.handlers[:], root.level = before


def test_a_run_that_failed_has_a_report_that_says_why(place: Place):
    note_failure(place.connection, "kfp-id", "ImageExampleGen: data.root: got 'images'; there is no such folder", 1)
    code, metadata = place.told()
    summary = place.summary()
    assert (code, summary.status) == (1, "failed")
    assert summary.error == "ImageExampleGen: data.root: got 'images'; there is no such folder"
    assert "there is no such folder" in (place.folder / "kfp" / "report").read_text()
    assert "ended as `failed`" in (place.folder / "kfp" / "model_card").read_text()
    assert metadata["model"] == {"framework": "TensorFlow", "outcome": "failed"}
    assert (metadata["metrics"], metadata["confusion_matrix"]) == ({}, {})
    assert (place.volume / "out" / "history.html").is_file()


def test_data_that_were_refused_are_no_failure_to_whoever_asks(place: Place):
    note_failure(place.connection, "kfp-id", "DataGate: 40.0% of train and test are the same", 3)
    assert place.told()[0] == 3
    assert place.summary().status == "refused"


def test_a_pod_that_was_lost_is_told_by_its_node(place: Place):
    place.told()
    error = place.summary().error
    assert error is not None
    assert error.startswith("ImageExampleGen: did not run to its end, and its task left no word of why")


def test_where_the_store_stays_away_the_report_says_that_and_the_task_fails(
    place: Place, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_metadata, "_ATTEMPTS", 1)
    monkeypatch.setenv("FINETUNE_MLMD_DATABASE", str(place.folder / "nowhere" / "metadata.sqlite"))
    assert report.main(place.arguments()) == 1
    summary = place.summary()
    assert summary.status == "failed"
    assert summary.error is not None
    assert summary.error.startswith(
        "what became of the run cannot be said. FINETUNE_MLMD_HOST, _PORT, _DATABASE, _USER: got"
    )
    assert "cannot be said" in (place.folder / "kfp" / "report").read_text()
    assert place.metadata()["model"]["outcome"] == "failed"


@pytest.mark.parametrize(
    ("missing", "said", "expected"),
    [
        ({}, "Trainer: out of memory", None),
        ({"Trainer", "Pusher"}, "Trainer: out of memory", "Trainer: out of memory"),
        ({"Trainer", "Pusher"}, "the metadata store cannot be reached", "the metadata store cannot be reached"),
        # That one was tried again with success.
        ({"Pusher"}, "Trainer: out of memory", "Pusher: did not run to its end"),
    ],
)
def test_what_is_said_of_a_failure_is_of_a_node_that_is_missing(missing: set[str], said: str, expected: str | None):
    found, _ = report.failure_of(missing, ["Trainer", "Pusher"], said, 1)
    assert (found is None) == (expected is None)
    assert (found or "").startswith(expected or "")


def test_a_decision_not_to_train_is_what_is_told(place: Place):
    folder = place.volume / "out" / "decisions" / "20260101T000000.000000Z"
    decision = RetrainDecision(
        action="nothing to do", reasons=[RetrainReason(name="new examples", sentence="None is new.", decisive=True)]
    )
    folder.mkdir(parents=True)
    summary = RunSummary(run_id=folder.name, name="tiny", status="nothing_to_do", decision=decision)
    save_report(folder, ReportData(title="tiny", summary=summary))
    Lineage(open_store(place.connection)).file(place.config, "kfp-id", decision, {"": "x"}, folder)
    assert place.told()[0] == 5
    assert "None is new." in (place.folder / "kfp" / "report").read_text()
    assert not (place.volume / "out" / "runs").exists()


def test_a_task_leaves_why_it_failed_and_in_which_state_its_nodes_are(place: Place):
    (place.folder / "obstacle").touch()
    packed = pack(small_components.compiled(obstacle=str(place.folder / "obstacle")))
    options = process.parser("task", None).parse_args(["--run-id", "kfp-id", "--nodes", packed])
    with process.logs_to_stderr():
        process.attempt(options, run_nodes.run)
    metadata = RunMetadata(place.connection, "kfp-id")
    assert [(one.id, one.state) for one in metadata.components()] == [("Write", "ran"), ("Measure", "failed")]
    said, code = metadata.failure()
    assert said.startswith("Measure: ValueError: cannot measure")
    assert code == 1
