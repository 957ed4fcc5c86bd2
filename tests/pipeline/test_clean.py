"""`finetune clean` on an output folder with a real metadata store; no pipeline runs here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ml_metadata as mlmd
import pytest
import yaml
from ml_metadata.proto import metadata_store_pb2
from typer.testing import CliRunner

from components.champion import looks
from finetune.artifacts.history import History
from finetune.artifacts.pushed_version import PushRecord
from finetune.artifacts.run_summary import RunSummary
from finetune.config import Config, load_config
from finetune.errors import RunError
from finetune_cli.main import app
from pipeline.clean import remove
from pipeline.clean.remove import clean, planned
from pipeline.history.collect import history_of
from pipeline.only_run import only_run
from registry.versions import push_version

RUNS = tuple(f"2026010{day}T000000.000000Z" for day in range(1, 6))
ARTIFACT = metadata_store_pb2.Artifact


class Output:
    """An output folder as runs leave it."""

    def __init__(self, root: Path):
        self.root = root
        connection = metadata_store_pb2.ConnectionConfig()
        connection.sqlite.filename_uri = str(root / "metadata.sqlite")
        self.store = mlmd.MetadataStore(connection)

    def run(self, run_id: str, status: str = "refused", cached: dict[str, ARTIFACT] | None = None, **summary):
        """Writes a run whose Trainer made a model, or found it, and whose GateKeeper made a verdict."""
        model = (cached or {}).get("model") or self._artifact("Model", "Trainer/model")
        self._execution(run_id, "Trainer", [], [model], cached is not None)
        verdict = self._artifact("GateVerdict", "GateKeeper/verdict")
        self._execution(run_id, "GateKeeper", [model], [verdict])
        folder = self.root / "runs" / run_id
        metrics = {"accuracy": 0.25}
        RunSummary(**{"run_id": run_id, "name": "shapes", "status": status, "metrics": metrics, **summary}).write(
            folder
        )
        (folder / "log.txt").write_text("log " * 100)
        return {"model": model, "verdict": verdict}

    def _artifact(self, kind: str, place: str, **properties: str):
        type_id = self.store.put_artifact_type(metadata_store_pb2.ArtifactType(name=kind))
        number = len(self.store.get_executions()) + 1
        made = ARTIFACT(
            type_id=type_id, uri=os.path.normpath(self.root / "artifacts" / place / str(number)), state=ARTIFACT.LIVE
        )
        (made.id,) = self.store.put_artifacts([made])
        folder = Path(made.uri)
        folder.mkdir(parents=True)
        (folder / "content").write_text(place * 100)
        return made

    def _execution(self, run_id: str, node: str, read: list, made: list, cached: bool = False):
        contexts = []
        for kind, name in (("pipeline_run", run_id), ("node", f"shapes.{node}")):
            type_id = self.store.put_context_type(metadata_store_pb2.ContextType(name=kind))
            found = self.store.get_context_by_type_and_name(kind, name)
            contexts.append(found or metadata_store_pb2.Context(type_id=type_id, name=name))
        states = metadata_store_pb2.Execution
        type_id = self.store.put_execution_type(metadata_store_pb2.ExecutionType(name=node))
        execution = states(type_id=type_id, last_known_state=states.CACHED if cached else states.COMPLETE)
        event = metadata_store_pb2.Event
        pairs = [(one, event(artifact_id=one.id, type=event.INPUT)) for one in read]
        pairs += [(one, event(artifact_id=one.id, type=event.OUTPUT)) for one in made]
        self.store.put_execution(execution, pairs, contexts, reuse_context_if_already_exist=True)

    def push(self, model, number_of_versions: int = 5) -> Path:
        return push_version(
            Path(model.uri), self.root / "pushed", record=PushRecord(model_uri=model.uri), keep=number_of_versions
        )[0]

    def states(self) -> dict[str, bool]:
        """Whether each artifact is live, by its place, as the store says; the disk must say the same."""
        said = {one.uri: one.state == ARTIFACT.LIVE for one in self.store.get_artifacts()}
        assert {uri: Path(uri).is_dir() for uri in said} == said
        return {"/".join(Path(uri).parts[-3::2]): live for uri, live in said.items()}


@pytest.fixture
def output(tmp_path: Path) -> Output:
    (tmp_path / "out").mkdir()
    return Output(tmp_path / "out")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    raw = {
        "name": "shapes",
        "output_dir": str(tmp_path / "out"),
        "data": {"root": str(tmp_path)},
        "backbone": {"name": "SmallCNN", "weights": "random", "image_size": 32},
        "keep": {"runs": 1},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(raw))
    return load_config(tmp_path / "config.yaml")


def finetune(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def tree(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.name != ".lock"}


def test_old_runs_go_and_champion_and_newest_stay(output: Output, config: Config):
    champion = output.run(RUNS[0], "pushed", pushed_model=str(output.root / "pushed/1"))
    output.push(champion["model"])
    output.run(RUNS[1])
    output.run(RUNS[2])
    clean(config)
    assert output.states() == {
        "Trainer/1": True,
        "GateKeeper/2": True,
        "Trainer/3": False,
        "GateKeeper/4": False,
        "Trainer/5": True,
        "GateKeeper/6": True,
    }
    assert sorted(os.listdir(output.root / "runs")) == [RUNS[0], RUNS[2]]
    row = History.read(output.root).runs[1]
    assert (row.run_id, row.status, row.metrics) == (RUNS[1], "refused", {"accuracy": 0.25})
    assert not (output.root / ".removing").exists()
    before = tree(output.root)
    decided = planned(config)
    assert (decided.removals, list(decided.stays)) == ([], [RUNS[2], RUNS[0]])
    assert tree(output.root) == before


def test_runs_that_the_data_stopped_push_no_judged_run_out(output: Output, config: Config):
    output.run(RUNS[0])
    output.run(RUNS[1])
    output.run(RUNS[2], metrics={})
    output.run(RUNS[3], metrics={})
    clean(config)
    assert sorted(os.listdir(output.root / "runs")) == [RUNS[1], RUNS[3]]


def test_a_pruned_version_lets_its_model_go(output: Output, config: Config):
    for number, run_id in enumerate(RUNS[:3], 1):
        made = output.run(run_id, "pushed", pushed_model=str(output.root / f"pushed/{number}"))
        Path(made["model"].uri, "content").write_text(run_id)
        output.push(made["model"], 1)
    clean(config)
    assert [place for place, live in output.states().items() if live] == ["Trainer/5", "GateKeeper/6"]


def test_a_model_that_waits_keeps_its_run(output: Output, config: Config):
    waits = output.root / "pushed/.pending/abc"
    made = output.run(RUNS[0], "pending", pending_model=str(waits))
    PushRecord(model_uri=made["model"].uri).write(waits)
    output.run(RUNS[1])
    output.run(RUNS[2])
    clean(config)
    assert [place for place, live in output.states().items() if live][:2] == ["Trainer/1", "GateKeeper/2"]


def test_a_verdict_that_counts_as_a_look_stays_live(output: Output, config: Config):
    looked = output.run(RUNS[0])["verdict"]
    looked.custom_properties[looks.MODEL_URI].string_value = "model"
    output.store.put_artifacts([looked])
    output.run(RUNS[1])
    clean(config)
    assert output.states() == {"Trainer/1": False, "GateKeeper/2": True, "Trainer/3": True, "GateKeeper/4": True}


def test_what_is_kept_elsewhere_than_among_the_artifacts_stays_live(output: Output, config: Config):
    output.run(RUNS[0])
    decision = output._artifact("RetrainDecision", "../decisions")
    output._execution(RUNS[0], "RetrainDecision", [], [decision])
    output.run(RUNS[1])
    clean(config)
    assert output.store.get_artifacts_by_id([decision.id])[0].state == ARTIFACT.LIVE
    assert Path(decision.uri).is_dir()


def test_a_clean_killed_at_any_moment_is_finished_by_the_next(output: Output, config: Config, monkeypatch):
    for run_id in RUNS:
        output.run(run_id)
    done = {"calls": 0, "last": 0}

    def dying(function):
        def call(*arguments, **options):
            done["calls"] += 1
            if done["calls"] == done["last"]:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return call

    for module, name in (
        (remove, "_mark_deleted"),
        (remove, "save_history"),
        (remove.os, "rename"),
        (remove, "_delete"),
    ):
        monkeypatch.setattr(module, name, dying(getattr(module, name)))
    for done["last"] in range(1, 40):
        done["calls"] = 0
        try:
            clean(config)
        except KeyboardInterrupt:
            said = [one for one in output.store.get_artifacts() if one.state == ARTIFACT.LIVE]
            assert all(Path(one.uri, "content").is_file() for one in said)
            assert {row.run_id for row in history_of(output.root, output.root / "pushed").runs} == set(RUNS)
        else:
            break
    assert [place for place, live in output.states().items() if live] == ["Trainer/9", "GateKeeper/10"]
    assert os.listdir(output.root / "runs") == [RUNS[-1]]
    assert [row.run_id for row in History.read(output.root).runs] == list(RUNS)
    assert not (output.root / ".removing").exists()


def test_nothing_beyond_a_link_is_removed(output: Output, config: Config, tmp_path: Path):
    outside = tmp_path / "outside"
    (outside / "20200101").mkdir(parents=True)
    (outside / "precious").write_text("precious")
    os.utime(outside / "precious", (0, 0))
    first = output.run(RUNS[0])["model"]
    output.run(RUNS[1])
    content = Path(first.uri, "content")
    content.unlink()
    content.symlink_to(outside / "precious")
    (Path(first.uri) / "folder").symlink_to(outside)
    (output.root / "tensorboard").symlink_to(outside)
    (output.root / ".removing").symlink_to(outside)
    clean(config)
    assert (outside / "precious").read_text() == "precious"
    assert (outside / "20200101").is_dir()
    assert not Path(first.uri).exists()


def test_a_run_that_is_going_on_loses_nothing(output: Output, config: Config):
    output.run(RUNS[0])
    output.run(RUNS[1])
    before = tree(output.root)
    with only_run(output.root), pytest.raises(RunError, match="another run is going on"):
        clean(config)
    assert tree(output.root) == before


def test_without_the_folder_of_versions_nothing_goes(output: Output, config: Config):
    made = output.run(RUNS[0], "pushed")
    pushed = output._artifact("PushedModel", "Pusher/pushed_model")
    pushed.custom_properties["pushed_destination"].string_value = str(output.root / "pushed/1")
    output.store.put_artifacts([pushed])
    output.run(RUNS[1])
    with pytest.raises(RunError, match=r"pushed is not there, and runs have pushed to it"):
        clean(config)
    assert Path(made["model"].uri).is_dir()


def test_the_command_says_what_goes_and_a_dry_run_removes_nothing(output: Output, config: Config, tmp_path: Path):
    output.run(RUNS[0])
    output.run(RUNS[1])
    before = tree(output.root)
    said = finetune("clean", tmp_path / "config.yaml", "--dry-run")
    assert said.exit_code == 0
    assert "would be removed" in said.output
    assert f"stays  {RUNS[1]}" in said.output
    assert tree(output.root) == before
    assert finetune("clean", tmp_path / "config.yaml").exit_code == 0
    assert os.listdir(output.root / "runs") == [RUNS[1]]
    without = finetune("clean", tmp_path / "config.yaml", "keep.runs=null")
    assert without.exit_code == 2
    assert "keep: got neither" in without.output


def test_no_tensorflow_is_imported(output: Output, config: Config, tmp_path: Path):
    output.run(RUNS[0])
    code = (
        "import sys; from typer.testing import CliRunner; from finetune_cli.main import app; "
        f"assert CliRunner().invoke(app, ['clean', {str(tmp_path / 'config.yaml')!r}]).exit_code == 0; "
        "assert not {'tensorflow', 'apache_beam'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
