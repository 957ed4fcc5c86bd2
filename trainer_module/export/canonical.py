"""Rewrites an exported SavedModel so that the same training gives the same bytes, wherever and whenever it runs.

TensorFlow numbers functions, captured tensors and custom gradients with a counter that runs through the life of a
process, and names lookup tables after the path of their file. Here every such name is replaced by one that follows from
the model alone; nothing that is computed changes.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from tensorflow.core.framework import function_pb2, node_def_pb2
from tensorflow.core.protobuf import fingerprint_pb2, meta_graph_pb2, saved_model_pb2
from tensorflow.python.saved_model import fingerprinting_utils

# What fills a table that was made outside of a graph.
_FILLING = re.compile(r"key_value_init(\d+)")
_NUMBERED = re.compile(r"(.*?)[_-]?(\d+)")
_GRADIENT = "_gradient_op_type"
_PLACES = "_class"
_SPECIFIED_NAME = "_user_specified_name"


def make_canonical(directory: str) -> None:
    """Rewrites `saved_model.pb` of a SavedModel and its fingerprint in place."""
    path = Path(directory) / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for meta_graph in saved.meta_graphs:
        _canonical_graph(meta_graph)
    path.write_bytes(saved.SerializeToString(deterministic=True))
    fingerprinting_utils.write_fingerprint(directory)
    _steady_uuid(Path(directory) / "fingerprint.pb", path.read_bytes())


def _steady_uuid(path: Path, model: bytes) -> None:
    """Later TensorFlows draw an id at random for each export; here it follows from the model's bytes."""
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
    if any(field.name == "uuid" for field, _ in fingerprint.ListFields()):
        fingerprint.uuid = str(int.from_bytes(hashlib.sha256(model).digest()[:16], "big"))
        path.write_bytes(fingerprint.SerializeToString(deterministic=True))


def renumbered(names: Iterable[str]) -> dict[str, str]:
    """New names for those that end with a number: numbered from 0 in the given order; other numbers in them vanish.

    >>> renumbered(["serve_907", "plain", "body_95_7"])
    {'serve_907': 'serve_0', 'body_95_7': 'body_1'}
    """
    numbered = [name for name in names if _NUMBERED.fullmatch(name)]
    return {name: f"{re.sub(r'[_-]?[0-9]+', '', name)}_{place}" for place, name in enumerate(numbered)}


def first_met(meta_graph: meta_graph_pb2.MetaGraphDef, known: Iterable[str]) -> list[str]:
    """Names of functions and gradients in the order in which a walk from the saved objects meets them.

    The old names do not decide: a loaded Transform graph gets its numbers in another order in each process.
    """
    known = set(known)
    functions = {function.signature.name: function for function in meta_graph.graph_def.library.function}
    met: dict[str, None] = {}

    def visit(text: str) -> str:
        if text in known and text not in met:
            met[text] = None
            if text in functions:
                for node in sorted(functions[text].node_def, key=lambda node: node.name):
                    visit_node(node)
        return text

    def visit_node(node: node_def_pb2.NodeDef) -> None:
        for _, value in sorted(node.attr.items()):
            map_strings(value, visit)

    for node in meta_graph.object_graph_def.nodes:
        map_strings(node, visit)
    for node in sorted(meta_graph.graph_def.node, key=lambda node: node.name):
        visit_node(node)
    return [*met, *sorted(known - set(met))]


def map_strings(message: Message, change: Callable[[str], str]) -> None:
    """Applies a function to every string in a message, also to keys of maps and to bytes that hold text; in place."""
    for field, value in message.ListFields():
        of_map = field.message_type and field.message_type.GetOptions().map_entry
        if of_map:
            _map_entries(value, field.message_type.fields_by_name, change)
        elif field.label == field.LABEL_REPEATED and field.message_type:
            for one in value:
                map_strings(one, change)
        elif field.message_type:
            map_strings(value, change)
        elif field.type in (field.TYPE_STRING, field.TYPE_BYTES):
            if field.label == field.LABEL_REPEATED:
                value[:] = [_changed(one, change) for one in value]
            else:
                setattr(message, field.name, _changed(value, change))


def _map_entries(entries: Any, fields: Any, change: Callable[[str], str]) -> None:
    """Empties the map before it is filled again, as a new key may be another entry's old one."""
    of_messages = fields["value"].message_type is not None
    of_strings = fields["value"].type == fields["value"].TYPE_STRING
    kept = {key: copy.deepcopy(value) for key, value in entries.items()}
    entries.clear()
    for key, value in kept.items():
        new = change(key) if isinstance(key, str) else key
        if of_messages:
            map_strings(value, change)
            entries[new].CopyFrom(value)
        else:
            entries[new] = change(value) if of_strings else value


def _changed(value: str | bytes, change: Callable[[str], str]) -> str | bytes:
    if isinstance(value, str):
        return change(value)
    try:
        return change(value.decode()).encode()
    except UnicodeDecodeError:
        return value


def _renumber_filling(meta_graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Numbers what fills tables from 0, in the order in which they were made."""
    found: set[int] = set()

    def find(text: str) -> str:
        found.update(map(int, _FILLING.findall(text)))
        return text

    map_strings(meta_graph, find)
    places = {number: place for place, number in enumerate(sorted(found))}
    map_strings(meta_graph, lambda text: _FILLING.sub(lambda name: f"key_value_init{places[int(name[1])]}", text))


def _canonical_graph(meta_graph: meta_graph_pb2.MetaGraphDef) -> None:
    _renumber_filling(meta_graph)
    library = meta_graph.graph_def.library
    gradients = {gradient.registered_op_type for gradient in library.registered_gradients}
    gradients |= {node.attr[_GRADIENT].s.decode() for node in _nodes(meta_graph.graph_def) if _GRADIENT in node.attr}
    names = renumbered(first_met(meta_graph, {function.signature.name for function in library.function} | gradients))
    map_strings(meta_graph, lambda text: names.get(text, text))
    for function in library.function:
        _name_arguments(function)
        _drop_lost_places(function)
        _in_order(function.node_def)
    _sort(library.function, lambda function: function.signature.name)
    _sort(library.gradient, lambda gradient: gradient.function_name)
    _sort(library.registered_gradients, lambda gradient: gradient.registered_op_type)
    tables: dict[bytes, str] = {}
    for node in _nodes(meta_graph.graph_def):
        if node.op.endswith("TableV2") and node.attr["shared_name"].s:
            shared = node.attr["shared_name"]
            shared.s = tables.setdefault(shared.s, f"table_{len(tables)}").encode()


def _nodes(graph: Any) -> Iterator[node_def_pb2.NodeDef]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _name_arguments(function: function_pb2.FunctionDef) -> None:
    """Captured tensors are arguments that are named after a number; they get that of their place."""
    arguments = function.signature.input_arg
    names = {
        argument.name: f"captured_{place}"
        for place, argument in enumerate(arguments)
        if re.search(r"_\d+", argument.name)
    }
    for argument in arguments:
        argument.name = names.get(argument.name, argument.name)
    for place, attributes in function.arg_attr.items():
        if attributes.attr[_SPECIFIED_NAME].s.isdigit():
            attributes.attr[_SPECIFIED_NAME].s = arguments[place].name.encode()

    def renamed(reference: str) -> str:
        # A node's name, `^` before it for a control input, `:output` after it.
        return re.sub(r"[^:^]+", lambda name: names.get(name[0], name[0]), reference, count=1)

    for node in function.node_def:
        node.input[:] = [renamed(one) for one in node.input]
    # A copy: setting an entry of a map while it is walked can lose entries.
    for output, value in dict(function.ret).items():
        function.ret[output] = renamed(value)


def _drop_lost_places(function: function_pb2.FunctionDef) -> None:
    """A lookup of rows asks for the place of the tensor that it captured, by a number that names no node in here."""
    known = {f"loc:@{node.name}".encode() for node in function.node_def}
    for node in function.node_def:
        if _PLACES in node.attr:
            kept = [place for place in node.attr[_PLACES].list.s if place in known]
            del node.attr[_PLACES]
            if kept:
                node.attr[_PLACES].list.s.extend(kept)


def _in_order(nodes: Any) -> None:
    """Sorts nodes by name, and their control inputs, which stand last: neither order means anything."""
    for node in nodes:
        data = [name for name in node.input if not name.startswith("^")]
        node.input[:] = [*data, *sorted(name for name in node.input if name.startswith("^"))]
    _sort(nodes, lambda node: node.name)


def _sort(messages: Any, key: Callable[[Any], Any]) -> None:
    in_order = sorted(messages, key=key)
    del messages[:]
    messages.extend(in_order)
