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
    """A cut is a node through which everything passes; of parts that meet above it, one node of each."""

    nodes: tuple[Node, ...]  # Their outputs are what is kept; several are kept as bytes, one behind the other.
    below: tuple[Node, ...]  # The nodes that need not run again: the nodes themselves and all before them, in order.
    multiply_adds: int  # Multiplications that they all take for one example, each with its addition.

    @property
    def name(self) -> str:
        """Returns what tells it from other cuts of the network."""
        return " and ".join(node.name for node in self.nodes)

    @property
    def layer(self) -> str:
        """Returns the name of its layer, or the names of them."""
        return " and ".join(node.layer for node in self.nodes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Returns the shape of what is kept of one example; nodes of no fixed size are no cuts."""
        if len(self.nodes) == 1:
            return _shape_of(self.nodes[0])
        return (sum(math.prod(_shape_of(node)) * node.item_bytes for node in self.nodes),)

    def row_bytes(self, item_bytes: int) -> int:
        """Returns the size of what is kept of one example, when each number takes `item_bytes` or less."""
        if len(self.nodes) > 1:
            return self.shape[0]
        return math.prod(self.shape) * min(item_bytes, self.nodes[0].item_bytes)


def _shape_of(node: Node) -> tuple[int, ...]:
    assert node.shape is not None
    return node.shape


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

    Constant nodes that are connected by others form a part: one of most networks, one a side where two networks meet
    above it. A node is passed by everything of its part when, in an order in which inputs come first, no connection
    leads from before it to behind it or out of the part, and nothing begins behind it. The nodes must be in such an
    order.

    Returns:
        The cut, or None when there is none worth a computation.
    """
    live = _leading_to(nodes, output)
    found: list[Node] = []
    below: set[str] = set()
    for part in _parts(live, is_constant):
        last = _last_passed(part, live)
        if last is None:
            return None
        found.append(part[last])
        below.update(node.name for node in part[: last + 1])
    before = tuple(node for node in live if node.name in below)
    work = sum(node.multiply_adds for node in before)
    return Cut(tuple(found), before, work) if work else None


def _parts(live: Sequence[Node], is_constant: Callable[[Node], bool]) -> list[list[Node]]:
    """Returns the constant nodes of which all that leads to them is constant, those together that are connected."""
    part_of: dict[str, list[Node]] = {}
    for node in live:
        if not is_constant(node) or not all(name in part_of for name in node.inputs):
            continue
        joined = list({id(part_of[name]): part_of[name] for name in node.inputs}.values())
        part = [each for one in joined for each in one] + [node]
        part_of |= {each.name: part for each in part}
    order = {node.name: place for place, node in enumerate(live)}
    parts = {id(part): part for part in part_of.values()}.values()
    return [sorted(part, key=lambda node: order[node.name]) for part in parts]


def _last_passed(part: Sequence[Node], live: Sequence[Node]) -> int | None:
    """Returns the place, in a part, of the last node of a known size that everything of the part passes."""
    place = {node.name: index for index, node in enumerate(part)}
    last_begin = max(index for index, node in enumerate(part) if not node.inputs)
    reach = [0] * len(part)
    for node in live:
        for name in node.inputs:
            if name in place:
                reach[place[name]] = max(reach[place[name]], place.get(node.name, len(part)))
    found, farthest = None, 0
    for index, node in enumerate(part):
        if farthest <= index and last_begin <= index and node.shape is not None:
            found = index
        farthest = max(farthest, reach[index])
    return found


def _leading_to(nodes: Sequence[Node], output: str) -> list[Node]:
    wanted, live = {output}, []
    for node in reversed(nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
            live.append(node)
    return live[::-1]
