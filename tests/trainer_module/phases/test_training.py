"""Training on a handful of pictures: what is frozen stays, what is seeded repeats, what is exported agrees."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from small_training import INPUTS, LABELS, SIZE, STRONG, fit, make_splits, training, transformed, write

from finetune.config import AugmentationConfig, HeadConfig, OptimizerConfig, PhaseConfig, TrainingConfig
from finetune.errors import DataError, RunError
from trainer_module.tasks import TASKS

tf = pytest.importorskip("tensorflow")
keras = importlib.import_module("tf_keras")
backbone_model = importlib.import_module("trainer_module.backbones.model")
augmentation = importlib.import_module("trainer_module.examples.augmentation")
input_data = importlib.import_module("trainer_module.examples.input_data")
loop = importlib.import_module("trainer_module.phases.loop")
optimizers = importlib.import_module("trainer_module.phases.optimizers")
phases = importlib.import_module("trainer_module.phases.run")
recipe = importlib.import_module("trainer_module.recipe")
state = importlib.import_module("trainer_module.phases.state")
strategy = importlib.import_module("trainer_module.phases.distribution")


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return make_splits(tmp_path_factory.mktemp("examples"))


MOVES = {"frozen": set(), "train_affine_only": {"gamma", "beta"}, "train": {"gamma", "beta", "moving_mean"}}


@pytest.mark.parametrize("policy", MOVES)
def test_frozen_variables_are_bit_identical_after_each_phase_and_the_others_move(splits, policy):
    def check(index, backbone, before):
        for position, layer in enumerate(backbone.layers):
            unfrozen = index == 1 and position >= len(backbone.layers) - 5
            for old, new, variable in zip(before[layer.name], layer.get_weights(), layer.variables, strict=True):
                kind = variable.name.split("/")[-1].split(":")[0]
                moves = unfrozen and ("bn" not in layer.name or kind in MOVES[policy])
                if kind != "moving_variance" or policy != "train" or not unfrozen:
                    assert np.array_equal(old, new) != moves, f"{variable.name} in phase {index}"

    # Validated on what it learns, so that each phase gains and keeps the weights that it moved.
    fit([splits[0], splits[0]], training(batch_norm=policy), augmentation=AugmentationConfig(), after_phase=check)


def test_a_pattern_trains_the_variables_that_match_and_no_others(splits):
    moved = []

    def check(index, backbone, before):
        for layer in backbone.layers:
            for old, new, variable in zip(before[layer.name], layer.get_weights(), layer.variables, strict=True):
                if not np.array_equal(old, new):
                    moved.append(variable.name)

    phase = PhaseConfig(
        name="p", steps=4, learning_rate=0.01, unfreeze={"variables": "block2_(conv_a/kernel|bn_b/beta)"}
    )
    config = training(phases=[phase], batch_norm="train_affine_only")
    _, _, (row,), curves = fit(splits, config, after_phase=check)
    assert moved == ["block2_conv_a/kernel:0", "block2_bn_b/beta:0"]
    assert (row["epochs"], [point["epoch"] for point in curves]) == (2, [1, 2])


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(splits):
    first, *_, curves = fit(splits, training())
    again, *_, curves_again = fit(splits, training())
    other, *_ = fit(splits, training(seed=0))
    assert curves == curves_again
    for one, two in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(not np.array_equal(a, b) for a, b in zip(first.get_weights(), other.get_weights(), strict=True))


def test_rows_and_curves_say_what_happened(splits):
    _, backbone, rows, curves = fit(splits, training())
    assert [(row["name"], row["epochs"]) for row in rows] == [("head", 2), ("tune", 2)]
    head = 64 * 16 + 16 + 16 * 2 + 2
    assert rows[0]["trainable_parameters"] == head
    assert rows[0]["total_parameters"] == head + backbone.count_params()
    assert rows[1]["trainable_parameters"] > head
    assert [(point["phase"], point["epoch"]) for point in curves] == [
        ("head", 1),
        ("head", 2),
        ("tune", 1),
        ("tune", 2),
    ]
    for row in rows:
        points = [point for point in curves if point["phase"] == row["name"]]
        assert row["val_loss"] == min(point["val_loss"] for point in points)


def test_the_best_epoch_is_what_a_phase_leaves_behind(splits):
    phase = PhaseConfig(name="wild", epochs=6, learning_rate=0.5, unfreeze="all", early_stopping=None)
    model, _, (row,), _ = fit(splits, training(phases=[phase]))
    assert row["best_epoch"] < 6, "a rate this wild was meant to spoil the last epochs"
    batches = input_data.evaluation_batches(splits[1], 4)
    objective = TASKS["single_label"].objective(TrainingConfig(), ["dark", "bright"], None)
    step = loop.eval_step(model, objective, tf.distribute.get_strategy(), batches.element_spec)
    means = loop.evaluate(step, batches).means("val_")
    assert means["val_loss"] == pytest.approx(row["val_loss"], rel=1e-5)


def test_a_loss_that_is_no_number_stops_with_the_rate(splits):
    phase = PhaseConfig(name="wild", epochs=3, learning_rate=10, unfreeze="all")
    model_training = training(phases=[phase], head=HeadConfig(units=[], dropout=0, l2=1e38))
    with pytest.raises(RunError, match=r"phase wild, epoch 1: .*loss.* learning rate 10"):
        fit(splits, model_training)


def test_loss_and_gradient_equal_an_independent_computation():
    """One step of plain SGD on a linear softmax model, with an L2 penalty, against NumPy."""
    random = np.random.default_rng(3)
    x, labels = random.normal(size=(5, 3)).astype(np.float32), np.array([0, 1, 1, 0, 1])
    kernel = random.normal(size=(3, 2)).astype(np.float32)
    inputs = keras.Input((3,))
    layer = keras.layers.Dense(2, "softmax", use_bias=False, kernel_regularizer=keras.regularizers.L2(0.1))
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([kernel])
    spec = (tf.TensorSpec([None, 3]), tf.TensorSpec([None], tf.int64))
    optimizer = optimizers.PhaseOptimizer(OptimizerConfig(name="sgd", momentum=0), layer.variables, [1.0], [None])
    optimizer.set_rate(0.5)
    objective = TASKS["single_label"].objective(TrainingConfig(), ["dark", "bright"], None)
    step = loop.train_step(model, layer.variables, optimizer, objective, 1, tf.distribute.get_strategy(), spec)
    totals = step((tf.constant(x), tf.constant(labels)))

    logits = x @ kernel
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(probabilities[np.arange(5), labels]) + 0.1 * (kernel**2).sum()
    gradient = x.T @ (probabilities - np.eye(2)[labels]) / 5 + 0.2 * kernel
    assert totals.loss == pytest.approx(expected.sum(), rel=1e-5)
    assert totals.correct == (probabilities.argmax(axis=1) == labels).sum()
    np.testing.assert_allclose(layer.get_weights()[0], kernel - 0.5 * gradient, rtol=1e-5, atol=1e-6)


def test_epochs_hold_every_example_once_in_an_order_of_their_own(splits):
    train = splits[0]
    plain = AugmentationConfig()

    def epochs(seed, first_epoch=0, count=3):
        batches = iter(input_data.training_batches(train, 8, seed, plain, first_epoch))
        return [
            [tuple(row) for _ in range(train.steps(8)) for row in next(batches)[0].numpy().reshape(-1, SIZE * SIZE * 3)]
            for _ in range(count)
        ]

    one, two, three = epochs(1)
    assert len(one) == 21
    assert sorted(one) == sorted(two)
    assert one != two
    assert epochs(1)[1] == two
    assert epochs(1, first_epoch=2, count=1)[0] == three
    assert epochs(2)[0] != one


def test_the_order_of_records_on_disk_does_not_matter(tmp_path):
    records = transformed(12)
    one = input_data.load_split([write(tmp_path / "a.gz", records)], INPUTS, LABELS)
    two = input_data.load_split([write(tmp_path / "b.gz", records[::-1])], INPUTS, LABELS)
    assert list(one.records.as_numpy_iterator()) == list(two.records.as_numpy_iterator())
    assert one.keys == [f"{number:04}" for number in range(12)]


def test_a_split_over_the_memory_budget_is_streamed_with_the_same_elements(tmp_path):
    path = write(tmp_path / "a.gz", transformed(12))
    held = input_data.load_split([path], INPUTS, LABELS)
    streamed = input_data.load_split([path], INPUTS, LABELS, memory_bytes=500)
    assert streamed.examples == held.examples == 12
    assert list(streamed.records.as_numpy_iterator()) == list(held.records.as_numpy_iterator())


def test_one_cpu_reads_batches_itself_and_no_pipeline_is_tuned_by_a_thread(splits):
    batches = input_data.evaluation_batches(splits[1], 4)
    assert strategy.distributed(batches, tf.distribute.OneDeviceStrategy("/cpu:0")) is batches
    endless = input_data.training_batches(splits[0], 4, 0, AugmentationConfig())
    assert [dataset.options().autotune.enabled for dataset in (batches, endless, endless.repeat())] == [False] * 3


def test_an_empty_split_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no examples in"):
        input_data.load_split([write(tmp_path / "a.gz", [])], INPUTS, LABELS)


def test_augmentation_repeats_for_a_seed_and_stays_in_range():
    pixels = tf.constant(np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8))
    seed = tf.constant([1, 2], tf.int64)
    one = augmentation.augment(pixels, seed, STRONG).numpy()
    np.testing.assert_array_equal(one, augmentation.augment(pixels, seed, STRONG).numpy())
    assert not np.array_equal(one, augmentation.augment(pixels, tf.constant([1, 3], tf.int64), STRONG).numpy())
    assert one.shape == (SIZE, SIZE, 3)
    assert one.min() >= 0
    assert one.max() <= 255


def test_each_augmentation_alone_does_what_its_name_says():
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    pixels = np.stack([x * 20, y * 20, x * 0 + 60], axis=-1).astype(np.uint8)
    seeds = [tf.constant([7, n], tf.int64) for n in range(20)]

    def results(**strength):
        config = AugmentationConfig(**strength)
        return [augmentation.augment(tf.constant(pixels), seed, config).numpy() for seed in seeds]

    assert not AugmentationConfig(views=3).is_active
    assert AugmentationConfig(zoom=0.1).is_active
    for flipped in results(horizontal_flip=True):
        assert np.array_equal(flipped, pixels) or np.array_equal(flipped, pixels[:, ::-1])
    brightness = np.array([image[..., 2].mean() - 60 for image in results(brightness=0.1)])
    assert np.abs(brightness).max() <= 25.5 + 1e-3
    assert np.ptp(brightness) > 10
    for contrasted in results(contrast=0.2):
        spread = np.ptp(contrasted[..., 0]) / np.ptp(pixels[..., 0])
        assert 0.8 - 1e-3 <= spread <= 1.2 + 1e-3
    for moved in results(shift=0.25):
        differences = np.diff(moved[2:-2, 2:-2, 0], axis=1)
        assert np.abs(differences).max() <= 20 + 1e-3
    zoomed = results(zoom=0.5)
    steps = [np.median(np.diff(image[SIZE // 2, 2:-2, 0])) for image in zoomed]
    assert 10 - 1e-2 <= min(steps) < 20 < max(steps) <= 30 + 1e-2
