"""Runs a compiled package without a cluster, each task as a process of its own, side by side where they may.

What the cluster would give a task is given here: the declared environment and nothing else of this one's, placeholders
resolved as KFP resolves them, claims as folders of the workspace, Secrets from files, retries with their pauses, time
limits.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from finetune.errors import ConfigError, FinetuneError, RunError
from finetune.events import ComponentFinished, State, from_line
from finetune_kubeflow.client.outcome import exit_code_in
from finetune_kubeflow.environment import JOB_ENV
from finetune_kubeflow.package.read import Package, read_package
from finetune_kubeflow.replay.tasks import Task, read_output, resolve_tasks

TIMED_OUT = 128 + signal.SIGKILL  # to Argo a failure of the task, no loss of its pod


@dataclass
class TaskResult:
    """What became of a task.

    Attributes:
        state: `failed`, or `cached` if all of its nodes were, or `ran`.
        seconds: Wall time, pauses and failed attempts included.
        attempts: Exit code of each; negative for a signal.
        log: Of the last attempt.
        nodes: The state of each node that ended; one that ran in any attempt has run.
    """

    name: str
    state: str
    seconds: float
    attempts: list[int]
    log: Path
    nodes: dict[str, State]

    @property
    def exit_code(self) -> int:
        """What `finetune run` would exit with here: 0; 3 or 4 where a model was refused or waits; or a failure's."""
        told = exit_code_in(self.log.read_text(encoding="utf-8", errors="replace"))
        return told if told is not None else FinetuneError.exit_code if self.state == "failed" else 0


def exit_code_of(results: Sequence[TaskResult]) -> int:
    """What `finetune run` would exit with: what the last task says, of those that say anything but 0."""
    return next((result.exit_code for result in reversed(results) if result.exit_code), 0)


def replay(
    package_file: Path,
    workspace: Path,
    parameters: Mapping[str, str] | None = None,
    volumes: Mapping[str, Path] | None = None,
    secrets_dir: Path | None = None,
    cluster_environment: Mapping[str, str] | None = None,
    on_result: Callable[[TaskResult], None] = lambda result: None,
) -> list[TaskResult]:
    """Runs the tasks that their conditions let run, each as soon as those before it have ended.

    After one that fails for good no other begins, exit tasks excepted; those that run go on.

    Args:
        package_file: From `finetune compile`.
        workspace: Gets `volumes/<claim>`, `metadata.sqlite`, `logs/<run>/<task>.<attempt>.log` and
            `outputs/<run>/<task>/<parameter>`.
        parameters: Of the KFP pipeline.
        volumes: Folders for claims that are not to be folders of the workspace.
        secrets_dir: Folder of files `<Secret or ConfigMap>/<key>`. Without it, the Secret of the metadata store points
            to a SQLite file in the workspace.
        cluster_environment: What a cluster would add by itself. Tasks with a Job of workers need KUBECONFIG, in place
            of their service account.
        on_result: Is told of each task as it ends.

    Returns:
        What became of each task that ran, in an order in which they could have run one after the other.

    Raises:
        ConfigError: The package, or what it is given, cannot be used.
    """
    workspace = workspace.absolute()
    package = read_package(package_file)
    claims = {claim: workspace / "volumes" / claim for claim in _claims(package)}
    unknown = sorted(set(volumes or {}) - set(claims))
    if unknown:
        raise ConfigError(
            f"--volume: the package mounts no claim {name!r}; expected one of {', '.join(claims)}." for name in unknown
        )
    claims |= {claim: folder.absolute() for claim, folder in (volumes or {}).items()}
    run_id = str(uuid.uuid4())
    tasks = resolve_tasks(package, parameters or {}, run_id, claims, workspace / "metadata.sqlite", secrets_dir)
    added = dict(cluster_environment or {})
    with_workers = [task.name for task in tasks if JOB_ENV in task.environment]
    if with_workers and "KUBECONFIG" not in added:
        raise ConfigError(
            f"{name}: trains in a Job of several workers, which takes a cluster; "
            "compile with distribution.workers=1, or tuning.parallel=1, to replay the package here"
            for name in with_workers
        )
    tasks = [replace(task, environment={**task.environment, **added}) for task in tasks]
    logs, outputs = workspace / "logs" / run_id, workspace / "outputs" / run_id
    try:
        for folder in (logs, outputs, *claims.values()):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"--workspace: {workspace} cannot be written: {error}") from None
    return asyncio.run(
        _run_all(tasks, partial(_run, workspace=workspace, logs=logs, outputs=outputs), outputs, on_result)
    )


async def _run_all(
    tasks: Sequence[Task],
    run: Callable[[Task], Awaitable[TaskResult]],
    outputs: Path,
    on_result: Callable[[TaskResult], None],
) -> list[TaskResult]:
    """Runs each task as soon as those that it waits for have ended; returns what became of them in the tasks' order."""
    results: dict[str, TaskResult | None] = {}  # None: it is not run
    running: dict[str, asyncio.Future[TaskResult]] = {}
    while True:
        for task in tasks:
            if task.name not in running and task.name not in results and results.keys() >= set(task.after):
                if _runs(task, results, outputs):
                    running[task.name] = asyncio.ensure_future(run(task))
                else:
                    results[task.name] = None
        if not running:
            return [result for task in tasks if (result := results[task.name])]
        await asyncio.wait(running.values(), return_when=asyncio.FIRST_COMPLETED)
        for name in [name for name, future in running.items() if future.done()]:
            result = running.pop(name).result()
            results[name] = result
            on_result(result)


def _runs(task: Task, results: Mapping[str, TaskResult | None], outputs: Path) -> bool:
    """Whether a task runs, as Argo has it: nothing follows a failure, nor a task that a condition has kept back."""
    if task.always:
        return True
    if any(result and result.state == "failed" for result in results.values()):
        return False
    if not all(results[name] for name in task.after):
        return False
    return all(condition.holds(partial(read_output, outputs)) for condition in task.conditions)


async def _run(task: Task, workspace: Path, logs: Path, outputs: Path) -> TaskResult:
    """Runs a task until it ends well, fails by itself, or has no retries left for a death by a signal: a lost pod."""
    start = time.monotonic()
    codes: list[int] = []
    nodes: dict[str, State] = {}
    while True:
        log = logs / f"{task.name}.{len(codes) + 1}.log"
        codes.append(await _attempt(task, workspace, log, outputs))
        nodes |= {node: state for node, state in states_in(log).items() if nodes.get(node) != "ran"}
        pause = task.pause_after(len(codes), time.monotonic() - start) if codes[-1] < 0 else None
        if pause is None:
            all_cached = nodes and set(nodes.values()) == {"cached"}
            state = "failed" if codes[-1] else "cached" if all_cached else "ran"
            return TaskResult(task.name, state, round(time.monotonic() - start, 2), codes, log, nodes)
        await asyncio.sleep(pause)


async def _attempt(task: Task, workspace: Path, log: Path, outputs: Path) -> int:
    """Runs the process once and returns its exit code; negative for a signal, as subprocess has it."""
    # What the image gives: an interpreter on PATH, and a home.
    image = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]), "HOME": str(workspace)}
    # As KFP's launcher does.
    (outputs / task.name).mkdir(exist_ok=True)
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *task.command(outputs),
            env={**image, **task.environment},
            cwd=workspace,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return await asyncio.wait_for(process.wait(), task.timeout)
        except asyncio.TimeoutError:
            output.write(f"replay: ended after its time limit of {task.timeout:g} s\n".encode())
            return TIMED_OUT
        finally:
            # Nothing that the task has started may outlive it, as in a container; nor the task this process.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def states_in(log: Path) -> dict[str, State]:
    """Returns the state of each node that ended, from the events that `finetune_kubeflow.task.run_nodes` writes."""
    states: dict[str, State] = {}
    for event in map(from_line, log.read_text(encoding="utf-8", errors="replace").splitlines()):
        # What ran in one attempt of the task is found by the next.
        if isinstance(event, ComponentFinished) and (event.state, states.get(event.component)) != ("cached", "ran"):
            states[event.component] = event.state
    return states


def _claims(package: Package) -> list[str]:
    return sorted({mount.constant for config in package.executor_configs.values() for mount in config.pvc_mount})
