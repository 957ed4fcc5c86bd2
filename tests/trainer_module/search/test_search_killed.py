"""`kill -9` at random moments of a search and its last fit: the next start goes on, to the same bytes."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.long
pytest.importorskip("tensorflow")

ROOT = Path(__file__).parents[3]
MOMENTS = 6

# The dearest candidate is taken, so that it is trained twice, and all are tried on parts of train.
SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = ["tests/trainer_module", "tests/trainer_module/search"]
import numpy as np
from small_training import make_splits
from test_search import QUICK, auto, search, search_run
search_run.candidates_for = lambda *_: QUICK
search_run.choose = lambda scores: ("all", {})
search_run.still_open = list
folder = Path(sys.argv[1])
folder.mkdir(exist_ok=True)
splits = make_splits(folder)
print("searching", flush=True)
setup, trained = search(splits, folder, auto())
assert trained.refit.steps == 9, trained.refit
assert trained.search.parts == 2, trained.search
np.savez(folder / "done.tmp.npz", trained.held_out.logits, *setup.model.get_weights())
(folder / "done.tmp.npz").rename(folder / "done.npz")
"""


def started(folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        if line == "searching\n":
            break
    return process


def left_behind(folder: Path) -> dict[str, bytes]:
    with np.load(folder / "done.npz") as arrays:
        return {name: arrays[name].tobytes() for name in arrays.files}


def test_kill_9_at_random_moments_of_a_search(tmp_path):
    with started(tmp_path / "undisturbed") as process:
        start = time.monotonic()
        assert process.wait() == 0
        seconds = time.monotonic() - start
    moments = random.Random(5)
    unfinished = 0
    for number in range(MOMENTS):
        folder = tmp_path / f"killed_{number}"
        with started(folder) as process:
            # Of its first half: another run may be faster than the undisturbed one was.
            time.sleep(moments.uniform(0, seconds / 2))
            process.send_signal(signal.SIGKILL)
        unfinished += not (folder / "done.npz").exists()
        with started(folder) as process:
            assert process.wait() == 0
        assert left_behind(folder) == left_behind(tmp_path / "undisturbed"), f"killed at moment {number}"
    assert unfinished >= MOMENTS // 2, "most were meant to be killed in the search"
