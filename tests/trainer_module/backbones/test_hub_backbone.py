"""SavedModels of TF Hub as backbones: read, held against the config, frozen, trained."""

from __future__ import annotations

import hashlib
import subprocess

import numpy as np
import pytest

from finetune.errors import BackboneError

tf = pytest.importorskip("tensorflow")

from saved_models import save_for_hub, vector_network  # noqa: E402
from small_training import SIZE, make_splits, setup_of  # noqa: E402

from finetune.config import (  # noqa: E402
    AugmentationConfig,
    BackboneConfig,
    HeadConfig,
    PhaseConfig,
    TrainingConfig,
)
from trainer_module.backbones.model import build_backbone  # noqa: E402
from trainer_module.backbones.saved_model import Tensor, read_saved_model  # noqa: E402
from trainer_module.backbones.sources.handle import resolve_handle  # noqa: E402
from trainer_module.phases import run as phases  # noqa: E402
from trainer_module.phases.state import State  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A feature vector for pictures of SIZE pixels, with BatchNorm and a penalty."""
    return save_for_hub(vector_network(SIZE), tmp_path_factory.mktemp("hub") / "vector", penalty=0.5)


def handle(folder, **keys) -> BackboneConfig:
    return BackboneConfig(**{"handle": str(folder), "image_size": SIZE, **keys})


def test_a_saved_model_is_read_without_being_loaded(folder):
    found = read_saved_model(folder)
    assert found.call.inputs == (Tensor("inputs", "float32", (None, SIZE, SIZE, 3)),)
    assert found.call.outputs == (Tensor("", "float32", (None, 6)),)
    assert found.call.takes_training
    assert list(found.signatures) == ["serving_default"]
    assert {variable.name: variable.trainable for variable in found.variables} == {
        "block_1_conv/kernel": True,
        "block_1_bn/gamma": True,
        "block_1_bn/beta": True,
        "block_2_conv/kernel": True,
        "block_2_conv/bias": True,
        "block_1_bn/moving_mean": False,
        "block_1_bn/moving_variance": False,
    }
    assert found.trainable_parameters == 3 * 3 * 3 * 6 + 2 * 6 + 3 * 3 * 6 * 6 + 6
    assert found.parameters == found.trainable_parameters + 2 * 6
    assert found.regularization_losses == 1
    assert found.assets == found.unsafe_ops == ()
    assert found.size == sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_the_digest_of_a_folder_is_what_standard_tools_say(folder):
    command = "find . -type f | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum"
    said = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=True).stdout
    backbone = build_backbone(handle(folder, sha256=said.split()[0]))
    assert backbone.weights_sha256 == said.split()[0]
    assert backbone.output_shape == (None, 6)
    with pytest.raises(BackboneError, match=r"backbone\.sha256: got 0000"):
        build_backbone(handle(folder, sha256="0" * 64))


def test_a_mismatch_with_the_config_says_both_sides(folder):
    with pytest.raises(BackboneError) as caught:
        build_backbone(handle(folder, image_size=32, output="vector"))
    assert str(caught.value).splitlines() == [
        "backbone.image_size: got 32, a batch of float32 [any, 32, 32, 3]; the model takes inputs float32 "
        "[any, 8, 8, 3]",
        "backbone.output: got 'vector'; the model gives float32 [any, 6]",
    ]


def test_what_takes_no_pictures_or_gives_no_features_is_an_error(tmp_path):
    class Text(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, texts):
            return {"length": tf.strings.length(texts), "first": tf.strings.substr(texts, 0, 1)}

    tf.saved_model.save(Text(), str(tmp_path / "text"))
    with pytest.raises(BackboneError) as caught:
        build_backbone(handle(tmp_path / "text"))
    assert str(caught.value).splitlines() == [
        "backbone.handle: the model takes texts string [any]; pictures are float32",
        "backbone.output: missing; the model gives first string [any], length int32 [any]",
    ]
    with pytest.raises(BackboneError, match=r"the model gives length int32 \[any\]; the head takes"):
        build_backbone(handle(tmp_path / "text", output="length"))


def test_what_is_no_saved_model_is_an_error(tmp_path, folder):
    with pytest.raises(BackboneError, match="found: no such folder"):
        read_saved_model(tmp_path / "absent")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "saved_model.pb").write_bytes((folder / "saved_model.pb").read_bytes()[:1000])
    with pytest.raises(BackboneError, match="DecodeError"):
        read_saved_model(tmp_path / "torn")
    (tmp_path / "old").mkdir()
    for name in ("saved_model.pb", "tfhub_module.pb"):
        (tmp_path / "old" / name).write_bytes((folder / "saved_model.pb").read_bytes())
    with pytest.raises(BackboneError, match="in the format of TensorFlow 1"):
        read_saved_model(tmp_path / "old")


def test_operations_that_reach_outside_need_permission(tmp_path):
    class Reader(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)])
        def __call__(self, pixels):
            with tf.control_dependencies([tf.io.read_file("/etc/hostname")]):
                return tf.reduce_mean(pixels, axis=[1, 2])

    tf.saved_model.save(Reader(), str(tmp_path / "reader"))
    with pytest.raises(BackboneError, match=r"ReadFile\. If you trust it, set backbone\.allow_unsafe: true"):
        build_backbone(handle(tmp_path / "reader"))
    assert build_backbone(handle(tmp_path / "reader", allow_unsafe=True)).output_shape == (None, 3)


def test_without_a_network_the_error_names_the_cache_and_the_offline_way(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    # A port on which nothing listens.
    url = "http://127.0.0.1:9/model/1"
    with pytest.raises(BackboneError) as caught:
        resolve_handle(url)
    assert url in str(caught.value)
    assert f"TFHUB_CACHE_DIR is {tmp_path}" in str(caught.value)
    assert "give its folder as backbone.handle" in str(caught.value)


def test_a_url_that_the_cache_holds_needs_no_network(monkeypatch, tmp_path, folder):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    url = "http://127.0.0.1:9/model/1"
    (tmp_path / hashlib.sha1(url.encode()).hexdigest()).symlink_to(folder)
    assert build_backbone(handle(url)).output_shape == (None, 6)


def run(splits, folder, batch_norm="frozen", peft=None, **unfreeze):
    """Trains one phase on the backbone in a folder; returns the names of its variables that moved."""
    phase = PhaseConfig(name="tune", epochs=1, learning_rate=1e-2, **unfreeze)
    head = HeadConfig(units=[], dropout=0)
    config = TrainingConfig(batch_size=8, batch_norm=batch_norm, head=head, phases=[phase], peft=peft)
    setup = setup_of(splits, config, AugmentationConfig(), network=handle(folder))
    before = {variable.name: variable.numpy() for variable in setup.backbone.variables}
    phases.run_phase(setup, State(), keep=lambda state: None)
    after = {variable.name: variable.numpy() for variable in setup.backbone.variables}
    return {name.split(":")[0] for name in before if not np.array_equal(before[name], after[name])}


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return make_splits(tmp_path_factory.mktemp("splits"))


KERNELS = {"block_1_conv/kernel", "block_2_conv/kernel", "block_2_conv/bias"}
AFFINE = {"block_1_bn/gamma", "block_1_bn/beta"}
STATISTICS = {"block_1_bn/moving_mean", "block_1_bn/moving_variance"}


@pytest.mark.parametrize(
    ("unfreeze", "batch_norm", "moves"),
    [
        ("none", "train", set()),
        ("all", "frozen", KERNELS),
        ("all", "train_affine_only", KERNELS | AFFINE),
        ("all", "train", KERNELS | AFFINE | STATISTICS),
        ({"variables": "block_2"}, "frozen", {"block_2_conv/kernel", "block_2_conv/bias"}),
    ],
)
def test_what_trains_moves_and_nothing_else(splits, folder, unfreeze, batch_norm, moves):
    assert run(splits, folder, batch_norm, unfreeze=unfreeze) == moves


@pytest.mark.parametrize(
    ("peft", "batch_norm", "moves"),
    [
        ({"rank": 2, "targets": "block_2_conv/"}, "frozen", {f"block_2_conv/kernel_lora_{name}" for name in "ab"}),
        ("bitfit", "train_affine_only", {"block_2_conv/bias", "block_1_bn/beta"}),
        ("norm", "train_affine_only", AFFINE),
    ],
)
def test_of_what_is_unfrozen_peft_moves_its_own(splits, folder, peft, batch_norm, moves):
    assert run(splits, folder, batch_norm, peft, unfreeze="all") == moves


def test_a_pattern_that_only_frozen_batch_norm_matches_is_an_error(splits, folder):
    with pytest.raises(BackboneError, match="which no variable that may train matches"):
        run(splits, folder, unfreeze={"variables": "gamma"})


def test_penalties_count_while_the_backbone_trains(folder):
    backbone = build_backbone(handle(folder))
    kernel = backbone.trainable_variables[0].numpy()
    assert float(tf.add_n(backbone.losses)) == pytest.approx(0.5 * np.sum(kernel**2) / 2, rel=1e-6)
    backbone.layers[1].trainable = False
    assert float(tf.add_n(backbone.losses)) == 0


def test_what_can_only_be_served_stays_frozen(tmp_path, splits):
    network = vector_network(SIZE)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32, name="images")])
    def serve(images):
        return {"vector": network(images), "other": images}

    module = tf.Module()
    module.held = network.variables
    tf.saved_model.save(module, str(tmp_path / "served"), signatures=serve)
    with pytest.raises(BackboneError, match=r"backbone\.output: missing; the model gives other float32"):
        build_backbone(handle(tmp_path / "served"))
    backbone = build_backbone(handle(tmp_path / "served", output="vector"))
    pixels = np.random.default_rng(0).random((2, SIZE, SIZE, 3)).astype(np.float32)
    np.testing.assert_allclose(backbone(pixels), network(pixels), atol=1e-6)
    assert not backbone.trainable_variables
