"""A Keras network as a graph to search for cuts, and the two networks on either side of a cut."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
import tf_keras as keras

from trainer_module.frozen_features.cuts import Cut, Node
from trainer_module.frozen_features.packing import Unpack, packed
from trainer_module.frozen_features.planner import Graph
from trainer_module.layers import PadWords, TrimWords
from trainer_module.peft.adapters import plain_weights
from trainer_module.peft.low_rank import FACTORS
from trainer_module.phases.freezing import layers_of, variable_name
from transforms.inputs import NetworkInput

# By calls of layers, the nodes that their outputs come from.
_Names: TypeAlias = dict[tuple[int, int], list[str]]


class Network:
    """Describes a functional model with a backbone in it, layer by layer where that is functional too.

    A backbone with several inputs or outputs, such as an encoder of texts behind a preprocessor, is one node.
    """

    def __init__(self, model: keras.Model, backbone: keras.Model):
        """Describes a model from inputs to probabilities, one of whose layers is the backbone."""
        self._model = model
        self._backbone = backbone
        self._tensors: dict[str, Any] = {}
        self._layers: dict[str, keras.layers.Layer] = {}
        self._tails: dict[str, keras.Model] = {}
        self._described: dict[str, bytes] = {}
        self._opened = _can_be_opened(backbone)
        self.nodes: list[Node] = []
        self._of_name: dict[str, Node] = {}
        self._inner: _Names = {}
        names: _Names = {}
        for call in _calls(model):
            if call.layer is backbone:
                self._call = call
            if call.layer is backbone and self._opened:
                self._open_backbone(names)
            else:
                self._add(call, names, _sources(call, names), in_backbone=call.layer is backbone)

    @property
    def graph(self) -> Graph:
        """Returns the network as plain data."""
        in_inference_mode = self._call.call_kwargs.get("training") is False
        whole = None if self._opened else self._backbone.name
        return Graph(self.nodes, layers_of(self._backbone), whole, in_inference_mode)

    def frozen_part(self, cuts: Sequence[Cut]) -> Callable[[NetworkInput], list[tf.Tensor]]:
        """Returns a function from what the model takes to a list of what all cuts keep, computed in one pass."""
        nodes = list({node.name: node for cut in cuts for node in cut.nodes}.values())
        of_nodes = self._outputs_of(nodes)

        def run(inputs: NetworkInput) -> list[tf.Tensor]:
            found = dict(zip([node.name for node in nodes], of_nodes(inputs), strict=True))
            kept = [[found[node.name] for node in cut.nodes] for cut in cuts]
            return [each[0] if len(each) == 1 else packed(each) for each in kept]

        return run

    def _outputs_of(self, nodes: Sequence[Node]) -> Callable[[NetworkInput], list[tf.Tensor]]:
        if not self._opened:
            whole = keras.Model(self._model.input, [self._kept(node) for node in nodes])
            return lambda inputs: tf.nest.flatten(whole(inputs, training=False))
        inner = [node for node in nodes if self._is_inside(node)]
        outer = [node for node in nodes if not self._is_inside(node)]
        behind = [node for node in outer if self._is_behind(node)]
        beside = [node for node in outer if not self._is_behind(node)]
        # One after the other, not called on each other: Keras would go through all layers once more for that.
        to_backbone = keras.Model(self._model.input, self._call.call_args[0])
        # What of the backbone's outputs the nodes behind it need.
        known = {name for node in behind for name in self._ancestors(node)}
        outputs = list(enumerate(tf.nest.flatten(self._backbone.outputs)))
        places = [place for place, tensor in outputs if self._inner[_key(tensor.node)][0] in known]
        results = [outputs[place][1] for place in places]
        inside = keras.Model(self._backbone.inputs, [self._kept(node) for node in inner] + results)
        called = tf.nest.flatten(self._call.outputs)
        above = keras.Model([called[place] for place in places], list(map(self._tensor, behind))) if behind else None
        others = keras.Model(self._model.input, list(map(self._tensor, beside))) if beside else None

        def run(inputs: NetworkInput) -> list[tf.Tensor]:
            found = []
            if inner or behind:
                found = tf.nest.flatten(inside(to_backbone(inputs, training=False), training=False))
            kept = dict(zip([node.name for node in inner], found, strict=False))
            for model, given, of in ((above, found[len(inner) :], behind), (others, inputs, beside)):
                if model:
                    one = given[0] if isinstance(given, list) and len(given) == 1 else given
                    outputs = tf.nest.flatten(model(one, training=False))
                    kept |= dict(zip([node.name for node in of], outputs, strict=True))
            return [kept[node.name] for node in nodes]

        return run

    def tail(self, cut: Cut) -> keras.Model:
        """Returns the network from what a cut keeps to the model's output; it shares the model's layers."""
        if cut.name not in self._tails:
            self._tails[cut.name] = self._made_tail(cut)
        return self._tails[cut.name]

    def _made_tail(self, cut: Cut) -> keras.Model:
        inner = [node for node in cut.nodes if self._is_inside(node)]
        outer = [node for node in cut.nodes if not self._is_inside(node)]
        if len(cut.nodes) == 1 and outer:
            return keras.Model(self._tensor(outer[0]), self._model.output)
        outputs = tf.nest.flatten(self._backbone.outputs) if self._opened else []
        # Those that no node behind the backbone stands for.
        known = {name for node in outer for name in self._ancestors(node)}
        wanted = [place for place, tensor in enumerate(outputs) if self._inner[_key(tensor.node)][0] not in known]
        called = tf.nest.flatten(self._call.outputs)
        head = keras.Model([*(called[place] for place in wanted), *map(self._tensor, outer)], self._model.output)
        if len(cut.nodes) == 1 and self._tensor(cut.nodes[0]) is outputs[0]:
            return head
        kept = keras.Input(cut.shape, dtype=self.dtype(cut), name="kept")
        each = [kept]
        if len(cut.nodes) > 1:
            dtypes = [tf.as_dtype(self._tensor(node).dtype).name for node in cut.nodes]
            each = Unpack([node.shape for node in cut.nodes if node.shape], dtypes, name="unpack_kept")(kept)
        value = dict(zip([node.name for node in cut.nodes], each, strict=True))
        for node in cut.nodes:
            if _has_own_length(self._tensor(node)):
                value[node.name] = TrimWords(name=f"trim_kept_{node.layer}" if len(each) > 1 else "trim_kept")(
                    value[node.name]
                )
        of_wanted = [outputs[place] for place in wanted]
        at_the_end = {id(self._tensor(node)): value[node.name] for node in inner}
        rest_of = [tensor for tensor in of_wanted if id(tensor) not in at_the_end]
        if rest_of:
            begins = [node for node in inner if not any(self._tensor(node) is tensor for tensor in of_wanted)]
            rest = keras.Model([self._tensor(node) for node in begins], rest_of)
            given = [value[node.name] for node in begins]
            made = tf.nest.flatten(rest(given if len(given) > 1 else given[0], **self._call.call_kwargs))
            at_the_end |= {id(tensor): output for tensor, output in zip(rest_of, made, strict=True)}
        given = [*(at_the_end[id(tensor)] for tensor in of_wanted), *(value[node.name] for node in outer)]
        return keras.Model(kept, head(given if len(given) > 1 else given[0]))

    def digest(self, cut: Cut) -> str:
        """Returns the SHA-256 over what the layers below a cut do: kinds, settings, connections, weights."""
        # Of a SavedModel, tables of words are no weights; the digest of its files holds them too.
        digest = hashlib.sha256(repr(getattr(self._backbone, "weights_sha256", None)).encode())
        for node in cut.below:
            layer = self._layers[node.name]
            if node.name not in self._described:
                self._described[node.name] = repr((node, type(layer).__qualname__, _settings(layer))).encode()
            digest.update(self._described[node.name])
            for weight in plain_weights(layer):
                digest.update(np.ascontiguousarray(weight).tobytes())
        return digest.hexdigest()

    def dtype(self, cut: Cut) -> tf.DType:
        """Returns the type of what a cut keeps."""
        return tf.uint8 if len(cut.nodes) > 1 else tf.as_dtype(self._tensor(cut.nodes[0]).dtype)

    def _is_inside(self, node: Node) -> bool:
        return node.in_backbone and self._opened

    def _is_behind(self, node: Node) -> bool:
        return any(self._of_name[name].in_backbone for name in self._ancestors(node))

    def _ancestors(self, node: Node) -> set[str]:
        found: set[str] = set()
        waiting = [node.name]
        while waiting:
            inputs = self._of_name[waiting.pop()].inputs
            waiting += [name for name in inputs if name not in found]
            found.update(inputs)
        return found

    def _tensor(self, node: Node) -> Any:
        return self._tensors[node.name]

    def _kept(self, node: Node) -> Any:
        """Returns the tensor of a node that is cut at, of the same size for each example."""
        tensor = self._tensor(node)
        assert node.shape is not None
        return PadWords(node.shape[0])(tensor) if _has_own_length(tensor) else tensor

    def _open_backbone(self, names: _Names) -> None:
        inner = self._inner
        begins = [_key(each.node) for each in self._backbone.inputs]
        given = dict(zip(begins, _all_sources(self._call, names), strict=True))
        for call in _calls(self._backbone):
            inputs = (given[_key(call)],) if call.is_input else _sources(call, inner)
            self._add(call, inner, inputs, in_backbone=True)
        outputs = [inner[_key(output.node)][0] for output in self._backbone.outputs]
        names[_key(self._call)] = outputs

    def _add(self, call: Any, names: _Names, inputs: tuple[str, ...], in_backbone: bool) -> None:
        layer = call.layer
        place = ("backbone/" if in_backbone else "") + layer.name
        name = place if place not in self._layers else f"{place}:{len(self._layers)}"
        names[_key(call)] = [name]
        self._layers[name] = layer
        outputs, side = tf.nest.flatten(call.outputs), getattr(layer, "side", "")
        shape = tuple(outputs[0].shape[1:]) if len(outputs) == 1 else (None,)
        if in_backbone and self._opened and len(outputs) == 1 and _has_own_length(outputs[0]):
            # Trimmed to the longest text of a batch: at most what goes in.
            own = [each for each in self._backbone.inputs if getattr(each.node.layer, "side", "") == side]
            shape = (own[0].shape[1], *shape[1:])
        numbers = len(outputs) > 1 or tf.as_dtype(outputs[0].dtype) != tf.string
        fixed = shape if None not in shape and numbers else None
        self._tensors[name] = outputs[0]
        self._of_name[name] = Node(
            name,
            inputs,
            layer.name,
            in_backbone=in_backbone,
            has_variables=bool(layer.weights),
            is_batch_norm=isinstance(layer, keras.layers.BatchNormalization),
            follows_mode="training" in layer._call_spec.arg_names,
            shape=fixed,
            item_bytes=tf.as_dtype(outputs[0].dtype).size,
            multiply_adds=_multiply_adds(layer, fixed or (1,)),
        )
        self.nodes.append(self._of_name[name])


def _calls(model: keras.Model) -> list[Any]:
    """Returns Keras' nodes, inputs first."""
    by_depth = model._nodes_by_depth
    return [call for depth in sorted(by_depth, reverse=True) for call in by_depth[depth]]


def _key(call: Any) -> tuple[int, int]:
    return id(call.layer), id(call)


def _all_sources(call: Any, names: _Names) -> list[str]:
    """Returns the node that each tensor comes from that a call takes."""
    parents = [(layer._inbound_nodes[index], output) for layer, index, output, _ in call.iterate_inbound()]
    found = [(names[_key(parent)], output) for parent, output in parents]
    # A call of several outputs that was not looked into is one node.
    return [of[output] if output < len(of) else of[0] for of, output in found]


def _sources(call: Any, names: _Names) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_all_sources(call, names)))


def _can_be_opened(backbone: keras.Model) -> bool:
    inputs, outputs = getattr(backbone, "inputs", None) or [], backbone.outputs or []
    of_sides = len(inputs) > 1 and all(getattr(layer, "side", "") for layer in backbone.layers)
    one_each = len(inputs) == len(outputs) and (len(inputs) == 1 or of_sides)
    return bool(one_each and getattr(backbone, "_is_graph_network", False))


def _has_own_length(tensor: Any) -> bool:
    """Tells whether it is vectors of words [batch, words, channels] of which each batch has its own number."""
    return len(tensor.shape) == 3 and tensor.shape[1] is None and tensor.shape[2] is not None


def _settings(layer: keras.layers.Layer) -> Any:
    try:
        # What a phase trains changes from phase to phase; what lies below a cut computes the same.
        return {**layer.get_config(), "trainable": None}
    except NotImplementedError:
        return layer.name


def _multiply_adds(layer: keras.layers.Layer, shape: tuple[int, ...]) -> int:
    """Counts those of convolutions and dense layers: each kernel is applied at each place; looking up takes none."""
    if isinstance(layer, keras.layers.Embedding):
        return 0
    places = math.prod(shape[:-1])
    kernels = [each for each in layer.weights if not variable_name(each).endswith(FACTORS)]
    return places * sum(math.prod(weight.shape) for weight in kernels if len(weight.shape) > 1)
