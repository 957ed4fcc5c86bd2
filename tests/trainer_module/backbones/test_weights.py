"""Weights of the networks of the catalogue: files that fit, files that do not, and the digest that pins them."""

from __future__ import annotations

import hashlib
import shutil
import warnings

import h5py
import numpy as np
import pytest

from finetune.errors import BackboneError

keras = pytest.importorskip("tf_keras")

from tf_keras.src.utils import data_utils  # noqa: E402

from finetune.config.backbone import BackboneConfig  # noqa: E402
from trainer_module.backbones.model import build_backbone  # noqa: E402
from trainer_module.backbones.sources.small_cnn import small_cnn  # noqa: E402


@pytest.fixture(scope="module")
def small_weights(tmp_path_factory):
    """A file with weights of SmallCNN for pictures of 8 pixels."""
    path = tmp_path_factory.mktemp("weights") / "small.h5"
    small_cnn(8).save_weights(path)
    return path


def small(path, **keys) -> BackboneConfig:
    return BackboneConfig(name="SmallCNN", image_size=8, weights=str(path), **keys)


def test_the_digest_of_the_weights_comes_along_and_pins_them(small_weights):
    digest = hashlib.sha256(small_weights.read_bytes()).hexdigest()
    assert build_backbone(small(small_weights, sha256=digest)).weights_sha256 == digest
    with pytest.raises(BackboneError, match=f"backbone.sha256: got {'0' * 64}; .* has {digest}"):
        build_backbone(small(small_weights, sha256="0" * 64))
    assert build_backbone(small("random")).weights_sha256 is None


def test_weights_that_keras_downloads_are_pinned_too(small_weights, tmp_path, monkeypatch):
    """Here they are in Keras' cache already, as on a machine without a network that was given the file."""
    cache = tmp_path / ".keras" / "models"
    cache.mkdir(parents=True)
    config = {"name": "MobileNetV2", "image_size": 32, "arguments": {"alpha": 0.35}}
    network = build_backbone(BackboneConfig(weights="random", **config))
    path = cache / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    network.save_weights(path)
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    loaded = build_backbone(BackboneConfig(weights="imagenet", sha256=expected, **config))
    assert loaded.weights_sha256 == expected
    np.testing.assert_array_equal(loaded.get_weights()[0], network.get_weights()[0])
    assert data_utils.get_file.__module__ == data_utils.__name__, "Keras has its own function back"


def test_a_file_with_some_of_the_layers_is_an_error_that_lists_the_others(small_weights, tmp_path):
    partial = tmp_path / "partial.h5"
    shutil.copy(small_weights, partial)
    with h5py.File(partial, "a") as file:
        file.attrs["layer_names"] = [name for name in file.attrs["layer_names"] if "block3" not in str(name)]
    with pytest.raises(BackboneError) as caught:
        build_backbone(small(partial))
    listed = [line.strip() for line in str(caught.value).splitlines() if line.startswith("  ")]
    assert [line.split(":")[0] for line in listed] == ["block3_conv_a", "block3_bn_a", "block3_conv_b", "block3_bn_b"]
    assert listed[0] == "block3_conv_a: absent in the file, 3x3x32x64 in the network"


def test_a_file_that_was_cut_short_is_an_error(small_weights, tmp_path):
    torn = tmp_path / "torn.h5"
    torn.write_bytes(small_weights.read_bytes()[:-5000])
    with pytest.raises(BackboneError, match="Expected an HDF5 file that is whole"):
        build_backbone(small(torn))


def test_weights_are_taken_from_a_whole_model_too(small_weights, tmp_path):
    network = small_cnn(8)
    network.load_weights(small_weights)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file")
        network.save(tmp_path / "model.h5")
    loaded = build_backbone(small(tmp_path / "model.h5"))
    np.testing.assert_array_equal(loaded.get_weights()[0], network.get_weights()[0])


def test_weights_that_do_not_fit_are_an_error_that_says_what_to_check(tmp_path):
    other = keras.Sequential([keras.layers.Dense(3, input_shape=(2,), name="dense")])
    path = tmp_path / "other.h5"
    other.save_weights(path)
    with pytest.raises(BackboneError) as caught:
        build_backbone(BackboneConfig(name="SmallCNN", weights=str(path)))
    message = str(caught.value)
    assert f"does not fit SmallCNN without its top, {small_cnn(32).count_params():,} parameters" in message
    assert "  block1_conv_a: absent in the file, 3x3x3x16 in the network\n" in message
    assert "  and 5 more" in message
    (tmp_path / "noise.h5").write_bytes(b"noise")
    with pytest.raises(BackboneError, match="does not fit SmallCNN"):
        build_backbone(BackboneConfig(name="SmallCNN", weights=str(tmp_path / "noise.h5")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "MobileNetV2", "arguments": {"alfa": 1.0}}, "alfa"),
        ({"name": "MobileNetV2", "image_size": 16}, "expects at least 32 pixels"),
        ({"name": "SmallCNN", "weights": "imagenet"}, "has none"),
        ({"name": "SmallCNN", "weights": "absent.h5"}, "not a file"),
        ({"name": "SmallCNN", "arguments": {"alpha": 1}}, "takes none"),
    ],
)
def test_a_backbone_that_cannot_be_built(changes, message):
    with pytest.raises(BackboneError, match=message):
        build_backbone(BackboneConfig(**{"weights": "random", **changes}))


def test_a_real_backbone_with_real_weights_is_built(real_data):
    weights = real_data / "weights" / "mobilenet_v2_0.35_224_no_top.h5"
    config = BackboneConfig(name="MobileNetV2", weights=str(weights), arguments={"alpha": 0.35})
    backbone = build_backbone(config)
    assert backbone.count_params() == 410_208
    with pytest.raises(BackboneError, match="does not fit"):
        build_backbone(config.model_copy(update={"arguments": {"alpha": 0.5}}))
