"""Two devices train to the result of one. In a process of its own: devices are fixed when TensorFlow starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

SCRIPT = """
import sys, tempfile
from pathlib import Path
sys.path.insert(0, "tests/trainer_module")
import pipeline
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pipeline.config import HeadConfig, PhaseConfig
from small_training import STRONG, fit, make_splits, training
folder = Path(tempfile.mkdtemp())
splits = make_splits(folder)
# SGD: Adam would make large updates of rounding errors, where a gradient is nearly zero.
config = training(
    micro_batches=2,
    head=HeadConfig(units=[8], dropout=0.0, l2=0.01),
    phases=[
        PhaseConfig(name="head", epochs=1, learning_rate=1e-2, optimizer="sgd"),
        PhaseConfig(
            name="tune", unfreeze={"last_blocks": 1}, epochs=2, learning_rate=1e-3, block_rate_factor=0.5,
            optimizer={"name": "sgd", "global_clipnorm": 1.0},
        ),
    ],
)
strategies = [tf.distribute.OneDeviceStrategy("/cpu:0"), tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])]
copies = STRONG.model_copy(update={"views": 2})
one, two, cached = [
    fit(splits, config.model_copy(update={"cache_trunk": mode}), copies, strategy=strategy, trunk_dir=folder)
    for strategy, mode in zip([*strategies, strategies[1]], ("off", "off", "on"))
]
assert [row["cached_trunk"] for row in cached[2]] == [True, True]
for other in (two, cached):
    for variable, a, b in zip(one[0].weights, one[0].get_weights(), other[0].get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=variable.name)
    for a, b in zip(one[3], other[3]):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            np.testing.assert_allclose(a[name], b[name], rtol=1e-4, err_msg=name)
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


def test_two_mirrored_devices_train_to_the_result_of_one():
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "replicas 2"
