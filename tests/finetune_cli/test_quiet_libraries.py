"""What libraries say of themselves on import stays off the terminal."""

from __future__ import annotations

import subprocess
import sys

import pytest

# What tensorflow_hub does when a command imports it.
IMPORT = "import pkg_resources"
RUN = "import contextlib, sys; from finetune_cli.main import main; sys.argv[1:] = ['--help']"


def announced(before: str) -> bool:
    code = f"{RUN}\n{before}\n{IMPORT}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return "pkg_resources is deprecated" in done.stderr


def test_pkg_resources_announces_its_end_only_where_no_command_runs():
    if not announced("pass"):
        pytest.skip("the pkg_resources of this environment announces nothing")
    assert not announced("with contextlib.suppress(SystemExit): main()")
