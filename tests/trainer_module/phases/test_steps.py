"""One step of training, against NumPy: losses, optimizers, clipping, rates per block, accumulation, dropout."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np
import pytest

from finetune.config import HeadConfig, OptimizerConfig, PhaseConfig, TrainingConfig
from trainer_module.tasks import TASKS

tf = pytest.importorskip("tensorflow")
keras = importlib.import_module("tf_keras")
contract = importlib.import_module("trainer_module.tasks.contract")
heads = importlib.import_module("trainer_module.heads")
MODALITIES = importlib.import_module("trainer_module.modalities").MODALITIES
loop = importlib.import_module("trainer_module.phases.loop")
optimizers = importlib.import_module("trainer_module.phases.optimizers")
transforms = importlib.import_module("transforms.tasks")
transform_contract = importlib.import_module("transforms.tasks.contract")

RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(7, 4)).astype(np.float32)
LABELS = np.array([0, 1, 2, 1, 0, 2, 1])
START = [RANDOM.normal(size=(4, 3)).astype(np.float32), RANDOM.normal(size=3).astype(np.float32)]
ONE_HOT = np.eye(3)[LABELS]


def linear():
    """A softmax layer on four numbers."""
    inputs = keras.Input((4,))
    layer = keras.layers.Dense(3, "softmax")
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights(START)
    return model


def optimizer_of(model, config, factors=(1.0, 1.0), slots=(None, None)):
    return optimizers.PhaseOptimizer(OptimizerConfig.model_validate(config), model.trainable_variables, factors, slots)


def step_of(model, optimizer, training=None, weights=None, parts=1):
    spec = (tf.TensorSpec([None, 4]), tf.TensorSpec([None], tf.int64))
    objective = TASKS["single_label"].objective(training or TrainingConfig(), list("abc"), weights)
    strategy = tf.distribute.get_strategy()
    return loop.train_step(model, model.trainable_variables, optimizer, objective, parts, strategy, spec)


def softmax(kernel, bias):
    logits = X.astype(float) @ kernel + bias
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


WEIGHTS = [0.5, 1.0, 3.0]
LOSSES = {
    "plain": ({}, None, lambda p: -np.log((p * ONE_HOT).sum(1))),
    "smooth": ({"label_smoothing": 0.1}, None, lambda p: -((0.9 * ONE_HOT + 0.1 / 3) * np.log(p)).sum(1)),
    "focal": (
        {"focal_gamma": 2.0},
        None,
        lambda p: -((1 - (p * ONE_HOT).sum(1)) ** 2) * np.log((p * ONE_HOT).sum(1)),
    ),
    "weighted": ({}, WEIGHTS, lambda p: -np.array(WEIGHTS)[LABELS] * np.log((p * ONE_HOT).sum(1))),
}


@pytest.mark.parametrize(("keys", "weights", "formula"), LOSSES.values(), ids=LOSSES)
def test_losses_and_their_gradients(keys, weights, formula):
    """The loss against its formula, the gradient against central differences of the formula."""
    model = linear()
    optimizer = optimizer_of(model, {"name": "sgd", "momentum": 0})
    optimizer.set_rate(1.0)
    totals = step_of(model, optimizer, TrainingConfig(**keys), weights)((tf.constant(X), tf.constant(LABELS)))
    assert totals.loss == pytest.approx(formula(softmax(*START)).sum(), rel=1e-5)
    for place, (before, after) in enumerate(zip(START, model.get_weights(), strict=True)):
        gradient = np.zeros_like(before, float)
        for index in np.ndindex(*before.shape):
            sides = []
            for shift in (1e-5, -1e-5):
                moved = [value.astype(float) for value in START]
                moved[place][index] += shift
                sides.append(formula(softmax(*moved)).mean())
            gradient[index] = (sides[0] - sides[1]) / 2e-5
        np.testing.assert_allclose(before - after, gradient, rtol=1e-3, atol=2e-6)


MULTI_HOT = np.eye(3)[LABELS] + (np.arange(len(LABELS))[:, np.newaxis] % 2) * np.eye(3)[(LABELS + 1) % 3]
LOSSES_OF_LABELS = {
    "plain": ({}, None, lambda y, p: -np.log(np.where(y, p, 1 - p))),
    "smooth": ({"label_smoothing": 0.1}, None, lambda y, p: _crossentropy(0.9 * y + 0.05, p)),
    "focal": ({"focal_gamma": 2.0}, None, lambda y, p: np.where(y, 1 - p, p) ** 2 * _crossentropy(y, p)),
    "weighted": ({}, WEIGHTS, lambda y, p: np.where(y, WEIGHTS, 1) * _crossentropy(y, p)),
}


def _crossentropy(labels, probabilities):
    return -(labels * np.log(probabilities) + (1 - labels) * np.log(1 - probabilities))


@pytest.mark.parametrize(("keys", "weights", "formula"), LOSSES_OF_LABELS.values(), ids=LOSSES_OF_LABELS)
def test_losses_of_several_labels(keys, weights, formula):
    objective = TASKS["multi_label"].objective(TrainingConfig(**keys), list("abc"), weights)
    probabilities = 1 / (1 + np.exp(-(X.astype(float) @ START[0] + START[1])))
    labels = tf.constant(MULTI_HOT, tf.float32)
    found = objective.loss(labels, tf.constant(probabilities, tf.float32))
    np.testing.assert_allclose(found, formula(MULTI_HOT, probabilities).mean(axis=1), rtol=1e-4)
    plain = _crossentropy(MULTI_HOT, probabilities).mean(axis=1)
    np.testing.assert_allclose(objective.val_loss(labels, tf.constant(probabilities, tf.float32)), plain, rtol=1e-4)


def test_the_accuracy_of_several_labels_is_their_jaccard_index():
    labels = tf.constant([[1, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]], tf.float32)
    probabilities = tf.constant([[0.9, 0.1, 0.5], [0.4, 0.1, 0.2], [0.7, 0.1, 0.1], [0.6, 0.2, 0.3]])
    accuracy = TASKS["multi_label"].objective(TrainingConfig(), list("abc"), None).accuracy(labels, probabilities)
    np.testing.assert_allclose(accuracy, [1 / 3, 1, 0, 1], rtol=1e-6)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_keeps_the_contract(name):
    transform_contract.check_task(transforms.TASKS[name])
    contract.check_task(TASKS[name], transforms.TASKS[name])


def test_the_contract_refuses_an_objective_that_is_no_number_for_each_example():
    class Mean(type(TASKS["multi_label"])):
        def objective(self, training, names, weights):
            whole = super().objective(training, names, weights)
            return dataclasses.replace(whole, loss=lambda labels, said: tf.reduce_mean(whole.loss(labels, said)))

    with pytest.raises(AssertionError, match=r"loss has the shape \(\); expected one number an example"):
        contract.check_task(Mean(), transforms.TASKS["multi_label"])


def adam(g, m, v, t, rate):
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return m, v, rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)


def nadam(g, m, v, t, rate):
    momenta = [0.9 * (1 - 0.5 * 0.96**i) for i in range(1, t + 2)]
    product = np.prod(momenta[:t])
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    ahead = momenta[t] * m / (1 - product * momenta[t]) + (1 - momenta[t - 1]) * g / (1 - product)
    return m, v, rate * ahead / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)


def sgd(g, m, v, t, rate):
    m = 0.9 * m - rate * g
    return m, v, -m


def rmsprop(g, m, v, t, rate):
    v = 0.9 * v + 0.1 * g * g
    return m, v, rate * g / np.sqrt(v + 1e-7)


GRADIENTS = [[RANDOM.normal(size=value.shape).astype(np.float32) for value in START] for _ in range(6)]
RATES = [0.1, 0.1, 0.05, 0.02, 0.02, 0.01]


def applied(optimizer, steps=range(6)):
    apply = tf.function(lambda kernel, bias: optimizer.apply([kernel, bias]), autograph=False)
    for step in steps:
        optimizer.set_rate(RATES[step])
        apply(*map(tf.constant, GRADIENTS[step]))


@pytest.mark.parametrize("formula", [adam, nadam, sgd, rmsprop], ids=lambda formula: formula.__name__)
def test_optimizers_with_a_factor_for_each_variable(formula):
    factors = (0.5, 1.0)
    model = linear()
    applied(optimizer_of(model, formula.__name__, factors))
    for place, (start, factor) in enumerate(zip(START, factors, strict=True)):
        value, m, v = start.astype(float), 0.0, 0.0
        for t in range(6):
            m, v, change = formula(GRADIENTS[t][place].astype(float), m, v, t + 1, RATES[t] * factor)
            value -= change
        np.testing.assert_allclose(model.get_weights()[place], value, rtol=1e-4, atol=1e-5)


def test_adamw_decays_kernels_and_no_biases():
    model = linear()
    optimizer = optimizer_of(model, {"name": "adamw", "weight_decay": 0.5})
    optimizer.set_rate(0.1)
    optimizer.apply([tf.zeros((4, 3)), tf.zeros(3)])
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(kernel, START[0] * (1 - 0.5 * 0.1), rtol=1e-6)
    np.testing.assert_array_equal(bias, START[1])


@pytest.mark.parametrize("name", ["adam", "adamw", "nadam", "sgd", "rmsprop"])
def test_an_optimizer_goes_on_from_its_slots_bit_by_bit_beside_a_variable_that_is_new(name):
    straight = linear()
    applied(optimizer_of(straight, name))
    broken = linear()
    first = optimizer_of(broken, name)
    applied(first, range(3))
    kernel, bias = first.slots()
    applied(optimizer_of(broken, name, slots=(kernel, bias)), range(3, 6))
    for one, other in zip(straight.get_weights(), broken.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)

    mixed = linear()
    applied(optimizer_of(mixed, name, slots=(kernel, None)), range(3, 6))
    fresh = linear()
    applied(optimizer_of(fresh, name), range(3, 6))
    np.testing.assert_array_equal(mixed.get_weights()[1], fresh.get_weights()[1])
    assert not np.array_equal(mixed.get_weights()[0], fresh.get_weights()[0])


def test_clipping():
    one, two = np.array([3.0, 4.0], np.float32), np.array([0.3, -12.0], np.float32)

    def clipped(**keys):
        return [
            value.numpy() for value in optimizers.clip([tf.constant(one), tf.constant(two)], OptimizerConfig(**keys))
        ]

    np.testing.assert_allclose(clipped(clipnorm=1.0), [one / 5, two / np.linalg.norm(two)], rtol=1e-6)
    np.testing.assert_allclose(clipped(clipvalue=0.5), [[0.5, 0.5], [0.3, -0.5]], rtol=1e-6)
    together = np.sqrt((one**2).sum() + (two**2).sum())
    np.testing.assert_allclose(clipped(global_clipnorm=1.0), [one / together, two / together], rtol=1e-6)
    np.testing.assert_allclose(clipped(clipnorm=100.0), [one, two], rtol=1e-6)


@pytest.mark.parametrize("parts", [2, 3, 7, 20])
def test_parts_of_a_batch_add_up_to_the_whole(parts):
    """Seven examples in parts that do not divide them; Adam would hide a wrong scale, plain SGD shows it."""
    results = []
    for number in (1, parts):
        model = linear()
        optimizer = optimizer_of(model, {"name": "sgd", "momentum": 0})
        optimizer.set_rate(1.0)
        totals = step_of(model, optimizer, parts=number)((tf.constant(X), tf.constant(LABELS)))
        results.append((totals, model.get_weights()))
    (whole, expected), (added, weights) = results
    assert (added.examples, added.correct) == (whole.examples, whole.correct)
    assert added.loss == pytest.approx(whole.loss, rel=1e-6)
    for one, other in zip(expected, weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_dropout_is_a_function_of_its_seed_and_its_calls():
    x = tf.ones((50, 4, 4, 6))
    layer = heads.SeededDropout(0.25, seed=5)
    np.testing.assert_array_equal(layer(x), x)
    first, second = layer(x, training=True).numpy(), layer(x, training=True).numpy()
    assert not np.array_equal(first, second)
    assert set(np.unique(first)) == {0.0, np.float32(1 / 0.75)}
    assert (first == 0).mean() == pytest.approx(0.25, abs=0.03)
    again = heads.SeededDropout(0.25, seed=5)
    again.build(x.shape)
    again.set_weights([np.int64(1)])
    np.testing.assert_array_equal(again(x, training=True), second)
    assert not np.array_equal(heads.SeededDropout(0.25, seed=6)(x, training=True), first)
    channels = heads.SeededDropout(0.25, seed=5, spatial=True)(x, training=True).numpy()
    assert all(len(np.unique(channels[n, :, :, c])) == 1 for n in range(50) for c in range(6))
    assert (channels[:, 0, 0] == 0).mean() == pytest.approx(0.25, abs=0.08)


def test_penalties_and_dropouts_of_the_head():
    feature_map = keras.Input((2, 2, 6))
    config = HeadConfig(units=[5], dropout=0.5, spatial_dropout=0.1, l1=0.01, l2=0.02)
    model = keras.Model(feature_map, heads.add_head(feature_map, MODALITIES["image"].pool, config, classes=3, seed=1))
    kernels = [variable.numpy() for variable in model.trainable_variables if "kernel" in variable.name]
    expected = [0.01 * np.abs(kernel).sum() + 0.02 * (kernel**2).sum() for kernel in kernels]
    np.testing.assert_allclose(sorted(float(loss) for loss in model.losses), sorted(expected), rtol=1e-5)
    assert [layer.name for layer in model.layers if "dropout" in layer.name] == [
        "head_spatial_dropout",
        "head_dropout_1",
    ]


def test_without_hidden_layers_dropout_stands_before_the_last_one():
    features = keras.Input((6,))
    model = keras.Model(
        features, heads.add_head(features, MODALITIES["image"].pool, HeadConfig(units=[], dropout=0.5), 3, seed=1)
    )
    kernel, offset = model.layers[-1].get_weights()
    x = np.ones((200, 6), np.float32)
    rows = {row.tobytes() for row in model(x, training=True).numpy()}
    assert 2 < len(rows) <= 2**6, "one for each choice of the six numbers that are dropped"
    kept = np.array([[0, 1, 1, 0, 0, 1]]) * 2.0
    powers = np.exp(kept @ kernel + offset)
    found = model(x, training=True).numpy()
    assert np.isclose(found, powers / powers.sum(), rtol=1e-4).all(axis=1).any()
    np.testing.assert_array_equal(model(x, training=False)[0], model(x, training=False)[1])


def test_a_phase_has_its_own_regularizers():
    phases = [
        PhaseConfig(name="as_the_head", epochs=1, learning_rate=1),
        PhaseConfig(name="own", epochs=1, learning_rate=1, regularizers={"dropout": 0.0, "l2": 0.5}),
    ]
    training = TrainingConfig(head=HeadConfig(units=[5], dropout=0.5, l1=0.01), phases=phases)
    feature_map = keras.Input((2, 2, 6))
    head = heads.with_all_regularizers(training)
    model = keras.Model(feature_map, heads.add_head(feature_map, MODALITIES["image"].pool, head, classes=3, seed=1))
    kernels = [variable.numpy() for variable in model.trainable_variables if "kernel" in variable.name]
    x = tf.ones((4, 2, 2, 6))
    for phase, l1, l2, drops in (
        (phases[0], 0.01, 0.0, True),
        (phases[1], 0.01, 0.5, False),
        (phases[0], 0.01, 0, True),
    ):
        heads.regularize(model, training.head, phase)
        expected = [l1 * np.abs(kernel).sum() + l2 * (kernel**2).sum() for kernel in kernels]
        np.testing.assert_allclose(sorted(float(loss) for loss in model.losses), sorted(expected), rtol=1e-5)
        assert np.array_equal(model(x, training=True), model(x, training=False)) != drops
