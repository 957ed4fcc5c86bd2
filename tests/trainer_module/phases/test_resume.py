"""A run that was killed goes on and ends with the same weights; a checkpoint that cannot be used is not used."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from finetune.config import AugmentationConfig, CheckpointConfig, HeadConfig, PhaseConfig

pytest.importorskip("tensorflow")

from small_training import STRONG, make_splits, setup_of, training

from trainer_module.phases import program
from trainer_module.phases import run as phases
from trainer_module.phases.checkpoint import Checkpoints, fingerprint
from trainer_module.phases.early_stopping import EarlyStopping
from trainer_module.phases.loop import Totals
from trainer_module.phases.loss_scale import LossScale
from trainer_module.phases.optimizers import Slots
from trainer_module.phases.state import Snapshot, State

pytestmark = pytest.mark.by_test_current

ROOT = Path(__file__).parents[3]

# Everything that has a state: dropout, augmentation, pairs of pictures, moments, a schedule, statistics of BatchNorm,
# an average of the weights, the start of a line, and a first phase that ends, as those of `adaptive` do, when the
# validation loss does not gain enough: after two of its three epochs.
THREE_PHASES = training(
    batch_norm="train",
    checkpoint=CheckpointConfig(every_steps=2),
    head=HeadConfig(units=[8], dropout=0.3, spatial_dropout=0.1),
    phases=[
        PhaseConfig(name="head", epochs=3, learning_rate=1e-2, early_stopping={"patience": 2, "min_delta": 9.0}),
        PhaseConfig(name="tune", unfreeze={"last_blocks": 1}, steps=4, learning_rate=1e-3, schedule="cosine"),
        PhaseConfig(
            name="all",
            unfreeze="all",
            epochs=2,
            learning_rate=1e-3,
            optimizer="nadam",
            block_rate_factor=0.5,
            augmentation={"mixup": 0.4, "cutmix": 1.0, "random_resized_crop": 0.5},
            ema=0.9,
            interpolation="validation",
        ),
    ],
)


CACHED = training(**{**dict(THREE_PHASES), "frozen_features": "on", "phases": THREE_PHASES.phases[:2]})


class KilledError(Exception):
    """Stands in for a kill."""


class Mortal(Checkpoints):
    """Checkpoints that end the run at the given one of the moments at which they are asked for anything."""

    def __init__(self, folder, life: int):
        super().__init__(folder, "same", THREE_PHASES.checkpoint, "Trainer")
        self._life = life

    def is_due(self, step):
        self._age()
        return super().is_due(step)

    def save(self, state):
        self._age()
        super().save(state)

    def _age(self):
        self._life -= 1
        if self._life == 0:
            raise KilledError


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return make_splits(tmp_path_factory.mktemp("examples"))


@pytest.mark.parametrize(
    ("config", "lives"),
    [
        (THREE_PHASES, (3, 6, 5, 4, 8, 1000)),  # within an epoch, before it is saved, at the start of a phase ...
        # With frozen features, which the runs after the first find or have to fill again.
        (CACHED, (4, 5, 1000)),
    ],
    ids=["whole", "cached"],
)
def test_a_run_killed_again_and_again_ends_with_the_weights_of_one_that_was_not(splits, tmp_path, config, lives):
    changes = STRONG if config is THREE_PHASES else AugmentationConfig()
    undisturbed = setup_of(splits, config, changes, folder=tmp_path / "kept_a")
    expected = phases.run_phases(undisturbed, Checkpoints(tmp_path / "a", "same", THREE_PHASES.checkpoint, "Trainer"))
    assert expected.rows[0]["stopped_early"]
    for life in lives:
        if life == 5:
            shutil.rmtree(tmp_path / "kept_b", ignore_errors=True)
        setup = setup_of(splits, config, changes, folder=tmp_path / "kept_b")
        try:
            found = phases.run_phases(setup, Mortal(tmp_path / "b", life))
        except KilledError:
            continue
    assert life == 1000, "the lives before were meant to be too short"
    assert found.curves == expected.curves
    for one, other in zip(undisturbed.model.get_weights(), setup.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def a_state(**changes) -> State:
    now = Snapshot([np.arange(3.0), np.array(7)], {1: Slots(4, (np.ones(2), np.array(0.5)))})
    stopping = EarlyStopping(None, 2, 0.25, 1, 0.5)
    state = State(1, 3, 2, Totals(1.5, 2, 3, 1), {"val_loss": 0.1}, stopping, 0.5, 1, LossScale(4.0, 5), 2, 9.5)
    state.rows, state.curves = [{"name": "a"}], [{"loss": 1}]
    state.now, state.best = now, Snapshot([np.zeros(3), np.array(6)])
    for name, value in changes.items():
        setattr(state, name, value)
    return state


def same(one: State, other: State) -> bool:
    def slots(snapshot):
        return {
            place: (each.updates, [value.tobytes() for value in each.values]) for place, each in snapshot.slots.items()
        }

    def comparable(state):
        snapshots = [([weight.tobytes() for weight in one.weights], slots(one)) for one in (state.now, state.best)]
        return {**vars(state), "now": snapshots[0], "best": snapshots[1]}

    return comparable(one) == comparable(other)


def opened(folder, key="same", **config) -> Checkpoints:
    return Checkpoints(folder, key, CheckpointConfig(**config), "Trainer")


def test_a_state_survives_its_file_and_two_are_kept_beside_the_last_that_the_disk_has(tmp_path, monkeypatch):
    def kept() -> list[str]:
        return sorted(path.stem.lstrip("0") for path in tmp_path.iterdir())

    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    checkpoints = opened(tmp_path)
    for epoch in (1, 2, 3, 4):
        checkpoints.save(a_state(epoch=epoch))
        clock[0] += 2
    assert same(opened(tmp_path).load(), a_state(epoch=4))
    assert kept() == ["1", "3", "4"], "1 was waited for, ten seconds are not over"
    clock[0] += 2
    checkpoints.save(a_state(epoch=5))
    assert kept() == ["4", "5"]
    checkpoints.clear()
    assert not list(tmp_path.iterdir())
    assert opened(tmp_path).load() == State()


def test_what_does_not_move_is_written_once_and_kept_for_those_that_need_it(tmp_path, monkeypatch, heard):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    frozen = np.random.default_rng(0).random(10_000)

    def moved(epoch: int) -> State:
        return a_state(epoch=epoch, now=Snapshot([frozen, np.full(2, epoch)]), best=Snapshot([frozen, np.zeros(2)]))

    def sizes() -> dict[str, bool]:
        return {path.stem.lstrip("0"): path.stat().st_size > frozen.nbytes for path in sorted(tmp_path.iterdir())}

    checkpoints = opened(tmp_path)
    for epoch in (1, 2, 3):
        checkpoints.save(moved(epoch))
    assert sizes() == {"1": True, "2": False, "3": False}
    assert same(opened(tmp_path).load(), moved(3))
    clock[0] += 11
    checkpoints.save(moved(4))
    assert sizes() == {"1": True, "3": False, "4": True}, "3 needs 1"
    max(tmp_path.iterdir()).write_bytes(b"")
    assert same(opened(tmp_path).load(), moved(3))
    # Another process knows nothing of these files.
    opened(tmp_path).save(moved(5))
    assert sizes() == {"4": False, "5": True}
    (tmp_path / "00000005.safetensors").unlink()
    assert opened(tmp_path).load() == State()
    assert "torn or corrupt" in heard[-1].text


@pytest.mark.parametrize("harm", ["torn", "flipped", "empty"])
def test_a_checkpoint_that_is_not_whole_is_told_and_the_one_before_is_used(tmp_path, heard, harm):
    checkpoints = opened(tmp_path)
    for epoch in (1, 2):
        checkpoints.save(a_state(epoch=epoch))
    newest = max(tmp_path.iterdir())
    whole = newest.read_bytes()
    flipped = whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]
    newest.write_bytes({"torn": whole[: len(whole) // 2], "flipped": flipped, "empty": b""}[harm])
    (tmp_path / ".00000003.safetensors.killed").write_bytes(b"half")
    assert same(opened(tmp_path).load(), a_state(epoch=1))
    assert "torn or corrupt" in heard[0].text


def test_checkpoints_of_an_earlier_version_are_told_and_removed(tmp_path, heard):
    (tmp_path / "00000007.ckpt").write_bytes(b"0123\n{}")
    assert opened(tmp_path).load() == State()
    (told,) = heard
    assert "an earlier version" in told.text
    assert "training starts afresh" in told.text
    assert not list(tmp_path.iterdir())


def test_another_config_starts_afresh_and_says_so(tmp_path, heard):
    one, other = (fingerprint({"settings": {"seed": seed}}) for seed in (1, 2))
    opened(tmp_path, one).save(a_state())
    assert same(opened(tmp_path, fingerprint({"settings": {"seed": 1}})).load(), a_state())
    assert opened(tmp_path, other).load() == State()
    assert "training starts afresh" in heard[-1].text
    assert not list(tmp_path.iterdir())


def test_checkpoints_within_an_epoch_are_due_by_steps_or_by_minutes(tmp_path, monkeypatch):
    by_steps = opened(tmp_path, every_steps=3)
    assert [by_steps.is_due(step) for step in range(1, 7)] == [False, False, True] * 2
    by_minutes = opened(tmp_path, every_minutes=2)
    now = time.monotonic()
    assert not by_minutes.is_due(1)
    monkeypatch.setattr(time, "monotonic", lambda: now + 121)
    assert by_minutes.is_due(1)
    by_minutes.save(a_state())
    assert not by_minutes.is_due(2)
    assert not opened(tmp_path).is_due(1)


def test_numbers_that_go_bad_return_to_the_last_good_state_at_half_the_rate(splits, tmp_path, monkeypatch):
    """The third and the sixth step of training give NaN, whatever the rate."""
    made = program.train_step
    calls = []

    def spoiled(*arguments):
        step = made(*arguments)

        def spoiled_step(batch):
            calls.append(1)
            totals = step(batch)
            return Totals(float("nan"), 0, 1) if len(calls) in (3, 6) else totals

        return spoiled_step

    monkeypatch.setattr(program, "train_step", spoiled)
    phase = PhaseConfig(name="head", epochs=2, learning_rate=1e-2)
    config = training(phases=[phase], on_nan="rollback", checkpoint=CheckpointConfig(every_steps=2))
    state = phases.run_phases(setup_of(splits, config, AugmentationConfig()), opened(tmp_path / "a", every_steps=2))
    # 1 2 (saved) nan, 3 (end of epoch 1) 1 nan, 1 2 3: nine calls for six steps and the rate at a quarter.
    assert len(calls) == 9
    assert [point["learning_rate"] for point in state.curves] == [5e-3, 2.5e-3]
    assert state.rate_scale == 1.0, "the next phase has its own rate again"

    calls.clear()
    stops = config.model_copy(update={"on_nan": "stop"})
    with pytest.raises(phases.BadNumbersError, match=r"phase head, epoch 1: the loss of step 3 became nan at .* 0\.01"):
        phases.run_phases(setup_of(splits, stops, AugmentationConfig()), opened(tmp_path / "b"))


def test_rollback_gives_up_where_no_rate_helps(splits, tmp_path):
    phase = PhaseConfig(name="wild", epochs=1, learning_rate=1)
    config = training(phases=[phase], on_nan="rollback", head=HeadConfig(units=[], dropout=0, l2=1e38))
    with pytest.raises(phases.BadNumbersError, match=r"learning rate 0\.03125"):
        phases.run_phases(setup_of(splits, config, AugmentationConfig()), opened(tmp_path))


KILLED_SCRIPT = """
import sys
from pathlib import Path
sys.path[:0] = ["tests/trainer_module", "tests/trainer_module/phases"]
import finetune
import numpy as np
from trainer_module.phases import run as phases
from trainer_module.phases.checkpoint import Checkpoints
from small_training import STRONG, make_splits, setup_of
from test_resume import THREE_PHASES
folder = Path(sys.argv[1])
folder.mkdir(exist_ok=True)
setup = setup_of(make_splits(folder), THREE_PHASES)
print("training", flush=True)
phases.run_phases(setup, Checkpoints(folder / "checkpoints", "same", THREE_PHASES.checkpoint, "Trainer"))
np.savez(folder / "done.tmp.npz", *setup.model.get_weights())
(folder / "done.tmp.npz").rename(folder / "done.npz")
"""


def started(folder: Path) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_SCRIPT, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    for line in process.stdout:
        if line == "training\n":
            break
    return process


def trained_weights(folder: Path) -> dict[str, bytes]:
    with np.load(folder / "done.npz") as arrays:
        return {name: arrays[name].tobytes() for name in arrays.files}


@pytest.mark.long
def test_kill_9_at_twenty_random_moments(tmp_path):
    with started(tmp_path / "undisturbed") as process:
        trained_from = time.monotonic()
        assert process.wait() == 0
        seconds = time.monotonic() - trained_from
    expected = trained_weights(tmp_path / "undisturbed")
    moments = random.Random(7)
    alike, unfinished = [], []
    for number in range(20):
        folder = tmp_path / f"killed_{number}"
        with started(folder) as process:
            time.sleep(moments.uniform(0, seconds))
            process.send_signal(signal.SIGKILL)
        unfinished.append(not (folder / "done.npz").exists())
        with started(folder) as process:
            assert process.wait() == 0
        alike.append(trained_weights(folder) == expected)
    print(f"{sum(unfinished)} of 20 killed before their end; {sum(alike)} of 20 end with the same bytes")
    assert all(alike)
    assert sum(unfinished) >= 10, "most were meant to be killed in training"
