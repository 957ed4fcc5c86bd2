"""The networks of the catalogue, built with random weights: their figures, blocks, and range of their input."""

from __future__ import annotations

import importlib
import inspect

import numpy as np
import pytest

from finetune.config.backbone import BackboneConfig
from finetune.errors import BackboneError
from trainer_module.backbones.figures import figures, measure
from trainer_module.backbones.sources import SOURCES, backbone_record, source_of

keras = pytest.importorskip("tf_keras")

from finetune.config import HeadConfig, TrainingConfig, Unfreeze  # noqa: E402
from trainer_module.backbones.model import build_backbone, build_model  # noqa: E402
from trainer_module.phases.freezing import layers_of, trainable_layers  # noqa: E402

FAMILIES = {record.family: name for name, record in reversed(SOURCES["Keras applications"].records.items())}
# Built in every run of the tests; the others take minutes together.
QUICK = {"SmallCNN", "MobileNetV2"}


def slow_ones_long(names) -> list:
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in names]


@pytest.fixture(autouse=True)
def _names_begin_anew():
    keras.backend.clear_session()


@pytest.mark.parametrize("name", slow_ones_long(figures()))
def test_the_figures_are_those_of_the_network(name):
    found, expected = measure(name), figures()[name]
    assert found["parameters"] == expected.parameters
    assert found["layers"] == expected.layers
    assert tuple(found["blocks"]) == expected.blocks
    assert tuple(found["features"]) == expected.features
    assert found["has_batch_norm"] == expected.has_batch_norm


@pytest.mark.parametrize("name", slow_ones_long(FAMILIES.values()))
def test_a_picture_reaches_the_network_as_the_familys_own_preprocessing_gives_it(name):
    """At the smallest size that the record allows; a smaller one is an error."""
    record = backbone_record(name)
    config = BackboneConfig(name=name, weights="random", image_size=record.min_size)
    backbone = build_backbone(config)
    model = build_model(backbone, record, TrainingConfig(head=HeadConfig(units=[], dropout=0)), classes=2)
    size = record.min_size
    pixels = np.random.default_rng(0).integers(0, 256, (2, size, size, 3)).astype(np.float32)
    family = importlib.import_module(f"tf_keras.applications.{record.family}")
    expected = backbone(family.preprocess_input(pixels.copy()), training=False).numpy()
    (place,) = [index for index, layer in enumerate(model.layers) if layer is backbone]
    features = keras.Model(model.input, model.layers[place + 1].input)(pixels).numpy()
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(expected).max()))
    with pytest.raises(BackboneError, match="cannot be built"):
        source_of(config).build(config.model_copy(update={"image_size": record.min_size - 1}))


@pytest.mark.parametrize("name", slow_ones_long(FAMILIES.values()))
def test_the_last_two_blocks_are_a_part_at_the_output(name):
    backbone = build_backbone(BackboneConfig(name=name, weights="random", image_size=backbone_record(name).min_size))
    trains = trainable_layers(layers_of(backbone), Unfreeze(last_blocks=2))
    assert trains[-1]
    assert not trains[0]
    first = trains.index(True)
    assert all(trains[first:])
    trained = sum(layer.count_params() for layer, part in zip(backbone.layers, trains, strict=True) if part)
    assert 0 < trained < backbone.count_params()


@pytest.mark.parametrize("name", SOURCES["Keras applications"].records)
def test_the_arguments_of_a_record_are_those_of_the_constructor(name):
    """Beside those that the pipeline sets, and names of layers, which nobody needs to change."""
    parameters = inspect.signature(getattr(keras.applications, name)).parameters.values()
    taken = {parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD}
    ours = {"weights", "include_top", "input_shape", "input_tensor", "pooling", "classes", "classifier_activation"}
    assert set(backbone_record(name).arguments) == taken - ours - {"include_preprocessing", "model_name"}
