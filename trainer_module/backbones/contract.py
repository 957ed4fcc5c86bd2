"""What every source of backbones promises; a test runs it over the table, and over a source of your own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from finetune.config.backbone import BackboneConfig
from finetune.errors import BackboneError
from trainer_module.backbones.source import UNFREEZE_FORMS
from trainer_module.backbones.sources import SOURCES, source_of
from trainer_module.backbones.sources.pooled_blocks import PooledBlocks

if TYPE_CHECKING:
    import tf_keras as keras


def check_backbone_source(config: BackboneConfig) -> None:
    """Holds the source that a config selects to its promises. Builds the backbone, and so imports TensorFlow.

    Args:
        config: Of a small backbone whose weights are on this machine.

    Raises:
        AssertionError: One is broken; the message says which.
    """
    from trainer_module.backbones.model import build_backbone
    from trainer_module.peft.adapters import kernels_of, parameters_of
    from trainer_module.phases.freezing import layers_of

    source = source_of(config)
    _check_selection(config)
    problems = source.problems(config) + source.file_problems(config)
    assert not problems, f"{source.name} refuses a config that was given as a good one: {problems}"
    filled = source.problems(BackboneConfig.model_validate(config.model_dump(mode="json")))
    assert not filled, f"{source.name} refuses the same config with its defaults filled in: {filled}"
    if config.local_path:
        key = next(key for key in ("file", "handle", "weights") if getattr(config, key))
        absent = config.model_copy(update={key: f"{config.local_path}.absent"})
        assert source.file_problems(absent), f"{source.name} does not miss weights that are not there"

    backbone = build_backbone(config)
    for features in backbone.outputs:
        assert len(features.shape) in (2, 3, 4), f"{source.name} gives {features.shape}; the head takes 2 to 4 axes"
        assert features.dtype.is_floating, f"{source.name} gives {features.dtype.name} features, not floats"
    digest = source.digest(config)
    assert backbone.weights_sha256 == digest, f"{source.name} has a digest of weights that are not those it loads"
    kernels = kernels_of(backbone)
    as_said = {None: not kernels, "name": True, "kind": all(each.kind != "variable" for each in kernels)}
    assert as_said[source.kernels_by], f"{source.name} has kernels by {source.kernels_by}, and builds {kernels}"
    said = source.kernels(config)
    right = said is None or (list(said[0]), said[1]) == (kernels, parameters_of(backbone))
    assert right, f"{source.name} describes other kernels than it builds: {said}, not {kernels}"
    described = source.layers(config)
    if described is not None:
        # Keras may mix the layers of two sides; within a side their order counts.
        described, built = (sorted(layers, key=lambda layer: layer.side) for layers in (described, layers_of(backbone)))
        names = [layer.name for layer in built]
        assert [layer.name for layer in described] == names, f"{source.name} describes other layers than it builds"
        for layer, found in zip(described, built, strict=True):
            assert layer.is_batch_norm == found.is_batch_norm, f"{source.name}: {layer.name} is (no) BatchNorm layer"
            known = layer.variables in ((), found.variables)
            assert known, f"{source.name}: {layer.name} has the variables {found.variables}, not {layer.variables}"
    if digest and not config.sides:  # Each side is held against its own.
        refusal = _refusal(config.model_copy(update={"sha256": "0" * 64}))
        assert "backbone.sha256" in refusal, f"{source.name} does not hold weights against backbone.sha256: {refusal}"
    _check_written(config, backbone)
    _check_random_weights(config, backbone.get_weights())


def _check_written(config: BackboneConfig, backbone: keras.Model) -> None:
    from trainer_module.backbones.model import build_backbone

    source = source_of(config)
    if source.written_as is None:
        return
    key, ending = source.written_as
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"written{ending}")
        source.write(config, backbone, path)
        named = {key.removeprefix("backbone."): str(path), "sha256": None, "cut_at": None}
        again = build_backbone(config.model_copy(update=named))
        same = map(np.array_equal, again.get_weights(), backbone.get_weights())
        assert all(same), f"{source.name} writes other weights than it is given"


def _check_selection(config: BackboneConfig) -> None:
    source = source_of(config)
    selecting = [name for name, other in SOURCES.items() if other.selects(config)]
    assert selecting == [source.name], f"a config selects several sources: {selecting}"
    itself = source.itself if isinstance(source, PooledBlocks) else source
    assert SOURCES[source.name] is itself, f"{source.name} stands in the table under another name"
    unknown = set(source.unfreeze_forms) - set(UNFREEZE_FORMS)
    assert not unknown, f"{source.name} allows forms of `unfreeze` that there are not: {sorted(unknown)}"
    for name, record in source.records.items():
        assert record.name == name, f"{source.name} lists {record.name} as {name}"


def _check_random_weights(config: BackboneConfig, weights: list[np.ndarray]) -> None:
    from trainer_module.backbones.model import build_backbone

    source = source_of(config)
    random = build_backbone(source.with_random_weights(config))
    shapes = [value.shape for value in random.get_weights()]
    assert shapes == [value.shape for value in weights], f"{source.name}: random weights make another network"
    if source.starts_random:
        assert random.weights_sha256 is None, f"{source.name} gives random weights a digest"


def _refusal(config: BackboneConfig) -> str:
    from trainer_module.backbones.model import build_backbone

    try:
        build_backbone(config)
    except BackboneError as error:
        return str(error)
    return "it was built"
