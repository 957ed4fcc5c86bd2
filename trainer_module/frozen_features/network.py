"""A Keras network as a graph to search for cuts, and the two networks on either side of a cut."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from trainer_module.frozen_features.cuts import Cut, Node
from trainer_module.frozen_features.planner import Graph
from trainer_module.layers import PadWords, TrimWords
from trainer_module.peft.adapters import plain_weights
from trainer_module.peft.low_rank import FACTORS
from trainer_module.phases.freezing import layers_of, variable_name
from transforms.inputs import NetworkInput


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
        names: dict[tuple[int, int], str] = {}
        for call in _calls(model):
            if call.layer is backbone:
                self._call = call
            if call.layer is backbone and self._opened:
                self._open_backbone(names, _sources(call, names))
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
        if not self._opened:
            whole = keras.Model(self._model.input, [self._kept(cut) for cut in cuts])
            return lambda inputs: tf.nest.flatten(whole(inputs, training=False))
        inner = [cut for cut in cuts if self._is_inside(cut)]
        outer = [cut for cut in cuts if not self._is_inside(cut)]
        # One after the other, not called on each other: Keras would go through all layers once more for that.
        before = keras.Model(self._model.inputs, self._call.call_args[0])
        inside = keras.Model(
            self._backbone.inputs, [self._kept(cut) for cut in inner] + [self._backbone.output] * bool(outer)
        )
        above = keras.Model(self._call.outputs, [self._tensor(cut) for cut in outer]) if outer else None

        def run(inputs: NetworkInput) -> list[tf.Tensor]:
            found = tf.nest.flatten(inside(before(inputs, training=False), training=False))
            if above:
                found += tf.nest.flatten(above(found.pop(), training=False))
            kept = {cut.node.name: output for cut, output in zip(inner + outer, found, strict=True)}
            return [kept[cut.node.name] for cut in cuts]

        return run

    def tail(self, cut: Cut) -> keras.Model:
        """Returns the network from what a cut keeps to the model's output; it shares the model's layers."""
        if cut.node.name not in self._tails:
            self._tails[cut.node.name] = self._made_tail(cut)
        return self._tails[cut.node.name]

    def _made_tail(self, cut: Cut) -> keras.Model:
        tensor = self._tensor(cut)
        if not self._is_inside(cut):
            return keras.Model(tensor, self._model.output)
        head = keras.Model(self._call.outputs, self._model.output)
        if tensor is self._backbone.output:
            return head
        kept = keras.Input(cut.shape, dtype=tensor.dtype, name="kept")
        trimmed = TrimWords(name="trim_kept")(kept) if _has_own_length(tensor) else kept
        rest = keras.Model(tensor, self._backbone.output)
        return keras.Model(kept, head(rest(trimmed, **self._call.call_kwargs)))

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
        return tf.as_dtype(self._tensor(cut).dtype)

    def _is_inside(self, cut: Cut) -> bool:
        return cut.node.in_backbone and self._opened

    def _tensor(self, cut: Cut) -> Any:
        return self._tensors[cut.node.name]

    def _kept(self, cut: Cut) -> Any:
        """Returns the tensor of a cut, of the same size for each example."""
        tensor = self._tensor(cut)
        return PadWords(cut.shape[0])(tensor) if _has_own_length(tensor) else tensor

    def _open_backbone(self, names: dict[tuple[int, int], str], sources: tuple[str, ...]) -> None:
        inner: dict[tuple[int, int], str] = {}
        for call in _calls(self._backbone):
            inputs = sources if call.is_input else _sources(call, inner)
            self._add(call, inner, inputs, in_backbone=True)
        output = self._backbone.output
        names[_key(self._call)] = inner[_key(output.node)]

    def _add(self, call: Any, names: dict[tuple[int, int], str], inputs: tuple[str, ...], in_backbone: bool) -> None:
        layer = call.layer
        place = ("backbone/" if in_backbone else "") + layer.name
        name = place if place not in self._layers else f"{place}:{len(self._layers)}"
        names[_key(call)] = name
        self._layers[name] = layer
        outputs = tf.nest.flatten(call.outputs)
        shape = tuple(outputs[0].shape[1:]) if len(outputs) == 1 else (None,)
        if in_backbone and self._opened and len(outputs) == 1 and _has_own_length(outputs[0]):
            # Trimmed to the longest text of a batch: at most what goes in.
            shape = (self._backbone.input_shape[1], *shape[1:])
        fixed = shape if None not in shape else None
        self._tensors[name] = outputs[0]
        self.nodes.append(
            Node(
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
        )


def _calls(model: keras.Model) -> list[Any]:
    """Returns Keras' nodes, inputs first."""
    by_depth = model._nodes_by_depth
    return [call for depth in sorted(by_depth, reverse=True) for call in by_depth[depth]]


def _key(call: Any) -> tuple[int, int]:
    return id(call.layer), id(call)


def _sources(call: Any, names: dict[tuple[int, int], str]) -> tuple[str, ...]:
    parents = [layer._inbound_nodes[index] for layer, index, _, _ in call.iterate_inbound()]
    return tuple(dict.fromkeys(names[_key(parent)] for parent in parents))


def _can_be_opened(backbone: keras.Model) -> bool:
    one_each = len(getattr(backbone, "inputs", None) or []) == 1 and len(backbone.outputs or []) == 1
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
