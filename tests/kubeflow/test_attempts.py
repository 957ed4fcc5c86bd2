"""Which failures of a task are tried again, after which pauses, and what becomes of it when it is told to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from command_line import ROOT

from finetune import termination
from finetune.config.kubernetes import Retries
from finetune.errors import BackboneError, ConfigError, DataError, RunError
from finetune_kubeflow.task.attempts import MAY_PASS, code_of


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (ConfigError(["bad"]), 2),
        (DataError("missing"), 1),
        (BackboneError("unknown"), 1),
        (RunError("the store is away"), MAY_PASS),
        (None, MAY_PASS),
    ],
)
def test_what_another_attempt_cannot_help_gets_none(failure, code: int):
    assert code_of(failure) == code


def test_pauses_grow_up_to_the_longest():
    retries = Retries(count=5, backoff_seconds=30, backoff_factor=2, backoff_max_seconds=100)
    assert retries.pauses == [30, 60, 100, 100, 100]


def started(code: str, tmp_path: Path) -> subprocess.Popen[str]:
    """Runs attempts in a process without TensorFlow, which must not be forked."""
    script = "from finetune_kubeflow.task.attempts import *\n" + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kubeflow")])},
        stderr=subprocess.PIPE,
        text=True,
    )


COUNTING = """
    import os, sys
    def attempt():
        number = len(os.listdir())
        open(f"attempt-{number}", "w").close()
        return ends[number]()
"""


@pytest.mark.parametrize(
    ("ends", "code", "attempts"),
    [
        ("[lambda: 0]", 0, 1),
        ("[lambda: MAY_PASS, lambda: 0]", 0, 2),
        ("[lambda: os.kill(os.getpid(), 9), lambda: os.abort(), lambda: 0]", 0, 3),
        ("[lambda: MAY_PASS] * 3", 1, 3),
        ("[lambda: MAY_PASS, lambda: 2]", 2, 2),
        ("[lambda: 3]", 3, 1),
    ],
)
def test_attempts_end_with_what_is_final(tmp_path: Path, ends: str, code: int, attempts: int):
    process = started(f"{COUNTING}\n    ends = {ends}\n    sys.exit(run_attempts(attempt, [0, 0]))", tmp_path)
    _, log = process.communicate(timeout=60)
    assert process.returncode == code, log
    assert len(list(tmp_path.iterdir())) == attempts


@pytest.mark.parametrize("pause", [0, 600], ids=["in an attempt", "between two"])
def test_sigterm_goes_to_the_attempt_and_there_is_no_other(tmp_path: Path, pause: int):
    process = started(
        f"""
        import os, pathlib, signal, sys, time
        def attempt():
            signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path("told").touch(), sys.exit(MAY_PASS)))
            pathlib.Path("began").touch()
            time.sleep(0 if {pause} else 600)
            return MAY_PASS
        sys.exit(run_attempts(attempt, [{pause}, {pause}]))
        """,
        tmp_path,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "began").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5 if pause else 0)
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=60)
    assert process.returncode == termination.EXIT_CODE, log
    assert (tmp_path / "told").exists() == (pause == 0)
