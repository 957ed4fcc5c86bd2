"""What the real Argo makes of our tasks: which failures it tries again, under which configuration of its controller."""

from __future__ import annotations

import contextlib
import functools
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from argo import Argo, workflow
from command_line import ROOT
from control_plane import NAMESPACE, ControlPlane, wait_for
from kubernetes import client
from played_run import PATIENCE_SECONDS, RIGHTS, compile_package, epochs, tasks_in, text
from pod_player import Played, PodPlayer

from finetune_kubeflow.replay.tasks import Task

DOCS = ROOT / "docs" / "kubernetes.md"
DIGITS = ROOT / "configs" / "digits.yaml"
COUNT, LONGEST_PAUSE = 2, 2
RETRIES = f"kubernetes.defaults.retries={{count: {COUNT}, backoff_seconds: 1, backoff_max_seconds: {LONGEST_PAUSE}}}"

# A task of ours, as far as its nodes; each attempt leaves a file named by its number and its pod.
CODE = f"""
import os, sys, time
from pathlib import Path
from finetune.errors import REFUSED, DataError, RunError
from finetune.events import RunEnded, emit
from finetune_kubeflow.task.process import parser, run_task

def work(task):
    place = Path("attempts") / NAME
    place.mkdir(parents=True, exist_ok=True)
    number = len(list(place.iterdir())) + 1
    (place / f"{{number}} {{os.environ['FINETUNE_POD_NAME']}}").touch()
    act(number)

def fail(error):
    time.sleep({LONGEST_PAUSE + 1})
    raise error

def act(number):
    ACT

sys.exit(run_task(parser("acting", None).parse_args(["--run-id", "run"]), work))
"""
ACTS = {
    "passes": "if number < 3: fail(RunError('the store is away'))",
    "stays": "fail(RunError('the store is away'))",
    "final": "fail(DataError('no data'))",
    "refused": "emit(RunEnded(exit_code=REFUSED))",
    "drained": "time.sleep(600 if number == 1 else 0)",
    "evicted": "time.sleep(600 if number == 1 else 0)",
    "deleted": "time.sleep(600 if number == 1 else 0)",
    "lost": "time.sleep(600 if number < 3 else 0)",
    "lost too late": "time.sleep(600)",
    "timed out": "time.sleep(600)",
}
# Argo makes a pod anew that is deleted within ten seconds of its start, and calls that no attempt.
YOUNG_SECONDS = 15
ENDED = ("Succeeded", "Failed", "Error")
LATE_SECONDS = 10


def drain(plane: ControlPlane, player: PodPlayer, pod: Played) -> None:
    body = {"metadata": {"name": pod.name}}
    client.CoreV1Api(plane.api()).create_namespaced_pod_eviction(pod.name, NAMESPACE, body)


def delete(plane: ControlPlane, player: PodPlayer, pod: Played) -> None:
    client.CoreV1Api(plane.api()).delete_namespaced_pod(pod.name, NAMESPACE, grace_period_seconds=0)


def lose(plane: ControlPlane, player: PodPlayer, pod: Played) -> None:
    player.lose(pod)


def evict(plane: ControlPlane, player: PodPlayer, pod: Played) -> None:
    player.end(pod, "The node was low on resource: memory.")


def expire(plane: ControlPlane, player: PodPlayer, pod: Played) -> None:
    player.end(pod, "Pod was active on the node longer than the specified deadline")


# What befalls the pods of an act: how many of them, and what.
DISTURBANCES: dict[str, tuple[int, Callable[[ControlPlane, PodPlayer, Played], None]]] = {
    "drained": (1, drain),
    "evicted": (1, evict),
    "deleted": (1, delete),
    "lost": (2, lose),
    "lost too late": (1, lose),
    "timed out": (3, expire),
}


def patch() -> dict[str, str]:
    """What docs/kubernetes.md puts into the configuration of Argo's controller."""
    documents = re.findall(r"(?m)--patch-file /dev/stdin <<'END'\n(.*?)^END$", DOCS.read_text(), re.DOTALL)
    (configuration,) = [yaml.safe_load(document)["data"] for document in documents]
    return dict(configuration)


CONFIGURATIONS: dict[str, dict[str, str]] = {
    "default": {},
    "OnError": {"workflowDefaults": "{spec: {templateDefaults: {retryStrategy: {retryPolicy: OnError, limit: 2}}}}"},
    "patched": patch(),
}


@dataclass(frozen=True)
class Ending:
    """How a workflow of a task ended: its phase, the exit codes of the task's pods, its attempts in all of them."""

    phase: str
    codes: list[int]
    attempts: int


# Under the configurations in their order; a task that tries again by itself does so twice in each pod. None: Argo tries
# whole DAGs again, pod after pod.
EXPECTED: dict[str, list[Ending | None]] = {
    "passes": [Ending("Succeeded", [0], 3)] * 3,
    "stays": [Ending("Failed", [1, 1, 1], 9), Ending("Failed", [1], 3), Ending("Failed", [1], 3)],
    "final": [Ending("Failed", [1, 1, 1], 3), Ending("Failed", [1], 1), Ending("Failed", [1], 1)],
    "refused": [Ending("Succeeded", [0], 1)] * 3,
    "drained": [Ending("Error", [143], 1), *[Ending("Succeeded", [143, 0], 2)] * 2],
    "evicted": [Ending("Succeeded", [143, 0], 2), Ending("Failed", [143], 1), Ending("Succeeded", [143, 0], 2)],
    "deleted": [Ending("Error", [137], 1), *[Ending("Succeeded", [137, 0], 2)] * 2],
    "lost": [Ending("Error", [137], 1), *[Ending("Succeeded", [137, 137, 0], 3)] * 2],
    "lost too late": [Ending("Error", [137], 1), None, Ending("Error", [137], 1)],
    "timed out": [Ending("Failed", [143, 143, 143], 3), Ending("Failed", [143], 1), Ending("Failed", [143], 1)],
}
CASES = [
    pytest.param(configuration, act, expected[number], id=f"{configuration}, {act}")
    for number, configuration in enumerate(CONFIGURATIONS)
    for act, expected in EXPECTED.items()
    if expected[number]
]


def acting(task: Task, name: str, act: str) -> Task:
    """A task that does something else."""
    words = ["python", "-c", f"NAME = {name!r}\n" + CODE.replace("ACT", act)]
    return replace(task, name=name.replace(" ", "-"), after=(), words=words, inputs={}, artifacts={})


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package whose tasks act."""
    folder = tmp_path_factory.mktemp("package")
    compile_package(folder, DIGITS, [RETRIES])
    return folder


@pytest.fixture(scope="module")
def endings(
    control_plane: ControlPlane, package: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Ending]]:
    """Gives the ending of each act under a configuration of the controller."""

    @functools.cache
    def ended(configuration: str) -> dict[str, Ending]:
        folder = tmp_path_factory.mktemp("acts") / "run"
        shutil.copytree(package, folder)
        for name in ("volume", "pods"):
            (folder / name).mkdir()
        return run_acts(control_plane, folder, configuration)

    return ended


def run_acts(plane: ControlPlane, folder: Path, configuration: str) -> dict[str, Ending]:
    """Runs all acts side by side, and disturbs their pods."""
    assert plane.kubectl("-n", NAMESPACE, "apply", "--server-side", "-f", RIGHTS).returncode == 0
    tasks = tasks_in(folder)
    with Argo(plane, folder, CONFIGURATIONS[configuration]) as argo, PodPlayer(plane, folder / "pods") as player:
        number = list(CONFIGURATIONS).index(configuration)
        acts = [act for act, expected in EXPECTED.items() if expected[number]]
        names = {act: submitted(argo, tasks, act, folder) for act in acts}
        since: dict[str, float] = {}
        disturbed: set[str] = set()

        def over() -> bool:
            for act, (count, disturb) in DISTURBANCES.items():
                for pod in pods(folder, player, act)[:count]:
                    aged = time.monotonic() - since.setdefault(pod.name, time.monotonic()) > YOUNG_SECONDS
                    if aged and pod.name not in disturbed:
                        disturb(plane, player, pod)
                        disturbed.add(pod.name)
            return all(argo.phase(name) in ENDED for name in names.values())

        # One that goes on for ever has that phase.
        with contextlib.suppress(TimeoutError):
            wait_for(over, PATIENCE_SECONDS, every=1)
        ended = {act: (argo.phase(name), pods(folder, player, act)) for act, name in names.items()}
    return {
        act: Ending(phase, [int(pod.exit_code or 0) for pod in played], len(attempts(folder, act)))
        for act, (phase, played) in ended.items()
    }


def submitted(argo: Argo, tasks: dict[str, Task], act: str, folder: Path) -> str:
    """Submits the workflow of an act, with a last task as packages have one; returns its name."""
    one, last = acting(tasks["trainer"], act, ACTS[act]), acting(tasks["run-report"], f"{act} last", "pass")
    if act == "lost too late":
        one = replace(one, window=LATE_SECONDS)
    return argo.submit(workflow(f"{one.name}-{time.time_ns()}", [one, last], folder / "outputs"))


def attempts(folder: Path, act: str) -> list[str]:
    """The pod of each attempt of an act so far."""
    found = [file.name.split() for file in (folder / "volume" / "attempts" / act).glob("*")]
    return [pod for _, pod in sorted(found, key=lambda one: int(one[0]))]


def pods(folder: Path, player: PodPlayer, act: str) -> list[Played]:
    """The pods of an act in which an attempt has begun."""
    by_name = {pod.name: pod for pod in player.started()}
    return [by_name[name] for name in dict.fromkeys(attempts(folder, act))]


@pytest.mark.parametrize(("configuration", "act", "expected"), CASES)
def test_argo_tries_again_what_the_docs_say(
    endings: Callable[[str], dict[str, Ending]], configuration: str, act: str, expected: Ending
):
    assert endings(configuration)[act] == expected


def test_the_digits_are_trained_drained_evaluated_and_pushed(control_plane: ControlPlane, digits: Path, tmp_path: Path):
    folder = tmp_path / "run"
    shutil.copytree(digits, folder / "volume")
    (folder / "pods").mkdir()
    compile_package(
        folder, DIGITS, ["evaluation.baselines=[majority]", "evaluation.gates=[{metric: accuracy, min: 0.5}]"]
    )
    assert control_plane.kubectl("-n", NAMESPACE, "apply", "--server-side", "-f", RIGHTS).returncode == 0
    with (
        Argo(control_plane, folder, CONFIGURATIONS["patched"]) as argo,
        PodPlayer(control_plane, folder / "pods") as player,
    ):
        name = argo.submit(workflow("digits", list(tasks_in(folder).values()), folder / "outputs"))
        chief = wait_for(lambda: next((pod for pod in player.started() if epochs(pod) >= 3), None), PATIENCE_SECONDS)
        drain(control_plane, player, chief)
        wait_for(lambda: argo.phase(name) in ENDED, 2 * PATIENCE_SECONDS, every=1)
        assert argo.phase(name) == "Succeeded", [text(pod)[-2000:] for pod in player.started() if pod.exit_code]
        trained = [pod for pod in player.started() if epochs(pod)]
    assert [pod.exit_code for pod in trained] == [143, 0]
    assert "training goes on from a checkpoint" in text(trained[1])
    runs = folder / "volume" / "runs" / "digits"
    assert (runs / "pushed" / "1" / "saved_model.pb").is_file()
    assert list(runs.glob("runs/*/report.html"))
    # The executor of Argo lets everybody write; a task does not.
    assert [path for path in runs.rglob("*") if path.stat().st_mode & 0o022] == []
