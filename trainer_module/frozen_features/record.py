"""Records the graphs of backbones for `finetune plan`.

    python -m trainer_module.frozen_features.record [NAME [key=value ...]]

Without a name, all that come with the project are recorded anew.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from trainer_module.frozen_features.recorded import Recorded

_NAMES = (
    "SmallCNN", "MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large", "ResNet50", "ResNet50V2", "VGG16",
    "InceptionV3", "Xception", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "ConvNeXtTiny",
)  # fmt: skip
COMMON: tuple[tuple[str, dict[str, Any]], ...] = (
    *((name, {}) for name in _NAMES),
    *(("MobileNetV2", {"alpha": alpha}) for alpha in (0.35, 0.5)),
)


def graph_of(name: str, arguments: dict[str, Any]) -> Recorded:
    """Builds a backbone with random weights, and describes it."""
    import tf_keras as keras

    from finetune.config import BackboneConfig, TrainingConfig
    from trainer_module.backbones.model import build_network
    from trainer_module.frozen_features.network import Network
    from trainer_module.frozen_features.recorded import Recorded
    from trainer_module.peft.adapters import kernels_of, parameters_of
    from trainer_module.phases.freezing import layers_of

    keras.backend.clear_session()
    config = BackboneConfig(name=name, weights="random", arguments=arguments)
    backbone, model = build_network(config, TrainingConfig(), classes=2)
    nodes = [node for node in Network(model, backbone).nodes if node.in_backbone]
    begin = {node.name for node in nodes}
    inner = [replace(node, inputs=tuple(name for name in node.inputs if name in begin)) for node in nodes]
    described = tuple(layers_of(backbone)), tuple(kernels_of(backbone)), parameters_of(backbone)
    return Recorded(backbone.input_shape[1], tuple(inner), *described)


def main() -> None:
    """Records what is asked for."""
    from trainer_module.frozen_features.recorded import write

    chosen = COMMON
    if sys.argv[1:]:
        pairs = [pair.split("=", 1) for pair in sys.argv[2:]]
        chosen = ((sys.argv[1], {key: yaml.safe_load(value) for key, value in pairs}),)
    for name, arguments in chosen:
        write(name, arguments, graph_of(name, arguments))
        print(name, arguments, flush=True)


if __name__ == "__main__":
    main()
