"""LoRA in Keras networks: what it computes, what it trains, what is left when it is merged."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from hugging_face_folder import save_encoder
from saved_models import save_for_hub, vector_network
from small_training import SMALL, fit, make_splits, setup_of, training

from finetune.artifacts.training_history import BackboneOrigin
from finetune.config import AugmentationConfig, BackboneConfig, PeftConfig, PhaseConfig
from finetune.errors import BackboneError
from trainer_module.backbones.model import build_backbone, in_float32
from trainer_module.peft.adapters import attach, kernels_of, merge, plain_weights, weights_of
from trainer_module.peft.adapting import Adapting
from trainer_module.peft.artifact import Adapter, AdapterFacts, digest_of
from trainer_module.phases.checkpoint import Checkpoints
from trainer_module.phases.freezing import variable_name
from trainer_module.phases.run import run_phases

pytestmark = pytest.mark.by_test

TUNE = [
    PhaseConfig(name="head", epochs=1, learning_rate=1e-2),
    PhaseConfig(name="tune", unfreeze="all", epochs=2, learning_rate=1e-2),
]
ALL = ["dense", "pointwise", "conv", "depthwise", "attention"]


def every_kind() -> keras.Model:
    """A backbone with each kind of kernel."""
    keras.utils.set_random_seed(1)
    pixels = keras.Input((6, 6, 3))
    value = keras.layers.Conv2D(8, 3, activation="relu", name="conv")(pixels)
    value = keras.layers.DepthwiseConv2D(3, padding="same", name="depthwise")(value)
    value = keras.layers.Conv2D(12, 1, name="pointwise")(value)
    value = keras.layers.SeparableConv2D(12, 3, padding="same", name="separable")(value)
    words = keras.layers.Reshape((16, 12))(value)
    words = keras.layers.MultiHeadAttention(2, 5, name="attention")(words, words)
    words = keras.layers.EinsumDense("abc,cd->abd", (16, 10), name="einsum")(words)
    return keras.Model(pixels, keras.layers.Dense(7, activation="tanh", name="dense")(words))


def perturb(backbone) -> None:
    """Gives all factors values, as training would."""
    random = np.random.default_rng(2)
    for variable in backbone.variables:
        if variable_name(variable).endswith("_lora_b"):
            variable.assign(random.normal(0, 0.3, variable.shape))


def test_each_kind_of_kernel_is_found_and_read_as_what_is_summed_and_what_is_given():
    found = {kernel.name: (kernel.kind, kernel.matrix) for kernel in kernels_of(every_kind())}
    assert found == {
        "conv/kernel": ("conv", (27, 8)),
        "depthwise/depthwise_kernel": ("depthwise", (9, 8)),
        "pointwise/kernel": ("pointwise", (8, 12)),
        "separable/depthwise_kernel": ("depthwise", (9, 12)),
        "separable/pointwise_kernel": ("pointwise", (12, 12)),
        "attention/query/kernel": ("attention", (12, 10)),
        "attention/key/kernel": ("attention", (12, 10)),
        "attention/value/kernel": ("attention", (12, 10)),
        "attention/attention_output/kernel": ("attention", (10, 12)),
        "einsum/kernel": ("dense", (12, 10)),
        "dense/kernel": ("dense", (10, 7)),
    }


def test_projections_around_attention_count_as_attention(tmp_path):
    config = BackboneConfig(name="BERT", weights=save_encoder(tmp_path / "bert"), text={"max_pieces": 8})
    network = build_backbone(config)
    of_block = {kernel.layer: kernel.kind for kernel in kernels_of(network) if kernel.layer.startswith("block1_")}
    projections = ("query", "key", "value", "attention_output")
    expected = {f"block1_{part}": "attention" for part in projections} | {
        f"block1_{part}": "dense" for part in ("intermediate", "output")
    }
    assert of_block == expected


def test_merged_and_unmerged_predictions_are_equal_and_the_base_never_moves():
    pixels = np.random.default_rng(0).normal(size=(4, 6, 6, 3)).astype(np.float32)
    plain = every_kind()
    before = plain(pixels).numpy()
    attach(plain, PeftConfig(rank=3, targets=ALL), seed=1)
    assert len(plain.variables) == len(every_kind().variables) + 2 * len(kernels_of(plain))
    np.testing.assert_array_equal(plain(pixels).numpy(), before)
    base = {name: value for name, value in weights_of(plain).items() if "_lora_" not in name}

    perturb(plain)
    call = tf.function(plain.call, autograph=False)
    unmerged = call(tf.constant(pixels)).numpy()
    assert np.abs(unmerged - before).max() > 0.01
    now = weights_of(plain)
    assert all(now[name].tobytes() == value.tobytes() for name, value in base.items())
    as_plain = [value for layer in plain.layers for value in plain_weights(layer)]
    merge(plain)
    np.testing.assert_allclose(plain(pixels).numpy(), unmerged, rtol=0, atol=1e-5)
    np.testing.assert_allclose(call(tf.constant(pixels)).numpy(), unmerged, rtol=0, atol=1e-5)
    assert [value.tobytes() for value in plain.get_weights()] == [value.tobytes() for value in as_plain]
    assert [type(layer) for layer in plain.layers] == [type(layer) for layer in every_kind().layers]
    assert set(weights_of(plain)) == set(base)


def test_within_the_graph_of_a_saved_model_updates_get_the_same_gradients_and_the_base_stays(tmp_path):
    keras.utils.set_random_seed(3)
    network = vector_network(12)
    handle = str(save_for_hub(network, tmp_path / "hub"))
    loaded = build_backbone(BackboneConfig(handle=handle, image_size=12))
    peft, pixels = (
        PeftConfig(rank=2, targets="conv/kernel"),
        np.random.default_rng(0).random((4, 12, 12, 3), np.float32),
    )
    found = []
    for each in (network, loaded):
        base = weights_of(each)
        attach(each, peft, seed=1)
        perturb(each)
        factors = [variable for variable in each.variables if "_lora_" in variable.name]

        @tf.function(autograph=False)
        def step(value, each=each, factors=factors):
            with tf.GradientTape() as tape:
                output = each(value, training=False)
                loss = tf.reduce_sum(output**2)
            return output, tape.gradient(loss, factors)

        output, gradients = step(tf.constant(pixels))
        now = weights_of(each)
        assert all(now[name].tobytes() == value.tobytes() for name, value in base.items())
        merge(each)
        np.testing.assert_allclose(each(pixels).numpy(), output, rtol=0, atol=1e-5)
        found.append((output, dict(zip((variable_name(factor) for factor in factors), gradients, strict=True))))
    (ours, wanted), (theirs, got) = found
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)
    assert set(got) == set(wanted) == {f"block_{n}_conv/kernel_lora_{f}" for n in (1, 2) for f in "ab"}
    for name, gradient in wanted.items():
        assert np.abs(gradient).max() > 1e-3
        np.testing.assert_allclose(got[name], gradient, rtol=1e-4, atol=1e-5, err_msg=name)


def test_the_forward_is_that_of_numpy():
    """A dense layer and a convolution with updates, against sums written out."""
    pixels = keras.Input((4, 4, 2))
    features = keras.layers.Conv2D(3, 2, name="conv")(pixels)
    network = keras.Model(pixels, keras.layers.Dense(5, name="dense")(features))
    attach(network, PeftConfig(rank=2, alpha=3, targets=ALL), seed=1)
    perturb(network)
    weight = weights_of(network)
    values = np.random.default_rng(0).normal(size=(2, 4, 4, 2)).astype(np.float32)

    def down_and_up(value, layer):
        """What LoRA adds, computed as two small layers one after the other: (x a) b alpha / rank."""
        return (value @ weight[f"{layer}/kernel_lora_a"]) @ weight[f"{layer}/kernel_lora_b"] * (3 / 2)

    found = np.zeros((2, 3, 3, 3), np.float32)
    for y, x in np.ndindex(3, 3):
        patch = values[:, y : y + 2, x : x + 2].reshape(2, -1)
        found[:, y, x] = patch @ weight["conv/kernel"].reshape(-1, 3) + down_and_up(patch, "conv")
    found = found @ weight["dense/kernel"] + down_and_up(found, "dense")
    np.testing.assert_allclose(network(values).numpy(), found, rtol=0, atol=1e-5)


def test_phases_that_unfreeze_train_the_updates_and_nothing_else_of_the_backbone(tmp_path):
    moved = []

    def after(index, backbone, before):
        now = weights_of(backbone)
        was = {
            variable_name(variable): value
            for layer in backbone.layers
            for variable, value in zip(layer.weights, before[layer.name], strict=True)
        }
        moved.append({name for name in now if now[name].tobytes() != was[name].tobytes()})

    config = training(phases=TUNE, peft={"rank": 2, "targets": ["conv", "dense"]})
    _, backbone, rows, _ = fit(make_splits(tmp_path), config, after_phase=after)
    factors = {name for name in weights_of(backbone) if "_lora_" in name}
    assert moved == [set(), factors]
    assert rows[1]["trainable_parameters"] == rows[0]["trainable_parameters"] + sum(
        kernel.size(2) for kernel in kernels_of(backbone)
    )


@pytest.mark.parametrize(("method", "ends"), [("bitfit", ("beta", "bias")), ("norm", ("beta", "gamma"))])
def test_bitfit_and_norm_train_what_their_names_say(tmp_path, method, ends):
    config = training(phases=TUNE[1:], peft=method)
    setup = setup_of(make_splits(tmp_path), config)
    before = weights_of(setup.backbone)
    run_phases(setup, Checkpoints(str(tmp_path / "checkpoints"), "key", config.checkpoint, "Trainer"))
    now = weights_of(setup.backbone)
    moved = {name for name in now if now[name].tobytes() != before[name].tobytes()}
    assert moved == {name for name in now if name.rpartition("/")[2] in ends}


def test_the_backbone_may_compute_in_half_precision_and_what_is_left_is_float32(tmp_path):
    config = training(phases=TUNE[1:], peft={"rank": 2, "targets": ["conv"]}, mixed_precision="bfloat16")
    setup = setup_of(make_splits(tmp_path), config)
    adapting = Adapting(setup.backbone, config.peft, BackboneOrigin(name="SmallCNN"))
    run_phases(setup, Checkpoints(str(tmp_path / "checkpoints"), "key", config.checkpoint, "Trainer"))
    pixels = tf.constant(np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3)), tf.float32)
    half = setup.model(pixels, training=False).numpy()
    adapting.leave(str(tmp_path))
    assert any(value.any() for name, value in Adapter.read(tmp_path).arrays.items() if name.endswith("_lora_b"))
    whole = in_float32(setup.model, SMALL, config, classes=2)
    assert {layer.compute_dtype for layer in whole.get_layer("SmallCNN").layers} == {"float32"}
    np.testing.assert_allclose(whole(pixels).numpy(), half, atol=0.05)


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path):
    splits = make_splits(tmp_path)
    config = training(phases=TUNE, peft={"rank": 2, "targets": ["conv"]}, frozen_features={"cache": "on"})

    def trained(name: str, kill_after: int | None = None):
        setup = setup_of(splits, config, AugmentationConfig(), folder=tmp_path / "frozen")
        saved = 0

        class Killed(Exception):
            pass

        class Dying(Checkpoints):
            def save(self, state):
                nonlocal saved
                super().save(state)
                saved += 1
                if saved == kill_after:
                    raise Killed

        checkpoints = Dying(str(tmp_path / name), "key", config.checkpoint, "Trainer")
        try:
            run_phases(setup, checkpoints)
        except Killed:
            return None
        return setup.model.get_weights()

    whole = trained("whole")
    assert trained("killed", kill_after=4) is None
    again = trained("killed")
    assert [value.tobytes() for value in again] == [value.tobytes() for value in whole]


def test_below_the_first_update_the_frozen_features_are_read_and_shared_with_trainings_without(tmp_path):
    splits = make_splits(tmp_path)
    last = "^block3_conv_b/"
    peft = {"rank": 2, "targets": last}
    config = training(phases=TUNE, peft=peft, frozen_features={"cache": "on"})
    setup = setup_of(splits, config, AugmentationConfig())
    cuts = [cut.layer for cut in setup.frozen_features.planner.cuts]
    names = [layer.name for layer in setup.backbone.layers]
    assert names.index(cuts[1]) == names.index("block3_conv_b") - 1
    head_alone = setup.frozen_features.planner.cuts[0]
    digest = setup.frozen_features._network.digest(head_alone)
    plain = setup_of(splits, training(phases=TUNE), AugmentationConfig())
    assert plain.frozen_features._network.digest(plain.frozen_features.planner.cuts[0]) == digest
    perturb(setup.backbone)
    assert setup.frozen_features._network.digest(head_alone) != digest


def test_an_adapter_goes_on_its_backbone_and_on_no_other(tmp_path):
    backbone = every_kind()
    base, origin = weights_of(backbone), BackboneOrigin(name="every_kind")
    peft = PeftConfig(rank=2, targets=ALL)
    attach(backbone, peft, seed=1)
    perturb(backbone)
    facts = AdapterFacts(peft=peft, backbone=origin, digest=digest_of(weights_of(backbone)))
    Adapter.of(facts, weights_of(backbone)).write(tmp_path)
    merge(backbone)

    adapter = Adapter.read(tmp_path)
    assert all("_lora_" in name for name in adapter.arrays)
    changed = adapter.put_on(base, origin)
    for name, value in weights_of(backbone).items():
        np.testing.assert_array_equal(changed.get(name, base[name]), value, err_msg=name)
    other = {**base, "dense/bias": base["dense/bias"] + 1}
    with pytest.raises(BackboneError, match="the adapter was trained on every_kind with random weights"):
        adapter.put_on(other, origin)


def test_two_variables_of_one_name_are_refused():
    pixels = keras.Input((3,))
    layers = [keras.layers.Dense(3, name=name) for name in ("one", "two")]
    network = keras.Model(pixels, layers[1](layers[0](pixels)))
    layers[1].kernel._handle_name = layers[0].kernel.name
    with pytest.raises(BackboneError, match="two variables that are called 'one/kernel'"):
        weights_of(network)
