"""Graphs of common backbones, recorded so that a plan can be made without TensorFlow.

`python -m trainer_module.frozen_features.record` writes them; a test holds them against the networks themselves.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trainer_module.frozen_features.cuts import Node
from trainer_module.peft.targets import Kernel
from trainer_module.phases.freezing import Layer

FOLDER = Path(__file__).parent / "graphs"
POOL = "head_pool"


@dataclass(frozen=True)
class Recorded:
    """A record is the graph of a backbone at one size of its input."""

    image_size: int  # Height and width in pixels.
    nodes: tuple[Node, ...]  # Its nodes from input to output, in the order in which they run.
    layers: tuple[Layer, ...]  # As `freezing` looks at them.
    kernels: tuple[Kernel, ...] = ()  # As LoRA looks at them.
    parameters: int = 0  # How many numbers all variables hold.

    def at(self, image_size: int) -> Recorded:
        """Returns the graph at another size; heights and widths are rounded, so that figures are near and not exact."""
        if image_size == self.image_size:
            return self
        ratio = image_size / self.image_size

        def resized(node: Node) -> Node:
            if node.shape is None or len(node.shape) != 3:
                return node
            height, width, channels = node.shape
            new = (max(1, round(height * ratio)), max(1, round(width * ratio)), channels)
            return replace(node, shape=new, multiply_adds=node.multiply_adds * new[0] * new[1] // (height * width))

        return replace(self, image_size=image_size, nodes=tuple(map(resized, self.nodes)))

    def with_layer(self, layer: Layer, inputs: Sequence[str]) -> Recorded:
        """Returns the graph with one more layer at the end, of no variables: the channels of other layers in a row."""
        taken = [node for node in self.nodes if node.layer in inputs]
        channels = sum(node.shape[-1] for node in taken if node.shape)
        name = self.nodes[-1].name.replace(self.nodes[-1].layer, layer.name)
        last = Node(name, tuple(node.name for node in taken), layer.name, in_backbone=True, shape=(channels,))
        return replace(self, nodes=(*self.nodes, last), layers=(*self.layers, layer))

    def with_head(self) -> list[Node]:
        """Returns the nodes, what pools the output unless it is a vector, and what stands for the rest of the head."""
        last = self.nodes[-1]
        if last.shape and len(last.shape) == 1:
            return [*self.nodes, Node("head", (last.name,), "head", has_variables=True)]
        pool = Node(POOL, (last.name,), POOL, shape=last.shape and last.shape[-1:], item_bytes=last.item_bytes)
        return [*self.nodes, pool, Node("head", (POOL,), "head", has_variables=True)]


def recorded(name: str, arguments: Mapping[str, Any]) -> Recorded | None:
    """Reads the graph of a backbone built with these arguments; None when it was not recorded."""
    path = FOLDER / file_name(name, arguments)
    if not path.is_file():
        return None
    content = json.loads(gzip.decompress(path.read_bytes()))
    nodes = [
        Node(**{**fields, "inputs": tuple(fields["inputs"]), "shape": fields["shape"] and tuple(fields["shape"])})
        for fields in content["nodes"]
    ]
    layers = [Layer(layer, tuple(variables), norm) for layer, variables, norm in content["layers"]]
    kernels = [
        Kernel(name, layer, kind, tuple(shape), summed) for name, layer, kind, shape, summed in content["kernels"]
    ]
    return Recorded(content["image_size"], tuple(nodes), tuple(layers), tuple(kernels), content["parameters"])


def write(name: str, arguments: Mapping[str, Any], graph: Recorded) -> None:
    """Records a graph; the same graph gives the same bytes."""
    content = {
        "image_size": graph.image_size,
        "nodes": [asdict(node) for node in graph.nodes],
        "layers": [[layer.name, layer.variables, layer.is_batch_norm] for layer in graph.layers],
        "kernels": [[each.name, each.layer, each.kind, each.shape, each.summed] for each in graph.kernels],
        "parameters": graph.parameters,
    }
    FOLDER.mkdir(exist_ok=True)
    packed = gzip.compress(json.dumps(content, separators=(",", ":")).encode(), mtime=0)
    (FOLDER / file_name(name, arguments)).write_bytes(packed)


def file_name(name: str, arguments: Mapping[str, Any]) -> str:
    """Returns a name such as `MobileNetV2-alpha-0.35.json.gz`."""
    return "-".join([name, *(f"{key}-{value}" for key, value in sorted(arguments.items()))]) + ".json.gz"


def size_in_words(count: float) -> str:
    """Returns bytes as people write them: `5.1 kB`, `3.8 MB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{math.ceil(count)} bytes"
