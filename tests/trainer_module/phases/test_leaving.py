"""Training that is told to end saves itself at the next step, alone and among workers, and goes on from there."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from finetune import termination

pytest.importorskip("tensorflow")

pytestmark = pytest.mark.by_test_current

ROOT = Path(__file__).parents[3]

# The second epoch begins with SIGTERM: the checkpoint of its first step is the only one within an epoch.
SCRIPT = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = ["tests/trainer_module", "tests/trainer_module/phases"]
import finetune
from finetune import termination
from finetune.config import CheckpointConfig, HeadConfig, PhaseConfig
from finetune.events import Epoch, subscribe
from small_training import make_splits, setup_of, training
from trainer_module.phases import run as phases
from trainer_module.phases.checkpoint import Checkpoints
from trainer_module.phases.distribution import current_strategy, is_chief

folder, told = Path(sys.argv[1]), sys.argv[2] == "told"
config = training(
    head=HeadConfig(units=[8], dropout=0.3),
    checkpoint=CheckpointConfig(every_minutes=None),
    phases=[PhaseConfig(name="tune", unfreeze="all", epochs=3, learning_rate=1e-2, optimizer="sgd")],
)
termination.listen()

def tell(event):
    if told and isinstance(event, Epoch):
        os.kill(os.getpid(), signal.SIGTERM)

strategy = current_strategy("auto")  # before TensorFlow does anything else
chief = is_chief(os.environ.get("TF_CONFIG"))
own = folder / ("chief" if chief else "other")
own.mkdir(exist_ok=True)
setup = setup_of(make_splits(own), config, folder=own / "kept", strategy=strategy)
checkpoints = Checkpoints(folder / "checkpoints", "same", config.checkpoint, "Trainer", chief)
begin = checkpoints.load()
print("begins", begin.epoch, begin.step, flush=True)
with subscribe(tell):
    state = phases.run_phases(setup, checkpoints)
print("loss", repr(state.curves[-1]["val_loss"]))
sys.stdout.flush()
os._exit(0)
"""


def started(folder: Path, told: bool, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), "told" if told else "undisturbed"],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], code: int) -> list[str]:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors[-3000:]
    return output.splitlines()


def test_a_process_that_is_told_to_end_goes_on_from_the_step_that_it_was_in(tmp_path: Path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    expected = ended(started(tmp_path / "a", told=False), 0)
    assert ended(started(tmp_path / "b", told=True), termination.EXIT_CODE) == ["begins 1 0"]
    assert ended(started(tmp_path / "b", told=False), 0) == ["begins 2 1", expected[-1]]


@pytest.mark.long
def test_a_worker_that_is_told_to_end_takes_the_other_with_it(tmp_path: Path):
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in (one, other)]

    def workers(told: int | None) -> list[subprocess.Popen[str]]:
        return [
            started(
                tmp_path,
                told=index == told,
                TF_CONFIG=json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}),
            )
            for index in (0, 1)
        ]

    for worker in workers(told=1):
        assert ended(worker, termination.EXIT_CODE) == ["begins 1 0"]
    losses = {tuple(ended(worker, 0)) for worker in workers(told=None)}
    ((place, loss),) = losses
    assert place == "begins 2 1"
    assert loss.startswith("loss ")
