"""A process that is told to end: at once, after it has saved itself, or by force."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from finetune.termination import EXIT_CODE


def run(code: str) -> subprocess.CompletedProcess[str]:
    script = "import os, signal, sys, time\nfrom finetune import termination as t\n" + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("code", "output", "exit_code"),
    [
        ("t.listen()\ntry: os.kill(os.getpid(), 15); time.sleep(20)\nfinally: print('cleared')", "cleared", EXIT_CODE),
        (
            """
            t.listen()
            with t.saving():
                os.kill(os.getpid(), 15)
                while not t.requested(): time.sleep(0.01)
                print('saved')
                t.leave()
            """,
            "saved",
            EXIT_CODE,
        ),
        ("t.listen(0.3)\nwith t.saving():\n    os.kill(os.getpid(), 15)\n    while True: pass", "", EXIT_CODE),
        ("t.listen()\nt.terminate(42)\ntime.sleep(20)", "", 42),
        (
            "t.listen()\nsignal.signal(10, lambda *_: None)\nos.kill(os.getpid(), 10)\nprint(t.requested())",
            "False",
            0,
        ),
    ],
    ids=["at once", "after it has saved itself", "by force", "with a code of its own", "no other signal"],
)
def test_a_process_ends(code: str, output: str, exit_code: int):
    ended = run(code)
    assert (ended.stdout.strip(), ended.returncode) == (output, exit_code), ended.stderr
