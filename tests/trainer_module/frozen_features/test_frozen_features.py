"""Training on frozen features is training: the same curves, from memory, from files, after a mishap."""

from __future__ import annotations

import importlib
import os

import numpy as np
import pytest
from small_training import INPUTS, LABELS, SMALL, fit, make_splits, setup_of, training, transformed, write

from finetune.config import AugmentationConfig, HeadConfig, PhaseConfig
from finetune.errors import RunError
from finetune.events import Note

tf = pytest.importorskip("tensorflow")
keras = importlib.import_module("tf_keras")
features = importlib.import_module("trainer_module.frozen_features.features")
cuts = importlib.import_module("trainer_module.frozen_features.cuts")
input_data = importlib.import_module("trainer_module.examples.input_data")
network = importlib.import_module("trainer_module.frozen_features.network")
plan = importlib.import_module("trainer_module.frozen_features.plan")

PLAIN = AugmentationConfig()
# The cut moves towards the input from phase to phase, and in the last there is nothing to cache.
PHASES = [
    PhaseConfig(name="head", epochs=2, learning_rate=1e-2),
    PhaseConfig(name="top", unfreeze={"last_layers": 5}, epochs=1, learning_rate=1e-3),
    PhaseConfig(name="more", unfreeze={"last_blocks": 2}, epochs=1, learning_rate=1e-3),
    PhaseConfig(name="all", unfreeze="all", epochs=1, learning_rate=1e-3),
]
CUTS = ["head_pool", "block3_relu_a", "block1_pool", None]


def config(mode="on", **changes):
    defaults = {"head": HeadConfig(units=[8], dropout=0.3, l2=0.01), "phases": PHASES}
    return training(**{"frozen_features": mode, **defaults, **changes})


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return make_splits(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def uncached(splits):
    return fit(splits, config("off"), PLAIN)


@pytest.fixture
def notes(heard):
    return lambda: [event.text for event in heard if isinstance(event, Note)]


def assert_same_curves(one, other, rtol):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for name in ("loss", "val_loss"):
            np.testing.assert_allclose(a[name], b[name], rtol=rtol, err_msg=f"{name} of {a['phase']} {a['epoch']}")


def test_cached_training_gives_the_curves_of_uncached_from_memory_and_from_files(splits, uncached, tmp_path, notes):
    for memory_mb, place in ((1, "memory"), (0, "disk")):
        _, _, rows, curves = fit(splits, config(memory_mb=memory_mb), PLAIN, folder=tmp_path)
        assert [row["frozen_features"]["cut"] for row in rows] == CUTS
        assert [row["cached_trunk"] for row in rows] == [True, True, True, False]
        assert [row["frozen_features"]["train"] for row in rows] == [place, place, place, "off"]
        assert_same_curves(uncached[3], curves, rtol=1e-4)
    passes = [text for text in notes() if "ran once" in text]
    assert len(passes) == 2, "one over train, one over val, and none in the second run"
    assert all("head_pool, block3_relu_a, block1_pool" in text for text in passes)


def test_what_trains_or_gathers_statistics_is_above_the_cut_whatever_the_order_of_phases(splits, tmp_path):
    phases = [PHASES[1].model_copy(update={"epochs": 1}), PHASES[0].model_copy(update={"epochs": 1, "name": "again"})]
    changes = {"batch_norm": "train", "gradient_accumulation_steps": 2, "phases": phases}
    runs = [fit(splits, training(frozen_features=mode, **changes), PLAIN, folder=tmp_path) for mode in ("off", "on")]
    assert [row["frozen_features"]["cut"] for row in runs[1][2]] == ["block3_relu_a", "head_pool"]
    assert_same_curves(runs[0][3], runs[1][3], rtol=1e-4)


def test_where_the_head_takes_several_blocks_all_is_kept_or_what_lies_below_the_lowest(splits, tmp_path):
    blocks = SMALL.model_copy(update={"pooled_blocks": 2})
    runs = [
        fit(splits, config(mode, phases=PHASES[:2]), PLAIN, folder=tmp_path, network=blocks) for mode in ("off", "on")
    ]
    assert [row["frozen_features"]["cut"] for row in runs[1][2]] == ["pooled_blocks", "block2_pool"]
    assert_same_curves(runs[0][3], runs[1][3], rtol=1e-4)


def test_half_precision_takes_half_the_room(splits, uncached, tmp_path):
    settings = {"phases": PHASES[:1], "frozen_features": {"cache": "on", "dtype": "float16"}}
    _, _, rows, curves = fit(splits, config(**settings), PLAIN, folder=tmp_path)
    assert rows[0]["frozen_features"]["bytes"] == (21 + 9) * 64 * 2
    assert_same_curves(uncached[3][:2], curves, rtol=1e-2)


def fed(splits, folder, phases=PHASES[:2], seed=1, **changes):
    """Fills what the first phase needs, and trains nothing."""
    setup = setup_of(splits, config(phases=phases, seed=seed, **changes), PLAIN, folder=folder)
    return setup.frozen_features.feeds(0, 0, 0)


def passes_over_train(notes):
    return [text for text in notes() if "ran once over 21 examples" in text]


def test_only_other_weights_below_the_cut_or_other_examples_need_another_pass(splits, tmp_path, notes):
    fed(splits, tmp_path)
    fed(splits, tmp_path, head=HeadConfig(units=[], dropout=0), batch_size=15)
    assert len(passes_over_train(notes)) == 1
    fed(splits, tmp_path, seed=2)  # draws other weights of the backbone, as it is not a pretrained one
    assert len(passes_over_train(notes)) == 2
    fed(splits[::-1], tmp_path)  # what the examples are used for does not matter
    assert len(passes_over_train(notes)) == 2


def held(feeds):
    """What a feed gives, in order."""
    return [np.concatenate(parts) for parts in zip(*feeds.val.batches.as_numpy_iterator(), strict=True)]


@pytest.mark.parametrize("memory_mb", [1, 0])
def test_new_examples_cost_themselves_and_change_no_bit(splits, tmp_path, notes, memory_mb):
    records = transformed(70, seed=5)

    def split(count: int):
        path = write(tmp_path / f"{count}.gz", records[70 - count :])
        return input_data.load_split([path], INPUTS, LABELS)

    for_val = [splits[0], split(61)]
    fed(for_val, tmp_path / "kept", memory_mb=memory_mb)
    for_val[1] = split(70)
    incremental = held(fed(for_val, tmp_path / "kept", memory_mb=memory_mb))
    assert "once over 9 examples" in notes()[-1]
    fresh = held(fed(for_val, tmp_path / "empty", memory_mb=memory_mb))
    assert len(incremental[0]) == 70
    for one, other in zip(incremental, fresh, strict=True):
        np.testing.assert_array_equal(one, other)


def test_rows_that_are_missing_or_damaged_are_computed_anew_to_the_same_bits(splits, tmp_path, notes):
    before = held(fed(splits, tmp_path))
    for path in tmp_path.glob("*/*.segment"):
        content = bytearray(path.read_bytes())
        content[60] ^= 1
        path.write_bytes(content)
    again = held(fed(splits, tmp_path))
    assert len([text for text in notes() if "gave for 1 examples" in text and "damaged" in text]) == 4
    assert len([text for text in notes() if "ran once over 1 examples" in text]) == 2, "one of each split"
    for one, other in zip(before, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_full_disk_trains_without_the_cache_and_says_so(splits, tmp_path, notes, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(RunError, match=r"frozen_features.cache: got on, but .* No space left .* Make room"):
        fed(splits, tmp_path, memory_mb=0)
    monkeypatch.setattr(features, "RATES", {"cpu": plan.Rates(1e5, 1e9, 1e9)})
    setup = setup_of(splits, config("auto", memory_mb=0), PLAIN, folder=tmp_path)
    for index in (0, 1):
        feed = setup.frozen_features.feeds(index, 0, 0)
        assert not feed.row["cached_trunk"]
        assert "No space left" in feed.row["frozen_features"]["reason"]
        assert feed.train.model is feed.val.model is setup.model
    assert len([text for text in notes() if "training goes on without it" in text]) == 1


def test_with_augmentation_validation_alone_is_cached(splits, tmp_path):
    strong = AugmentationConfig(horizontal_flip=True)
    runs = [fit(splits, config(mode, phases=PHASES[:1]), strong, folder=tmp_path) for mode in ("off", "on")]
    (row,) = runs[1][2]
    assert (row["cached_trunk"], row["frozen_features"]["val"]) == (False, "memory")
    assert "augmentation" in row["frozen_features"]["reason"]
    assert_same_curves(runs[0][3], runs[1][3], rtol=1e-4)


def test_a_fixed_number_of_views_is_cached_and_gives_the_same_curves(splits, tmp_path):
    strong = AugmentationConfig(horizontal_flip=True, brightness=0.3, views=2)
    phases = [PHASES[0].model_copy(update={"epochs": 3})]
    off, memory, disk = (
        fit(splits, config(mode, phases=phases, memory_mb=mb), strong, folder=tmp_path)
        for mode, mb in (("off", 1), ("on", 1), ("on", 0))
    )
    for (row,), place in ((memory[2], "memory"), (disk[2], "disk")):
        assert (row["cached_trunk"], row["frozen_features"]["views"], row["frozen_features"]["train"]) == (
            True,
            2,
            place,
        )
        assert row["frozen_features"]["bytes"] == (2 * 21 + 9) * 64 * 4
    assert_same_curves(off[3], memory[3], rtol=1e-4)
    assert_same_curves(off[3], disk[3], rtol=1e-4)


def test_epochs_use_the_views_of_each_picture_in_turn(splits):
    config = AugmentationConfig(brightness=0.3, views=2)
    batches = iter(input_data.training_batches(splits[0], 21, 1, config))
    epochs = [{row.tobytes() for row in next(batches)[0].numpy()} for _ in range(4)]
    assert epochs[0] == epochs[2]
    assert epochs[1] == epochs[3]
    assert not epochs[0] & epochs[1]
    again = iter(input_data.training_batches(splits[0], 21, 1, config, first_epoch=1))
    assert {row.tobytes() for row in next(again)[0].numpy()} == epochs[1]


def branching(size):
    """A backbone with a residual, a concatenation, a layer that is called twice, and names like those outside."""
    x = image = keras.Input((size, size, 3), name="pixels")
    x = keras.layers.Conv2D(4, 3, padding="same", name="stem")(x)
    twice = keras.layers.Conv2D(4, 3, padding="same", name="twice")
    x = keras.layers.Add(name="residual")([x, twice(twice(x))])
    left, right = keras.layers.Conv2D(4, 1, name="left")(x), keras.layers.Conv2D(4, 3, padding="same", name="right")(x)
    x = keras.layers.Concatenate(name="concat")([left, right])
    return keras.Model(image, keras.layers.Conv2D(8, 1, name="probabilities")(x) * 2.0)


@pytest.mark.parametrize(
    ("trained", "expected"),
    [
        (set(), "pool"),
        ({"probabilities"}, "concat"),
        ({"left"}, "residual"),
        ({"right"}, "residual"),
        ({"twice"}, "stem"),
        ({"stem"}, None),
    ],
)
def test_frozen_part_and_tail_together_are_the_whole(trained, expected):
    keras.backend.clear_session()
    backbone = branching(8)
    pixels = keras.Input((8, 8, 3), name="pixels")
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(backbone(pixels / 255.0, training=False))
    model = keras.Model(pixels, keras.layers.Dense(2, "softmax", name="probabilities")(pooled))
    graph = network.Network(model, backbone)
    found = cuts.deepest_cut(graph.nodes, graph.nodes[-1].name, cuts.constancy(trained, graph.graph.in_inference_mode))
    assert (found and found.layer) == expected
    if found:
        inputs = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype(np.float32)
        (kept,) = tf.nest.flatten(graph.frozen_part([found])(inputs))
        np.testing.assert_allclose(graph.tail(found)(kept), model(inputs), rtol=1e-5)
