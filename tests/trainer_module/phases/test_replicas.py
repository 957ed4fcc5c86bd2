"""Two devices, and two processes, train to the result of one device.

In processes of their own: devices and clusters are fixed when TensorFlow starts.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.by_test

ROOT = Path(__file__).parents[3]

PREAMBLE = """
import sys, tempfile
from pathlib import Path
sys.path[:0] = ["tests/trainer_module", "tests/trainer_module/phases"]
import finetune
import numpy as np
import tensorflow as tf
from finetune.config import HeadConfig, PeftConfig, PhaseConfig
from small_training import fit, make_splits, training

# SGD: Adam would make large updates of rounding errors, where a gradient is nearly zero.
config = training(
    gradient_accumulation_steps=2,
    head=HeadConfig(units=[8], dropout=0.0, l2=0.01),
    phases=[
        PhaseConfig(name="head", epochs=1, learning_rate=1e-2, optimizer="sgd"),
        PhaseConfig(
            name="tune", unfreeze={"last_blocks": 1}, epochs=2, learning_rate=1e-3, block_rate_factor=0.5,
            optimizer={"name": "sgd", "global_clipnorm": 1.0},
        ),
    ],
)

def trained(strategy):
    model, _, _, curves = fit(splits, config, strategy=strategy)
    # Of several workers, all have to be there when variables are read.
    return [variable.name for variable in model.weights], model.get_weights(), curves

def compare(one, two):
    for name, a, b in zip(*one[:2], two[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=name)
    for a, b in zip(one[2], two[2], strict=True):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            np.testing.assert_allclose(a[name], b[name], rtol=1e-4, err_msg=name)
"""

DEVICES = """
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategies = [tf.distribute.OneDeviceStrategy("/cpu:0"), tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])]
splits = make_splits(Path(tempfile.mkdtemp()))
compare(*[trained(strategy) for strategy in strategies])

# Factors of updates are variables of both devices too.
plain, config = config, config.model_copy(update={"peft": PeftConfig(rank=2, targets=["conv"])})
compare(*[trained(strategy) for strategy in strategies])
config = plain

# With a loss scale, what overflows is skipped on both devices, and what does not is the gradient.
from test_mixed_precision import Half, gradient
top = np.linspace(-1e3, 1e3, 15, dtype=np.float32).reshape(5, 3)
half = Half(top, strategy=strategies[1])
assert half.step(2.0**15).skipped == 1.0
assert not half.kernel.numpy().any()
assert half.step(2.0**-3).skipped == 0.0
for copy in strategies[1].experimental_local_results(half.kernel):
    np.testing.assert_allclose(-copy.numpy(), gradient(top), rtol=5e-3)
print("replicas", strategies[1].num_replicas_in_sync)
"""

WORKER = """
import os
from trainer_module.phases.distribution import current_strategy, is_chief
strategy = current_strategy("auto")
assert isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
splits = make_splits(Path(tempfile.mkdtemp()))
chief = is_chief(os.environ["TF_CONFIG"])
alone = trained(tf.distribute.OneDeviceStrategy("/cpu:0")) if chief else None
together = trained(strategy)
if chief:
    compare(alone, together)
print("replicas", strategy.num_replicas_in_sync)
"""


def started(script: str, **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-c", PREAMBLE + script]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, **pipes)


def expect_two_replicas(process: subprocess.Popen) -> None:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    assert output.splitlines()[-1] == "replicas 2"


def test_two_mirrored_devices_train_to_the_result_of_one():
    expect_two_replicas(started(DEVICES))


def test_two_worker_processes_train_to_the_result_of_one_device():
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in (one, other)]
    contents = [
        json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}) for index in (0, 1)
    ]
    workers = [started(WORKER, TF_CONFIG=content) for content in contents]
    try:
        for worker in workers:
            expect_two_replicas(worker)
    finally:
        # One that waits for the other would wait for ever.
        for worker in workers:
            worker.kill()
            worker.communicate()
