"""What the networks of the catalogue measure, as `make figures` wrote it; a test builds them anew and compares."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.config.backbone import BackboneConfig
from trainer_module.backbones.sources import catalogue, source_of
from trainer_module.phases.freezing import block_names, layers_of

FILE = Path(__file__).with_name("figures.json")


@dataclass(frozen=True)
class Figures:
    """Of a network without its top, at the image size of its record and with the default arguments."""

    parameters: int  # How many numbers its weights hold.
    layers: int  # How many layers `unfreeze: {last_layers: N}` counts.
    blocks: tuple[str, ...]  # Those that `last_blocks` counts and `from_layer` names, from input to output.
    features: tuple[int, int, int]  # Height, width and channels of its output.
    has_batch_norm: bool  # Whether `training.batch_norm` concerns it.


@functools.cache
def figures() -> dict[str, Figures]:
    """The figures of each backbone by its name."""
    read = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        name: Figures(**{**one, "blocks": tuple(one["blocks"]), "features": tuple(one["features"])})
        for name, one in read.items()
    }


def measure(name: str) -> dict[str, Any]:
    """Builds one with random weights, at the size of its record; returns its figures as `Figures` has them."""
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
    """Prints the figures of all as JSON, one line each, which takes a quarter of an hour."""
    import tf_keras as keras

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
