"""Any network of pictures whose head sees the ends of several blocks, as Head2Toe (arXiv 2201.03529) does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from finetune.config.backbone import BackboneConfig
from finetune.errors import BackboneError
from trainer_module.backbones.source import BackboneSource
from trainer_module.frozen_features.recorded import Recorded
from trainer_module.peft.targets import Kernel
from trainer_module.phases.freezing import Layer, block_ends
from transforms.backbone import Backbone
from transforms.features import IMAGE

if TYPE_CHECKING:
    import tf_keras as keras

LAYER = "pooled_blocks"


class PooledBlocks(BackboneSource):
    """The networks of another source, with one more layer at the end, which has no variables."""

    def __init__(self, source: BackboneSource):
        """Takes the source of the network itself."""
        self.itself = source
        self.name = source.name
        self.records = source.records
        self.unfreeze_forms = source.unfreeze_forms
        self.starts_random = source.starts_random
        self.kernels_by = source.kernels_by
        self.written_as = source.written_as

    def selects(self, config: BackboneConfig) -> bool:
        return config.pooled_blocks > 1 and self.itself.selects(config)

    def record(self, config: BackboneConfig) -> Backbone:
        return self.itself.record(config)

    def build(self, config: BackboneConfig) -> tuple[keras.Model, str | None]:
        import tf_keras as keras

        from trainer_module.layers import PoolBlocks

        network, digest = self.itself.build(config)
        ends = _ends([layer.name for layer in network.layers], config.pooled_blocks)
        outputs = [*(network.get_layer(name).output for name in ends[:-1]), network.output]
        return keras.Model(network.input, PoolBlocks(name=LAYER)(outputs), name=network.name), digest

    def digest(self, config: BackboneConfig) -> str | None:
        return self.itself.digest(config)

    def layers(self, config: BackboneConfig) -> Sequence[Layer] | None:
        layers = self.itself.layers(config)
        return layers and [*layers, Layer(LAYER)]

    def kernels(self, config: BackboneConfig) -> tuple[Sequence[Kernel], int] | None:
        return self.itself.kernels(config)

    def graph(self, config: BackboneConfig) -> Recorded | None:
        graph = self.itself.graph(config)
        if graph is None:
            return None
        ends = _ends([layer.name for layer in graph.layers], config.pooled_blocks)
        return graph.with_layer(Layer(LAYER), ends)

    def problems(self, config: BackboneConfig) -> list[str]:
        """Returns those of the network itself, and whether it is of pictures and has so many blocks."""
        problems, record = self.itself.problems(config), self.itself.record(config)
        got = f"backbone.pooled_blocks: got {config.pooled_blocks}"
        if record.modality != IMAGE:
            return [*problems, f"{got}; {record.name} is for {record.modality}. It goes with pictures; leave it out"]
        if self.itself.kernels_by == "name":
            none = f"{got}; the layers of {record.name} cannot be told apart"
            return [*problems, f"{none}. Leave it out, or take a backbone by `name` or `file`"]
        try:
            if not problems and (layers := self.itself.layers(config)):
                _ends([layer.name for layer in layers], config.pooled_blocks)
        except BackboneError as error:
            problems.append(str(error))
        return problems

    def file_problems(self, config: BackboneConfig) -> list[str]:
        return self.itself.file_problems(config)

    def write(self, config: BackboneConfig, backbone: keras.Model, path: Path) -> None:
        """Writes the network itself."""
        import tf_keras as keras

        network = keras.Model(backbone.input, backbone.get_layer(LAYER).input[-1], name=backbone.name)
        self.itself.write(config, network, path)

    def with_random_weights(self, config: BackboneConfig) -> BackboneConfig:
        return self.itself.with_random_weights(config)


def _ends(layers: Sequence[str], blocks: int) -> list[str]:
    """Returns the last layer of each of the last blocks, from input to output.

    Raises:
        BackboneError: There are not so many.
    """
    ends = block_ends(layers)
    if blocks > len(ends):
        raise BackboneError(
            f"backbone.pooled_blocks: got {blocks}; the backbone has {len(ends)} blocks. Expected 1 to {len(ends)}."
        )
    return ends[-blocks:]
