"""Keras files as backbones: loaded, cut, and refused where they could run code."""

from __future__ import annotations

import json
import warnings
import zipfile

import h5py
import numpy as np
import pytest

from finetune.errors import BackboneError

keras = pytest.importorskip("tf_keras")

from saved_models import save_for_hub, vector_network  # noqa: E402

from finetune.config.backbone import BackboneConfig  # noqa: E402
from finetune.digests import sha256_of  # noqa: E402
from trainer_module.backbones.model import build_backbone  # noqa: E402
from trainer_module.phases.freezing import block_names, layers_of  # noqa: E402

pytestmark = pytest.mark.by_test_current

PIXELS = np.random.default_rng(0).random((2, 12, 12, 3)).astype(np.float32)


def save(network, path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file")
        network.save(path)
    return path


def file(path, **keys) -> BackboneConfig:
    return BackboneConfig(**{"file": str(path), "image_size": 12, "scaling": "zero_to_one", **keys})


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "folder"])
def test_each_format_gives_the_same_features_and_its_digest(name, tmp_path):
    network = vector_network(12)
    path = save(network, tmp_path / name)
    backbone = build_backbone(file(path))
    np.testing.assert_allclose(backbone(PIXELS), network(PIXELS), atol=1e-6)
    assert backbone.weights_sha256 == sha256_of(path)
    assert block_names([layer.name for layer in layers_of(backbone)])[-1] == "block_2"
    with pytest.raises(BackboneError, match=r"backbone\.sha256: got 0"):
        build_backbone(file(path, sha256="0" * 64))


def test_a_network_is_cut_at_a_named_layer(tmp_path):
    network = vector_network(12)
    path = save(network, tmp_path / "model.keras")
    backbone = build_backbone(file(path, cut_at="block_1_relu"))
    expected = keras.Model(network.input, network.get_layer("block_1_relu").output)(PIXELS)
    np.testing.assert_allclose(backbone(PIXELS), expected, atol=1e-6)
    assert [layer.name for layer in backbone.layers][-1] == "block_1_relu"
    with pytest.raises(BackboneError, match=r"got 'block_1_rel'; .* 6 layers: .* Did you mean 'block_1_relu'"):
        build_backbone(file(path, cut_at="block_1_rel"))


def test_a_network_for_pictures_of_any_size_is_built_for_the_configured_one(tmp_path):
    network = vector_network(None)
    backbone = build_backbone(file(save(network, tmp_path / "model.keras")))
    assert backbone.input_shape == (None, 12, 12, 3)
    np.testing.assert_allclose(backbone(PIXELS), network(PIXELS), atol=1e-6)


def test_a_sequential_model_will_do(tmp_path):
    layers = [keras.layers.Conv2D(4, 3, input_shape=(12, 12, 3), name="conv"), keras.layers.Flatten(name="flat")]
    network = keras.Sequential([*layers, keras.layers.Dense(2, name="top")])
    backbone = build_backbone(file(save(network, tmp_path / "model.h5"), cut_at="conv"))
    assert backbone.output_shape == (None, 10, 10, 4)


def test_a_mismatch_says_both_sides(tmp_path):
    path = save(vector_network(12), tmp_path / "model.keras")
    with pytest.raises(BackboneError, match=r"got 32, a batch of \[None, 32, 32, 3\]; .* takes \[None, 12, 12, 3\]"):
        build_backbone(file(path, image_size=32))


def with_lambda() -> keras.Model:
    pixels = keras.Input((12, 12, 3))
    return keras.Model(pixels, keras.layers.Lambda(lambda x: x * 2.0)(keras.layers.GlobalAveragePooling2D()(pixels)))


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "folder"])
def test_lambda_layers_need_permission(name, tmp_path):
    path = save(with_lambda(), tmp_path / name)
    with pytest.raises(BackboneError, match=r"may run code when it is loaded: layer Lambda"):
        build_backbone(file(path))
    backbone = build_backbone(file(path, allow_unsafe=True))
    np.testing.assert_allclose(backbone(PIXELS), 2 * PIXELS.mean(axis=(1, 2)), atol=1e-5)


def test_classes_from_elsewhere_and_operations_on_files_are_found(tmp_path):
    path = save(vector_network(12), tmp_path / "good.keras")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1].update(module="os", class_name="system")
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(tmp_path / "bad.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(BackboneError, match=r"loaded: os\.system\. If you trust it"):
        build_backbone(file(tmp_path / "bad.keras"))

    path = save(vector_network(12), tmp_path / "bad.h5")
    with h5py.File(path, "a") as opened:
        config = json.loads(opened.attrs["model_config"])
        config["config"]["layers"][1].update(class_name="TFOpLambda", config={"function": "io.write_file"})
        opened.attrs["model_config"] = json.dumps(config)
    with pytest.raises(BackboneError, match=r"loaded: operation io\.write_file"):
        build_backbone(file(path))


def test_operations_that_only_compute_are_harmless(tmp_path):
    """MobileNetV3 adds numbers to tensors, which Keras saves as operations of TensorFlow."""
    pixels = keras.Input((12, 12, 3))
    network = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(pixels + 3.0))
    backbone = build_backbone(file(save(network, tmp_path / "model.keras")))
    np.testing.assert_allclose(backbone(PIXELS), network(PIXELS), atol=1e-6)


def test_what_is_no_keras_model_is_an_error(tmp_path):
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04\x95\x05")
    with pytest.raises(BackboneError, match="pickles and other formats are not loaded"):
        build_backbone(file(tmp_path / "model.pkl"))
    vector_network(12).save_weights(tmp_path / "weights.h5")
    with pytest.raises(BackboneError, match="one of weights alone goes with"):
        build_backbone(file(tmp_path / "weights.h5"))
    save_for_hub(vector_network(12), tmp_path / "hub")
    with pytest.raises(BackboneError, match=r"give it as backbone\.handle"):
        build_backbone(file(tmp_path / "hub"))
