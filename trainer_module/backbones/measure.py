"""Measures the networks of the catalogue, for `transforms/backbone_figures.json`: `make figures` writes it.

Builds each with random weights at the size of its record, which takes a quarter of an hour in all.
"""

from __future__ import annotations

import json
from typing import Any

import tf_keras as keras

from finetune.config.backbone import BackboneConfig
from trainer_module.backbones.catalogue import catalogue_backbone
from trainer_module.phases.freezing import block_names, layers_of
from transforms.backbones import BACKBONES


def measure(name: str) -> dict[str, Any]:
    """The figures of one backbone, as `transforms.backbone_figures.Figures` has them."""
    network, _ = catalogue_backbone(BackboneConfig(name=name, weights="random"))
    layers = layers_of(network)
    return {
        "parameters": network.count_params(),
        "layers": len(layers),
        "blocks": list(dict.fromkeys(block_names([layer.name for layer in layers]))),
        "features": list(network.output_shape[1:]),
        "has_batch_norm": any(layer.is_batch_norm for layer in layers),
    }


def main() -> None:
    """Prints the figures of all as JSON, one line each."""
    lines = []
    for name, record in BACKBONES.items():
        if record.modality != "image":
            continue
        # Numbers in the names of unnamed layers begin anew.
        keras.backend.clear_session()
        lines.append(f"{json.dumps(name)}: {json.dumps(measure(name))}")
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main()
