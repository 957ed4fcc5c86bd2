"""Half precision: the loss scale's course, gradients against NumPy in float64, and what stays float32."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from small_training import SIZE, fit, make_splits, setup_of, training

from finetune.config import AugmentationConfig, BackboneConfig, OptimizerConfig, TrainingConfig
from trainer_module.phases.loss_scale import LossScale
from trainer_module.phases.state import State
from trainer_module.tasks import TASKS

pytestmark = pytest.mark.by_test_current

tf = pytest.importorskip("tensorflow")
keras = importlib.import_module("tf_keras")
backbone_model = importlib.import_module("trainer_module.backbones.model")
loop = importlib.import_module("trainer_module.phases.loop")
optimizers = importlib.import_module("trainer_module.phases.optimizers")
phases = importlib.import_module("trainer_module.phases.phase")
program = importlib.import_module("trainer_module.phases.program")

RANDOM = np.random.default_rng(5)
X = RANDOM.integers(-3, 4, size=(6, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2, 1, 0, 2])


def test_the_scale_halves_at_each_overflow_and_doubles_after_2000_steps_without():
    scale, values = LossScale(), []
    for overflowed in (True, True, *[False] * 2000, *[False] * 1999, True, *[False] * 2000):
        scale = scale.after(overflowed)
        values.append(scale.value)
    assert values[:2] == [2.0**14, 2.0**13]
    assert values[2:2002] == [2.0**13] * 1999 + [2.0**14], "the 2000th good step doubles"
    assert values[2002:4002] == [2.0**14] * 1999 + [2.0**13], "an overflow just before starts the count afresh"
    assert values[4002:] == [2.0**13] * 1999 + [2.0**14]
    assert [LossScale(value).is_exhausted for value in (2.0, 1.0, 0.5)] == [False, False, True]


class Half:
    """A float16 layer whose kernel is all zeros, then a float32 softmax with fixed weights, trained by plain SGD."""

    def __init__(self, top: np.ndarray, steps: int = 1, optimizer: str = "sgd", strategy=None):
        strategy = strategy or tf.distribute.get_strategy()
        with strategy.scope():
            inputs = keras.Input((4,))
            hidden = keras.layers.Dense(5, use_bias=False, kernel_initializer="zeros", dtype="mixed_float16")
            softmax = keras.layers.Dense(3, "softmax", use_bias=False, trainable=False)
            model = keras.Model(inputs, softmax(hidden(inputs)))
            softmax.set_weights([top])
            self.kernel = hidden.kernel
            config = OptimizerConfig(name=optimizer, momentum=0)
            self.optimizer = optimizers.PhaseOptimizer(config, [self.kernel], [1.0], [None])
            self.scale = tf.Variable(1.0, trainable=False)
        self.optimizer.set_rate(1.0)
        spec = (tf.TensorSpec([None, 4]), tf.TensorSpec([None], tf.int64))
        objective = TASKS["single_label"].objective(TrainingConfig(), list("abc"), None)
        self._step = loop.train_step(model, [self.kernel], self.optimizer, objective, steps, strategy, spec, self.scale)

    def step(self, scale: float):
        self.scale.assign(scale)
        return self._step((tf.constant(X), tf.constant(LABELS)))


def gradient(top: np.ndarray) -> np.ndarray:
    """Of the mean cross-entropy by the kernel, where the kernel is zero and all classes are as likely."""
    return X.T.astype(float) @ ((np.full((6, 3), 1 / 3) - np.eye(3)[LABELS]) @ top.T.astype(float)) / 6


@pytest.mark.parametrize("steps", [1, 2])
def test_scaling_saves_gradients_that_float16_cannot_hold(steps):
    # What comes back through the softmax is 1e-8 in size; the smallest number of float16 is 6e-8.
    top = (1e-7 * RANDOM.uniform(0.5, 1.0, size=(5, 3)) * [1, -1, 1]).astype(np.float32)
    unscaled = Half(top, steps)
    assert unscaled.step(1.0).skipped == 0
    assert not unscaled.kernel.numpy().any(), "without scaling everything was meant to vanish"
    scaled = Half(top, steps)
    assert scaled.step(2.0**15).skipped == 0
    expected = gradient(top)
    np.testing.assert_allclose(-scaled.kernel.numpy(), expected, atol=2e-3 * np.abs(expected).max())


def test_a_step_that_overflows_updates_nothing_and_a_lower_scale_finds_the_gradient():
    top = (1e3 * RANDOM.uniform(0.5, 1.0, size=(5, 3)) * [1, -1, 1]).astype(np.float32)
    half = Half(top, optimizer="adam")
    scale = LossScale()
    skips = 0
    while True:
        skipped = bool(half.step(scale.value).skipped)
        if not skipped:
            break
        assert not half.kernel.numpy().any()
        (slots,) = half.optimizer.slots()
        assert slots.updates == 0
        assert not any(value.any() for value in slots.values)
        scale, skips = scale.after(skipped), skips + 1
        assert skips < 20
    assert skips > 3
    # The first update of Adam is the rate times the sign.
    np.testing.assert_allclose(half.kernel.numpy(), -np.sign(gradient(top)), atol=1e-3)
    assert half.optimizer.slots()[0].updates == 1


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return make_splits(tmp_path_factory.mktemp("examples"))


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_the_backbone_alone_computes_in_half_precision_and_the_export_in_float32(splits, precision, monkeypatch):
    phase = {"name": "tune", "unfreeze": {"last_layers": 5}, "steps": 4, "learning_rate": 1e-3}
    config = training(mixed_precision=precision, phases=[phase])
    monkeypatch.setattr(program, "train_step", overflowing_twice(program.train_step))
    setup = setup_of(splits, config, AugmentationConfig())
    state = State()
    phases.run_phase(setup, state, keep=lambda state: None)
    assert {layer.compute_dtype for layer in setup.backbone.layers[1:]} == {precision}
    assert setup.backbone.outputs[0].dtype == precision
    assert {layer.compute_dtype for layer in setup.model.layers if layer is not setup.backbone} == {"float32"}
    assert {variable.dtype for variable in setup.model.trainable_variables} == {tf.float32}
    assert all(np.isfinite(point["val_loss"]) for point in state.curves)
    # Four steps, two of which the injected step calls overflown; bfloat16 has the range of float32 and no scale.
    assert state.loss_scale == (LossScale(2.0**13, 2) if precision == "float16" else LossScale())

    network = BackboneConfig(name="SmallCNN", weights="random", image_size=SIZE)
    exact = backbone_model.in_float32(setup.model, network, config, classes=2)
    assert {layer.compute_dtype for layer in exact.layers} == {"float32"}
    pixels = RANDOM.uniform(0, 255, (8, SIZE, SIZE, 3)).astype(np.float32)
    half, whole = (model(pixels, training=False).numpy() for model in (setup.model, exact))
    assert not np.array_equal(half, whole)
    np.testing.assert_allclose(half, whole, atol=0.02)
    assert keras.mixed_precision.global_policy().name == "float32"


@pytest.mark.parametrize("memory_mb", [1, 0], ids=["memory", "files"])
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_frozen_features_give_the_same_curves_in_half_precision(splits, precision, memory_mb, tmp_path):
    curves, kept_bytes = [], []
    for mode in ("off", "on"):
        config = training(mixed_precision=precision, frozen_features=mode, memory_mb=memory_mb)
        _, _, rows, found = fit(splits, config, AugmentationConfig(), folder=tmp_path)
        assert [row["cached_trunk"] for row in rows] == [mode == "on"] * 2
        curves.append([(point["loss"], point["val_loss"]) for point in found])
        kept_bytes.append(rows[-1]["frozen_features"]["bytes"])
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-3)
    assert kept_bytes[0] == 0 < kept_bytes[1]


def overflowing_twice(made):
    """Steps of which the first two say that they overflowed."""
    calls = []

    def make(*arguments):
        step = made(*arguments)

        def counted(batch):
            calls.append(1)
            totals = step(batch)
            *_, loss_scale, _ = arguments
            scaled = loss_scale is not None
            return totals + loop.Totals(skipped=1.0) if scaled and len(calls) <= 2 else totals

        return counted

    return make


def test_gradients_that_overflow_unscaled_are_bad_numbers(splits, monkeypatch):
    def make(*arguments):
        return lambda batch: loop.Totals(1.0, 0.0, 8.0, skipped=1.0)

    monkeypatch.setattr(program, "train_step", make)
    phase = {"name": "head", "steps": 99, "learning_rate": 0.1, "early_stopping": None}
    config = training(mixed_precision="float16", phases=[phase])
    with pytest.raises(phases.BadNumbersError, match=r"phase head, epoch 6: the gradients of step 1 overflow float16"):
        phases.run_phase(setup_of(splits, config, AugmentationConfig()), State(), keep=lambda state: None)


def test_a_bare_off_in_yaml_is_off():
    assert TrainingConfig.model_validate({"mixed_precision": False}).mixed_precision == "off"
