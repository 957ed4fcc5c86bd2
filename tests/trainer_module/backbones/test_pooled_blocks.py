"""Heads that see the ends of several blocks."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from finetune.config import BackboneConfig
from trainer_module.phases.freezing import block_ends

keras = pytest.importorskip("tf_keras")
model = importlib.import_module("trainer_module.backbones.model")


def test_features_are_the_averaged_ends_of_blocks_each_at_the_same_strength():
    keras.utils.set_random_seed(1)
    config = BackboneConfig(name="SmallCNN", weights="random", image_size=16, pooled_blocks=2)
    backbone = model.build_backbone(config)
    pictures = np.random.default_rng(1).uniform(-1, 1, (3, 16, 16, 3)).astype(np.float32)
    found = backbone.predict(pictures, verbose=0)
    expected = []
    for name in ("block2_pool", "block3_pool"):
        maps = keras.Model(backbone.input, backbone.get_layer(name).output).predict(pictures, verbose=0)
        vectors = maps.astype(np.float64).mean(axis=(1, 2))
        expected.append(vectors / np.sqrt(np.mean(vectors**2, axis=1, keepdims=True)))
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-5)
    # A map that is nothing stays nothing.
    layers = importlib.import_module("trainer_module.layers")
    assert not np.any(layers.PoolBlocks()([np.zeros((1, 4, 4, 2)), np.zeros((1, 3))]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MobileNetV2", ["block_15_add", "out_relu"]),
        ("EfficientNetB0", ["block6d_add", "top_activation"]),
        ("InceptionV3", ["mixed9", "mixed10"]),
    ],
)
def test_blocks_end_where_the_next_begins(name, expected):
    recorded = importlib.import_module("trainer_module.frozen_features.recorded")
    ends = block_ends([layer.name for layer in recorded.recorded(name, {}).layers])
    assert ends[-2:] == expected
