"""Processes of this machine that train trials beside the one that searches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from finetune.events import Note, emit
from finetune.files import write_text
from trainer_module.tuning.shares import WORKER_ENV

# What `tuner_fn` reads of what TFX gives it.
_ARGUMENTS = ("train_files", "eval_files", "transform_graph_path", "custom_config")
# What they run.
_MODULE = "trainer_module.tuning.worker_process"
_SECONDS_TO_LEAVE = 30.0


@contextmanager
def helpers(fn_args: Any, count: int, folder: Path) -> Iterator[None]:
    """Has so many processes help for the time of the block; those that are not done then are told to end.

    Args:
        fn_args: From TFX, for all of them.
        count: Of the processes.
        folder: For their arguments and logs.
    """
    if not count:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    arguments = folder / "arguments.json"
    write_text(arguments, json.dumps({name: getattr(fn_args, name) for name in _ARGUMENTS}))
    started = [_start(arguments, number) for number in range(1, count + 1)]
    component = fn_args.custom_config["component"]
    emit(Note(text=f"{component}: {count + 1} processes train trials side by side"))
    try:
        yield
    finally:
        told_to_end = [process for process in started if process.poll() is None]
        for process in told_to_end:
            process.terminate()
        for number, process in enumerate(started, start=1):
            _wait_for(process)
            if process.returncode and process not in told_to_end:
                last = _log(arguments, number).read_text(errors="replace").strip().rpartition("\n")[2]
                text = f"{component}: worker {number} of the search failed, and the others trained its trials: {last}"
                emit(Note(text=text, level="warning"))


def _start(arguments: Path, number: int) -> subprocess.Popen:
    environment = {**os.environ, WORKER_ENV: str(number)}
    with _log(arguments, number).open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", _MODULE, str(arguments)],
            # Ends with this process, however that ends.
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
        )


def _wait_for(process: subprocess.Popen) -> None:
    try:
        process.wait(_SECONDS_TO_LEAVE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin:
        process.stdin.close()


def _log(arguments: Path, number: int) -> Path:
    return arguments.with_name(f"worker-{number}.log")
