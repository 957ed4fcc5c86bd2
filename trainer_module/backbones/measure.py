"""Measures the networks of the catalogue, for `trainer_module/backbones/figures.json`: `make figures` writes it.

Builds each with random weights at the size of its record, which takes a quarter of an hour in all.
"""

from __future__ import annotations

import json
from typing import Any

import tf_keras as keras

from finetune.config.backbone import BackboneConfig
from trainer_module.backbones.sources import catalogue, source_of
from trainer_module.phases.freezing import block_names, layers_of


def measure(name: str) -> dict[str, Any]:
    """The figures of one backbone, as `trainer_module.backbones.figures.Figures` has them."""
    config = BackboneConfig(name=name, weights="random")
    network, _ = source_of(config).build(config)
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
    for name, record in catalogue().items():
        if not record.image_size:
            continue
        # Numbers in the names of unnamed layers begin anew.
        keras.backend.clear_session()
        lines.append(f"{json.dumps(name)}: {json.dumps(measure(name))}")
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main()
