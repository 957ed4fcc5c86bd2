"""Replay of packages: of tasks made for the purpose, in seconds; and of a whole pipeline, in minutes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import ROOT, finetune
from kfp import compiler, dsl, kubernetes

from finetune.artifacts.findings import GateResult
from finetune.artifacts.pushed_version import ModelCard, PushRecord
from finetune.artifacts.run_summary import RunSummary
from finetune.errors import ConfigError
from finetune_kubeflow.replay import tasks
from finetune_kubeflow.replay.run import TIMED_OUT, exit_code_of, replay
from registry.versions import CARD_TEXT_FILE


def package_of(folder: Path, code: str, retries: int = 0, timeout: int = 0, secret: str = "") -> Path:
    """A package of two tasks: `first` prints its environment, arguments and folder as JSON; `second` runs `code`."""
    show = "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv[1:], os.getcwd()]))"

    @dsl.container_component
    def first(run_id: str, text: str, number: float, flag: bool):
        arguments = ["-c", show, run_id, text, number, flag, "/data/x"]
        return dsl.ContainerSpec(image="x", command=["python"], args=arguments)

    @dsl.container_component
    def second():
        return dsl.ContainerSpec(image="x", command=["python", "-c", code])

    @dsl.pipeline(name="made")
    def pipeline(text: str = "it's", number: float = 2.0, flag: bool = True):
        last = second()
        show_task = first(run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, text=text, number=number, flag=flag)
        last.after(show_task).set_retry(retries, backoff_duration="0s")
        show_task.set_env_variable("DECLARED", "/data").set_env_variable("PLAIN", "5")
        kubernetes.mount_pvc(show_task, pvc_name="claim", mount_path="/data")
        kubernetes.use_field_path_as_env(show_task, "POD", "metadata.name")
        if secret:
            kubernetes.use_secret_as_env(show_task, secret, {"key": "FROM_SECRET"})
        if timeout:
            kubernetes.set_timeout(last, timeout)

    file = folder / "package.yaml"
    compiler.Compiler().compile(pipeline, str(file))
    return file


def test_a_task_gets_what_is_declared_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ONLY_HERE", "x")
    results = replay(package_of(tmp_path, "pass"), tmp_path / "w", {"number": "0.5", "flag": "false"})
    assert [(result.name, result.state) for result in results] == [("first", "ran"), ("second", "ran")]
    environment, arguments, folder = json.loads(results[0].log.read_text())
    claim = str(tmp_path / "w" / "volumes" / "claim")
    environment.pop("LC_CTYPE", None)  # Python sets it for itself
    assert set(environment) == {"PATH", "HOME", "DECLARED", "PLAIN", "POD"}
    assert (environment["DECLARED"], environment["PLAIN"], environment["POD"]) == (claim, "5", "first")
    assert arguments == [results[0].log.parent.name, "it's", "0.5", "false", f"{claim}/x"]
    assert folder == str(tmp_path / "w")


def test_secrets_come_from_files(tmp_path: Path):
    secrets = tmp_path / "secrets"
    (secrets / "mine").mkdir(parents=True)
    (secrets / "mine" / "key").write_text("value\n")
    package = package_of(tmp_path, "pass", secret="mine")
    (result, _) = replay(package, tmp_path / "w", secrets_dir=secrets)
    assert json.loads(result.log.read_text())[0]["FROM_SECRET"] == "value"
    with pytest.raises(ConfigError, match="first needs mine/key"):
        replay(package, tmp_path / "w")


def test_a_task_that_is_killed_is_tried_again(tmp_path: Path):
    marker = tmp_path / "marker"
    code = (
        f"import os, pathlib; marker = pathlib.Path({str(marker)!r})\n"
        "if not marker.exists(): marker.touch(); os.kill(os.getpid(), 9)"
    )
    (_, result) = replay(package_of(tmp_path, code, retries=1), tmp_path / "w")
    assert (result.state, result.attempts) == ("ran", [-signal.SIGKILL, 0])


def test_a_task_fails_when_its_retries_are_used_up(tmp_path: Path):
    (_, result) = replay(package_of(tmp_path, "import os; os.kill(os.getpid(), 9)", retries=2), tmp_path / "w")
    assert (result.state, result.attempts) == ("failed", [-signal.SIGKILL] * 3)


def test_a_task_that_fails_by_itself_is_not_tried_again(tmp_path: Path):
    (_, result) = replay(package_of(tmp_path, "raise SystemExit(3)", retries=2), tmp_path / "w")
    assert (result.state, result.attempts) == ("failed", [3])


def test_a_task_ends_at_its_time_limit_with_all_that_it_started(tmp_path: Path):
    child = tmp_path / "child"
    code = (
        "import pathlib, subprocess, time; child = subprocess.Popen(['sleep', '600'])\n"
        f"pathlib.Path({str(child)!r}).write_text(str(child.pid)); time.sleep(600)"
    )
    (_, result) = replay(package_of(tmp_path, code, retries=1, timeout=3), tmp_path / "w")
    assert (result.state, result.attempts) == ("failed", [TIMED_OUT])
    assert "time limit of 3 s" in result.log.read_text()
    deadline = time.monotonic() + 5
    while _runs(int(child.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(int(child.read_text()))


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_what_cannot_be_replayed_is_said(tmp_path: Path):
    package = package_of(tmp_path, "pass")
    with pytest.raises(ConfigError) as caught:
        replay(package, tmp_path / "w", {"numbr": "1", "flag": "2"})
    assert caught.value.problems == [
        "--parameter numbr: the package has no such parameter; expected one of flag, number, text. "
        "Did you mean 'number'?",
        "--parameter flag: got '2'; expected true or false",
    ]
    with pytest.raises(ConfigError, match="mounts no claim 'other'; expected one of claim"):
        replay(package, tmp_path / "w", volumes={"other": tmp_path})
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("name: digits")
    with pytest.raises(ConfigError, match="not a KFP v2 package"):
        replay(wrong, tmp_path / "w")


def test_a_package_of_another_version_is_one_sentence(tmp_path: Path):
    @dsl.container_component
    def node(run_id: str):
        arguments = ["--run-id", run_id, "--node", "eJwDAAAAAAE="]
        return dsl.ContainerSpec(image="x", command=["python", "-m", "kubeflow.run_node"], args=arguments)

    @dsl.pipeline(name="made")
    def pipeline():
        node(run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)

    compiler.Compiler().compile(pipeline, str(tmp_path / "old.yaml"))
    with pytest.raises(ConfigError, match=r"its tasks run `python -m kubeflow\.run_node`.* compile it anew") as caught:
        replay(tmp_path / "old.yaml", tmp_path / "w")
    assert len(caught.value.problems) == 1
    assert not (tmp_path / "w").exists()


def test_the_command_says_what_is_wrong(tmp_path: Path):
    wrong = finetune("replay", "absent.yaml", "--workspace", "w", "-p", "x", cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr) == (2, "--parameter: got 'x'; expected NAME=VALUE\n")
    absent = finetune("replay", "absent.yaml", "--workspace", "w", cwd=tmp_path)
    assert absent.returncode == 2
    assert "absent.yaml: not a KFP v2 package: " in absent.stderr
    assert not list(tmp_path.iterdir())


def test_a_condition_keeps_tasks_from_running(tmp_path: Path):
    """Those in its DAG, and those that wait for it; an output of a task comes to another one as its input."""
    write = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"

    @dsl.container_component
    def decide(answer: str, decided: dsl.OutputPath(str)):
        return dsl.ContainerSpec(image="x", command=["python", "-c", write], args=[decided, answer])

    @dsl.container_component
    def show(text: str):
        return dsl.ContainerSpec(image="x", command=["python", "-c", "import sys; print(sys.argv[1:])"], args=[text])

    @dsl.pipeline(name="made")
    def pipeline(answer: str = "go"):
        decision = decide(answer=answer)
        with dsl.If(decision.outputs["decided"] != "stay"):
            first = show(text=decision.outputs["decided"]).set_display_name("first")
            show(text=answer).after(first)

    compiler.Compiler().compile(pipeline, str(tmp_path / "package.yaml"))
    went = replay(tmp_path / "package.yaml", tmp_path / "w")
    assert [(result.name, result.log.read_text()) for result in went] == [
        ("decide", ""),
        ("show", "['go']\n"),
        ("show-2", "['go']\n"),
    ]
    stayed = replay(tmp_path / "package.yaml", tmp_path / "w", {"answer": "stay"})
    assert [result.name for result in stayed] == ["decide"]
    document = yaml.safe_load((tmp_path / "package.yaml").read_text())
    policy = document["root"]["dag"]["tasks"]["condition-1"]["triggerPolicy"]
    policy["condition"] = policy["condition"].replace("!= 'stay'", "in ['go']")
    (tmp_path / "package.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigError, match=r"condition-1: got the condition .* replay knows those that hold"):
        replay(tmp_path / "package.yaml", tmp_path / "w")


def test_an_exit_task_runs_whichever_way_the_others_end(tmp_path: Path):
    @dsl.container_component
    def last(report: dsl.Output[dsl.HTML]):
        show = "import sys; print(*sys.argv[1:])"
        return dsl.ContainerSpec(image="x", command=["python", "-c", show], args=["{{$}}"])

    @dsl.container_component
    def step(code: str):
        return dsl.ContainerSpec(image="x", command=["python", "-c"], args=[code])

    @dsl.pipeline(name="made")
    def pipeline(first: str = "raise SystemExit(2)"):
        with dsl.ExitHandler(last()):
            step(code="pass").after(step(code=first))

    compiler.Compiler().compile(pipeline, str(tmp_path / "package.yaml"))
    failed = replay(tmp_path / "package.yaml", tmp_path / "w")
    assert [(result.name, result.state) for result in failed] == [("step-2", "failed"), ("last", "ran")]
    outputs = json.loads(failed[-1].log.read_text())["outputs"]
    folder = tmp_path / "w" / "outputs" / failed[-1].log.parent.name / "last"
    assert outputs["outputFile"] == str(folder / tasks.OUTPUT_FILE)
    (artifact,) = outputs["artifacts"]["report"]["artifacts"]
    assert (artifact["uri"], artifact["type"]["schemaTitle"]) == (str(folder / "report"), "system.HTML")
    well = replay(tmp_path / "package.yaml", tmp_path / "w", {"first": "pass"})
    assert [result.name for result in well] == ["step-2", "step", "last"]


def test_tasks_run_side_by_side_and_none_begins_after_a_failure(tmp_path: Path):
    """Each of two waits for a file of the other; where one fails, the other goes on, and nothing follows it."""
    meet = (
        "import pathlib, sys, time; mine, other = map(pathlib.Path, sys.argv[1:3]); mine.touch()\n"
        "while not other.exists(): time.sleep(0.05)\n"
        "time.sleep(float(sys.argv[3])); sys.exit(int(sys.argv[4]))"
    )

    @dsl.container_component
    def step(mine: str, other: str, seconds: str, code: str):
        return dsl.ContainerSpec(image="x", command=["python", "-c", meet], args=[mine, other, seconds, code])

    @dsl.pipeline(name="made")
    def pipeline(code: str = "0"):
        one, two = str(tmp_path / "one"), str(tmp_path / "two")
        step(mine=one, other=two, seconds="0", code=code)
        step(mine=one, other=one, seconds="0", code="0").after(step(mine=two, other=one, seconds="2", code="0"))

    compiler.Compiler().compile(pipeline, str(tmp_path / "package.yaml"))
    ended: list[str] = []
    well = replay(tmp_path / "package.yaml", tmp_path / "w", on_result=lambda result: ended.append(result.name))
    assert [(result.name, result.state) for result in well] == [("step", "ran"), ("step-3", "ran"), ("step-2", "ran")]
    assert ended == ["step", "step-3", "step-2"]
    failed = replay(tmp_path / "package.yaml", tmp_path / "w", {"code": "3"})
    assert [(result.name, result.state) for result in failed] == [("step", "failed"), ("step-3", "ran")]
    assert exit_code_of(failed) == 1


def test_what_ends_replay_ends_its_tasks(tmp_path: Path):
    process_id = tmp_path / "id"
    code = f"import os, pathlib, time; pathlib.Path({str(process_id)!r}).write_text(str(os.getpid())); time.sleep(600)"
    package = package_of(tmp_path, code)
    command = [sys.executable, "-m", "finetune_cli.main", "replay", package, "--workspace", tmp_path / "w"]
    # What a script starts in the background ignores it, and so would all that this process starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        replaying = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    finally:
        signal.signal(signal.SIGINT, before)
    while replaying.poll() is None and not (process_id.exists() and process_id.read_text()):
        time.sleep(0.05)
    replaying.send_signal(signal.SIGINT)
    assert replaying.wait(60)
    assert not _runs(int(process_id.read_text()))


def test_retries_pause_and_end_as_argo_has_it():
    task = tasks.Task("a", (), [], {}, retries=3, backoff=30, factor=2, window=600)
    assert [task.pause_after(attempts, elapsed=0) for attempts in (1, 2, 3, 4)] == [30, 60, 120, None]
    assert task.pause_after(1, elapsed=570) == 30
    assert task.pause_after(1, elapsed=571) is None, "the window is counted from the start of the first attempt"


def test_tasks_run_behind_those_that_they_wait_for():
    def task(name: str, *after: str) -> tasks.Task:
        return tasks.Task(name, after, [], {})

    ordered = tasks.in_order([task("c", "a", "b"), task("b", "a"), task("a")])
    assert [one.name for one in ordered] == ["a", "b", "c"]
    with pytest.raises(ConfigError, match="a, b: these tasks wait for each other"):
        tasks.in_order([task("a", "b"), task("b", "a")])


@pytest.mark.parametrize(("value", "text"), [(2.0, "2"), (0.5, "0.5"), (True, "true"), ("x y", "x y"), ("", "")])
def test_parameters_are_written_as_kfp_writes_them(value: Any, text: str):
    assert tasks.as_text(value) == text


# Long enough to be killed in the middle of it.
EPOCHS = 60
LONG_TRAINING = (
    f"training.phases=[{{name: head, unfreeze: all, epochs: {EPOCHS}, early_stopping: null, learning_rate: 1.0e-3}}]"
)


def pushed(folder: Path) -> dict[str, bytes]:
    """The model's files in the one pushed version, by their names in it; card and record of the push tell the time."""
    version = folder / "runs" / "tiny" / "pushed" / "1"
    assert [path.name for path in version.parent.glob("[!.]*") if path.is_dir()] == ["1"]
    files = {str(path.relative_to(version)): path for path in version.rglob("*") if path.is_file()}
    added = {PushRecord.FILE, ModelCard.FILE, CARD_TEXT_FILE}
    assert added < set(files)
    return {name: path.read_bytes() for name, path in files.items() if name not in added}


def states(output: str) -> dict[str, str]:
    """The state of each task and node, from what `finetune replay` prints."""
    return {line.split()[1]: line.split()[0] for line in output.splitlines()}


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "classes"),
    [
        ("tiny", ["dark", "light"]),
        ("tiny_pairs", ["alike", "other"]),
        ("tiny_sides", ["dark", "light"]),
        ("tiny_aligned", ["blue", "green", "red"]),
        ("tiny_tones", ["high", "low", "middle"]),
        ("tiny_boxes", []),
        ("tiny_masks", []),
    ],
)
def test_a_whole_pipeline(kind: str, classes: list[str], request: pytest.FixtureRequest, tmp_path: Path):
    """Killed while it trains, it resumes from its checkpoint and pushes what a local run pushes, byte for byte."""
    here, package = tmp_path / "volume", tmp_path / "tiny-package.yaml"
    tiny: Path = request.getfixturevalue(kind)
    shutil.copytree(tiny, here)
    compiled = finetune("compile", "tiny.yaml", LONG_TRAINING, "-o", package, cwd=here)
    assert compiled.returncode == 0, compiled.stderr

    command = [sys.executable, "-m", "finetune_cli.main", "replay", str(package)]
    command += ["--workspace", str(tmp_path / "w"), "--volume", f"finetune={here}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    kill_when_training(tmp_path / "w")
    output, _ = first.communicate(timeout=3600)
    assert first.returncode == 0, output
    assert set(states(output).values()) == {"ran"}
    (trainer,) = [line for line in output.splitlines() if " trainer " in line]
    assert "2 attempts" in trainer
    (killed,), (resumed,) = (list(tmp_path.glob(f"w/logs/*/trainer.{attempt}.log")) for attempt in (1, 2))
    done = re.search(r"goes on from a checkpoint: phase 1, epoch (\d+)", resumed.read_text())
    assert done, resumed.read_text()[-3000:]
    assert int(done[1]) >= 3
    assert epochs_in(killed)[:3] == [1, 2, 3]
    assert epochs_in(resumed) == list(range(int(done[1]), EPOCHS + 1))

    # Where nothing runs, nothing is imported: this TensorFlow cannot be.
    (tmp_path / "poisoned").mkdir()
    (tmp_path / "poisoned" / "tensorflow.py").write_text("raise SystemExit('TensorFlow was imported')")
    again = replay(
        package,
        tmp_path / "w",
        volumes={"finetune": here},
        cluster_environment={"PYTHONPATH": str(tmp_path / "poisoned")},
    )
    assert {result.state for result in again[:-1]} == {"cached"}, again[0].log.read_text()[-3000:]
    assert {state for result in again for state in result.nodes.values()} == {"cached"}
    assert (again[-1].name, again[-1].exit_code) == ("run-report", 0), again[-1].log.read_text()[-3000:]
    local = tmp_path / "local"
    shutil.copytree(tiny, local)
    ran = finetune("run", "tiny.yaml", LONG_TRAINING, cwd=local)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    replayed = pushed(here)
    assert {"saved_model.pb", "variables/variables.data-00000-of-00001", "assets/classes"} < set(replayed)
    assert replayed == pushed(local)
    (here_told, again_told), (there_told,) = (
        [RunSummary.read(run) for run in sorted((place / "runs/tiny/runs").iterdir())] for place in (here, local)
    )
    for one in (here_told, again_told):
        assert (one.status, one.metrics, judged(one)) == (there_told.status, there_told.metrics, judged(there_told))
        assert Path(one.report).read_text().startswith("<!DOCTYPE html>")
    assert {one.state for one in again_told.components} == {"cached"}
    shown = tmp_path / "w" / "outputs" / again[-1].log.parent.name / "run-report"
    told = json.loads((shown / tasks.OUTPUT_FILE).read_text())["artifacts"]
    metadata = {name: one["artifacts"][0]["metadata"] for name, one in told.items()}
    assert metadata["metrics"] == there_told.metrics
    matrix = metadata["confusion_matrix"].get("confusionMatrix", {"annotationSpecs": []})
    assert [one["displayName"] for one in matrix["annotationSpecs"]] == classes
    assert metadata["model"]["folder"] == again_told.pushed_model
    assert (shown / "report").read_text() == Path(again_told.report).read_text()
    assert (shown / "model_card").read_text() == Path(again_told.pushed_model, CARD_TEXT_FILE).read_text()


def judged(summary: RunSummary) -> list[GateResult | tuple[str, bool]]:
    """What the gates found; of parity how it ended, as answers of two processes may differ in their last digit."""
    return [(gate.name, gate.passed) if gate.metric == "parity_max_difference" else gate for gate in summary.gates]


def epochs_in(log: Path) -> list[int]:
    """The epochs that a Trainer finished, from its log."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith('{"kind": "epoch"')]
    return [json.loads(line)["epoch"] for line in lines]


def kill_when_training(workspace: Path) -> None:
    """Kills the first attempt of the Trainer once it has finished a few epochs."""
    deadline = time.monotonic() + 3600
    while time.monotonic() < deadline:
        for log in workspace.glob("logs/*/trainer.1.log"):
            if len(epochs_in(log)) >= 3:
                for process in Path("/proc").iterdir():
                    if process.name.isdecimal() and _is_trainer(process, workspace):
                        os.kill(int(process.name), signal.SIGKILL)
                return
        time.sleep(0.05)
    raise AssertionError("the Trainer did not begin within an hour")


def _is_trainer(process: Path, workspace: Path) -> bool:
    """Whether a process writes the log of the Trainer's first attempt in this workspace."""
    try:
        log = Path(os.readlink(process / "fd" / "1"))
    except OSError:
        return False
    return log.name == "trainer.1.log" and workspace in log.parents
