"""Calls functions of the shell scripts, some of them replaced by fakes."""

import os
import pathlib
import shlex
import subprocess

import pytest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def shell(tmp_path):
    """Returns `run(script, code, stdin="", **environment)`: sources scripts/<script>, then runs `code` in bash.

    The caller's own FINETUNE_* and index settings do not reach the script; the home and cache folders are empty.
    """

    def run(script, code, stdin="", wait=True, **environment):
        settings = ("FINETUNE_", "UV_", "PIP_", "PYENV_", "XDG_", "SSL_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
        process = subprocess.Popen(
            ["bash", "-c", f"source {shlex.quote(str(SCRIPTS / script))}\n{code}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**inherited, "HOME": str(tmp_path / "home"), **environment},
        )
        if not wait:
            return process
        stdout, stderr = process.communicate(stdin, timeout=60)
        return subprocess.CompletedProcess(code, process.returncode, stdout, stderr)

    return run
