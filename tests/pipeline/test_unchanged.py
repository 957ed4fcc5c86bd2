"""An answer is given again only while all that it rests on is as it was; whatever is in doubt makes the nodes run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from finetune.artifacts.report_data import ReportData
from finetune.artifacts.run_basis import RunBasis
from finetune.artifacts.run_summary import ComponentRun, RunSummary
from finetune.config import Config, load_config
from finetune.file_stats import CLOCK_NS, stats_of
from pipeline import unchanged
from pipeline.code_digest import Sources
from pipeline.saved_report import REPORT_FILE
from pipeline.unchanged import DATA_BYTES, Inputs, changed, changed_unseen, held_answer, inputs_of, remember
from registry.versions import push_version, roll_back

RUN = "20260101T000000.000000Z"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with data, a config, and a run of it that pushed a model."""
    monkeypatch.chdir(tmp_path)
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        file = tmp_path / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_text("weights")
    raw = {
        "name": "shapes",
        "output_dir": "out",
        "data": {"root": "data"},
        "backbone": {"name": "SmallCNN", "weights": "random", "image_size": 32},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(raw))
    # By the clock that decides whether the data stand still, they came an hour ago.
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 3600 * 10**9)
    return tmp_path


def the_config(*overrides: str) -> Config:
    return load_config("config.yaml", overrides)


def left_by_a_run(config: Config, status: str = "pushed", run_id: str = RUN, before: Inputs | None = None) -> Path:
    """Leaves behind what a run does."""
    run_dir = config.output_path / "runs" / run_id
    if status == "pushed":
        push_version(Path("model"), config.push_path)
    components = [ComponentRun(id="Trainer", seconds=9, state="ran")]
    summary = RunSummary(
        run_id=run_id, name="shapes", status=status, components=components, report=str(run_dir / REPORT_FILE)
    )
    summary.write(run_dir)
    ReportData(title="shapes", summary=summary).write(run_dir)
    (run_dir / REPORT_FILE).touch()
    config.metadata_path.touch()
    outputs = {"Trainer": {"model": SimpleNamespace(uri=str(Path("artifacts").absolute()))}}
    remember(config, run_dir, before or inputs_of(config, False), stats_of(config.push_path).digest, outputs)
    return run_dir


def answer(config: Config, verify: bool = False) -> str | None:
    held = held_answer(config, inputs_of(config, verify))
    return held and held.run_id


def test_the_answer_of_an_unchanged_run_holds(place):
    config = the_config()
    left_by_a_run(config)
    assert answer(config) == answer(the_config()) == RUN


def replaced_with_same_size_and_time():
    file = Path("data/a/1.png")
    times = file.stat()
    file.with_name("new").write_bytes(b"x" * times.st_size)
    os.utime(file.with_name("new"), ns=(times.st_atime_ns, times.st_mtime_ns))
    file.with_name("new").replace(file)


def test_pictures_replaced_by_others_of_the_same_size_and_time_are_told(place):
    config = the_config()
    assert not changed_unseen(config, inputs_of(config, False)), "before the first run"
    left_by_a_run(config)
    assert not changed_unseen(config, inputs_of(config, False))
    replaced_with_same_size_and_time()
    assert changed_unseen(config, inputs_of(config, False))
    Path("data/a/1.png").touch()
    assert not changed_unseen(config, inputs_of(config, False)), "the ingest sees it"


@pytest.mark.parametrize(
    "change",
    [
        lambda: Path("teacher/saved_model.pb").write_text("others"),
        lambda: Path("pool/2.png").write_bytes(b"2"),
        lambda: Path("pool/1.png").unlink(),
    ],
    ids=["teacher", "picture", "no picture"],
)
def test_another_teacher_and_other_pictures_without_labels_make_the_nodes_run(place, change):
    for file in (place / "teacher" / "saved_model.pb", place / "pool" / "1.png"):
        file.parent.mkdir()
        file.write_text("one")
    config = the_config("training.distillation.teacher=teacher", "training.distillation.unlabelled=pool")
    left_by_a_run(config)
    assert answer(config) == RUN
    change()
    assert answer(config) is None


def rolled_back():
    Path("model/saved_model.pb").write_text("other weights")
    push_version(Path("model"), Path("out/pushed"))
    roll_back(Path("out/pushed"))


@pytest.mark.parametrize(
    "change",
    [
        replaced_with_same_size_and_time,
        lambda: Path("data/b/2.png").touch(),
        lambda: Path("data/b/1.png").unlink(),
        lambda: Path("data/c").mkdir(),
        lambda: Path("artifacts").rmdir(),
        lambda: Path("out/metadata.sqlite").unlink(),
        lambda: Path(f"out/runs/{RUN}/report.html").unlink(),
        lambda: Path(f"out/runs/{RUN}/summary.json").write_text("{"),
        lambda: Path(f"out/runs/{RUN}/basis.json").write_text("[]"),
        lambda: Path(f"out/runs/{RUN}/basis.json").unlink(),
        lambda: Path("out/pushed/1").rename("out/pushed/elsewhere"),
        lambda: Path("out/pushed/1/saved_model.pb").write_text("WEIGHTS"),
        lambda: Path("out/pushed/.pending/0123").mkdir(parents=True),
        rolled_back,
    ],
)
def test_any_change_makes_the_nodes_run(place, change):
    config = the_config()
    left_by_a_run(config)
    change()
    assert answer(config) is None


@pytest.mark.parametrize(
    "override", ["training.seed=2", "evaluation.gates=[{metric: accuracy, min: 0.5}]", "push.directory=other"]
)
def test_another_config_is_another_run(place, override):
    left_by_a_run(the_config())
    assert answer(the_config(override)) is None


def test_the_run_of_the_same_config_is_found_behind_later_ones(place):
    left_by_a_run(the_config(), "refused")
    left_by_a_run(the_config("training.seed=2"), "refused", "20260102T000000.000000Z")
    left_by_a_run(the_config(), "refused", "20260103T000000.000000Z")
    left_by_a_run(the_config("training.seed=3"), "refused", "20260104T000000.000000Z")
    assert answer(the_config()) == "20260103T000000.000000Z"
    assert answer(the_config("training.seed=2")) == "20260102T000000.000000Z"


def test_another_version_of_a_package_or_of_our_code_is_another_run(place, monkeypatch):
    config = the_config()
    left_by_a_run(config)
    monkeypatch.setattr(unchanged, "_distributions", lambda: ("tensorflow-2.99.dist-info",))
    assert answer(config) is None
    monkeypatch.undo()
    (place / "code").mkdir()
    monkeypatch.setattr(unchanged, "installed", lambda: Sources({"pipeline": place / "code"}))
    assert answer(config) is None


def test_every_byte_of_the_code_counts(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "table.json").write_text("{}")
    sources = Sources({"pipeline": tmp_path})
    seen = {sources.bytes_digest()}
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.cpython-310.pyc").write_bytes(b"compiled")
    assert {sources.bytes_digest()} == seen
    for name, text in (("a.py", "x = 1  # one\n"), ("table.json", "[]"), ("b.py", "")):
        (tmp_path / name).write_text(text)
        seen.add(sources.bytes_digest())
    assert len(seen) == 4


def test_another_working_or_output_folder_is_another_run(place, monkeypatch):
    left_by_a_run(the_config())
    Path("out").rename("moved")
    assert answer(the_config("output_dir=moved")) is None
    Path("moved").rename("out")
    (place / "other").mkdir()
    (place / "data").rename(place / "other" / "data")
    monkeypatch.chdir(place / "other")
    assert answer(load_config(place / "config.yaml", [f"output_dir={place / 'out'}"])) is None


def test_data_that_have_just_changed_are_in_doubt(place, monkeypatch):
    config = the_config()
    latest = stats_of(Path("data")).changed_ns
    monkeypatch.setattr(time, "time_ns", lambda: latest + CLOCK_NS)
    left_by_a_run(config)
    assert not RunBasis.path(f"out/runs/{RUN}").exists()
    monkeypatch.setattr(time, "time_ns", lambda: latest + CLOCK_NS + 1)
    left_by_a_run(config)
    assert answer(config) == RUN
    monkeypatch.setattr(time, "time_ns", lambda: latest)
    assert answer(config) is None, "the clock was set back"


def test_what_changes_while_the_run_goes_on_leaves_no_answer(place):
    config = the_config()
    before = inputs_of(config, False)
    Path("data/b/2.png").touch()
    left_by_a_run(config, before=before)
    assert answer(config) is None


def test_data_elsewhere_are_in_doubt(place):
    config = the_config()
    remote = config.model_copy(update={"data": config.data.model_copy(update={"root": "s3://bucket/data"})})
    assert not inputs_of(remote, False).settled
    left_by_a_run(remote)
    assert answer(remote) is None


def test_verify_wants_a_run_that_read_the_bytes_and_reads_them(place):
    config = the_config()
    left_by_a_run(config)
    assert answer(config, verify=True) is None
    read = inputs_of(config, True)
    left_by_a_run(config, before=read)
    assert answer(config, verify=True) == answer(config) == RUN
    Path("data/a/1.png").write_bytes(b"other")
    assert changed(read.digests, inputs_of(config, True).digests) == ["data", DATA_BYTES]


def test_what_was_not_looked_at_then_counts_as_changed():
    assert changed({"a": "1", "b": "2"}, {"a": "1"}) == []
    assert changed({"a": "1"}, {"a": "1", "b": "2"}) == ["b"]
    assert changed({"a": "1", "b": "2"}, {"a": "2", "b": "2"}) == ["a"]


@pytest.mark.parametrize(("status", "code"), [("pushed", 0), ("refused", 3), ("pending", 4)])
def test_the_command_answers_without_tensorflow_as_the_run_did(place, monkeypatch, status, code):
    monkeypatch.undo()
    time.sleep(max(0, (stats_of(place / "data").changed_ns + CLOCK_NS - time.time_ns()) / 1e9 + 0.1))
    monkeypatch.chdir(place)
    run_dir = left_by_a_run(the_config(), status)
    script = (
        "import json, sys\n"
        "from finetune_cli.main import main\n"
        "sys.argv[1:] = ['run', 'config.yaml', '--summary', 'summary.json']\n"
        "try:\n    main()\n"
        "finally:\n"
        "    heavy = {'tensorflow', 'tfx', 'apache_beam', 'ml_metadata', 'matplotlib', 'sklearn', 'keras'}\n"
        "    json.dump(sorted(heavy & set(sys.modules)), open('imported.json', 'w'))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert json.loads(Path("imported.json").read_text()) == []
    told = [line for line in done.stdout.splitlines() if "nothing has changed" in line]
    assert len(told) == 1
    assert told[0].endswith(f"nothing has changed since run {RUN}; its report: {run_dir / REPORT_FILE}")
    summary = json.loads(Path("summary.json").read_text())
    assert (summary["run_id"], summary["status"]) == (RUN, status)
    assert summary["components"] == [{"id": "Trainer", "seconds": 0.0, "state": "cached"}]
    assert summary["seconds"] < 5
    assert [path.name for path in Path("out/runs").iterdir()] == [RUN], "a call that runs nothing leaves no run"


def test_a_run_that_goes_on_in_the_same_folder_is_not_overtaken(place):
    from finetune.errors import RunError
    from pipeline.local import run_pipeline
    from pipeline.only_run import only_run

    config = the_config()
    left_by_a_run(config)
    with only_run(config.output_path), pytest.raises(RunError, match="another run is going on"):
        run_pipeline(config)
