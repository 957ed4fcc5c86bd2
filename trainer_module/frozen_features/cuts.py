"""Where a network can be cut, as a search over plain data. No TensorFlow here.

A cut is a node that everything passes through: each way from an input to the output. What lies below a cut in which
nothing trains is a constant function, and what lies above needs its one output and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A node is one call of a layer."""

    name: str  # Unique in the network.
    inputs: tuple[str, ...]  # Names of the nodes whose outputs it takes.
    layer: str  # Name of its layer.
    in_backbone: bool = False  # Whether the layer is one of the backbone's, as opposed to the scaling or the head.
    has_variables: bool = False  # Whether the layer has any.
    is_batch_norm: bool = False  # Whether it is a BatchNorm layer, which is constant when it does not train.
    follows_mode: bool = False  # Whether it may do in training what it does not do in inference, such as dropout.
    # Shape of its output without the batch; None when it has several outputs or no fixed size.
    shape: tuple[int, ...] | None = None
    item_bytes: int = 4  # Bytes of one number of its output.
    multiply_adds: int = 0  # Multiplications, each with its addition, that it takes for one example.


@dataclass(frozen=True)
class Cut:
    """A cut is a node through which everything passes."""

    node: Node  # Its output is what is kept.
    below: tuple[Node, ...]  # The nodes that need not run again: the node itself and all before it, in order.
    multiply_adds: int  # Multiplications that they all take for one example, each with its addition.

    @property
    def shape(self) -> tuple[int, ...]:
        """Returns the shape of what is kept of one example; nodes of no fixed size are no cuts."""
        assert self.node.shape is not None
        return self.node.shape

    def row_bytes(self, item_bytes: int) -> int:
        """Returns the size of what is kept of one example, when each number takes `item_bytes` or less."""
        return math.prod(self.shape) * min(item_bytes, self.node.item_bytes)


def constancy(trained: Collection[str], backbone_in_inference_mode: bool) -> Callable[[Node], bool]:
    """Says which nodes give the same output for the same input in every step of a phase.

    The phase trains layers of the backbone, and all layers of the head with variables; the backbone may be called in
    inference mode in training too.
    """

    def is_constant(node: Node) -> bool:
        if node.has_variables and (not node.in_backbone or node.layer in trained):
            return False
        return node.is_batch_norm or not node.follows_mode or (node.in_backbone and backbone_in_inference_mode)

    return is_constant


def deepest_cut(nodes: Sequence[Node], output: str, is_constant: Callable[[Node], bool]) -> Cut | None:
    """Finds the cut farthest from the input below which every node is constant, as `constancy` says.

    A node is passed by everything when, in an order in which inputs come first, no connection leads from before it to
    behind it, and nothing begins behind it. The nodes must be in such an order.

    Returns:
        The cut, or None when there is none worth a computation.
    """
    live = _leading_to(nodes, output)
    place = {node.name: index for index, node in enumerate(live)}
    last_begin = max(index for index, node in enumerate(live) if not node.inputs)
    reach = [0] * len(live)
    for index, node in enumerate(live):
        for name in node.inputs:
            reach[place[name]] = max(reach[place[name]], index)
    found, farthest = None, 0
    for index, node in enumerate(live):
        if not is_constant(node):
            break
        if farthest <= index and last_begin <= index and node.shape is not None:
            found = index
        farthest = max(farthest, reach[index])
    if found is None:
        return None
    below = tuple(live[: found + 1])
    work = sum(node.multiply_adds for node in below)
    return Cut(live[found], below, work) if work else None


def _leading_to(nodes: Sequence[Node], output: str) -> list[Node]:
    wanted, live = {output}, []
    for node in reversed(nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
            live.append(node)
    return live[::-1]
