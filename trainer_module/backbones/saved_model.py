"""Reads what a SavedModel expects and offers from its protos, without loading it and without TensorFlow.

Nothing of it runs, and it is quick: TensorBoard, which comes with TensorFlow, has the same protos by themselves.

A TF2 SavedModel is trained through its `__call__`, with the list `trainable_variables` and the functions
`regularization_losses` beside it; these are the conventions of TF Hub's reusable SavedModels. Signatures
such as `serving_default` serve, and cannot be trained.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from finetune.errors import BackboneError

# Operations through which a graph runs Python or touches files other than its own. Savers and vocabulary tables, which
# every SavedModel may have, are not among them.
UNSAFE_OPS = frozenset(("PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles"))


@dataclass(frozen=True)
class Tensor:
    """One input or output."""

    name: str  # Its key, or a name of its own; empty where it has neither.
    dtype: str  # Such as `float32` or `string`.
    shape: tuple[int | None, ...] | None  # None for a free dimension; None in place of the whole for a free rank.

    def __str__(self) -> str:
        shape = "any rank" if self.shape is None else str([size if size else "any" for size in self.shape])
        return f"{self.name} {self.dtype} {shape}".strip().replace("'", "")


@dataclass(frozen=True)
class Interface:
    """A way to call the model."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    takes_training: bool = False  # Whether it has a `training` argument, as dropout and BatchNorm need it.


@dataclass(frozen=True)
class Variable:
    """One variable; `trainable` says whether the model lists it in `trainable_variables`."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    trainable: bool


@dataclass(frozen=True)
class SavedModel:
    """What a SavedModel says of itself."""

    folder: Path
    call: Interface | None  # Its `__call__`; None for one that can only be served.
    signatures: dict[str, Interface]  # By name, those of serving.
    variables: tuple[Variable, ...]
    regularization_losses: int  # How many penalties training has to add.
    assets: tuple[str, ...]  # Names of files such as vocabularies.
    size: int  # Of the whole folder in bytes.
    unsafe_ops: tuple[str, ...]  # Those of UNSAFE_OPS that it has.
    tensorflow: str  # The version that wrote it.

    @property
    def trainable_parameters(self) -> int:
        """How many numbers can be trained."""
        return sum(math.prod(variable.shape) for variable in self.variables if variable.trainable)

    @property
    def parameters(self) -> int:
        """How many numbers the variables hold."""
        return sum(math.prod(variable.shape) for variable in self.variables)


def read_saved_model(folder: Path) -> SavedModel:
    """Reads a SavedModel's protos.

    Raises:
        BackboneError: There is none in the folder, it is damaged, or it is of TensorFlow 1.
    """
    path = folder / "saved_model.pb"
    try:
        proto = _saved_model_class().FromString(path.read_bytes())
        graph = proto.meta_graphs[0]
    except (OSError, DecodeError, IndexError) as error:
        found = ", ".join(sorted(entry.name for entry in folder.iterdir())[:8]) if folder.is_dir() else "no such folder"
        raise BackboneError(
            f"{folder}: expected the folder of a SavedModel, with a saved_model.pb that can be read; found: {found}. "
            f"({type(error).__name__}: {error})"
        ) from None
    if (folder / "tfhub_module.pb").is_file() or not graph.HasField("object_graph_def"):
        raise BackboneError(
            f"{folder}: a model in the format of TensorFlow 1, which has nothing to train; expected a TF2 SavedModel. "
            "Most models of TF Hub have a later version in that format."
        )
    nodes = graph.object_graph_def.nodes
    children = [{child.local_name: child.node_id for child in node.children} for node in nodes]
    call = children[0].get("__call__")
    return SavedModel(
        folder=folder,
        call=_call(graph.object_graph_def, nodes[call].function) if call is not None else None,
        signatures={
            name: Interface(tuple(_of_signature(one.inputs)), tuple(_of_signature(one.outputs)))
            for name, one in sorted(graph.signature_def.items())
            if not name.startswith("__")
        },
        variables=tuple(_variables(nodes, set(_members(children, "trainable_variables")))),
        regularization_losses=len(_members(children, "regularization_losses")),
        assets=tuple(asset.filename for asset in graph.asset_file_def),
        size=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        unsafe_ops=tuple(sorted(UNSAFE_OPS & set(_ops(graph.graph_def)))),
        tensorflow=graph.meta_info_def.tensorflow_version,
    )


@functools.cache
def _saved_model_class() -> Any:
    """The message that a saved_model.pb holds: TensorBoard has all of its parts, and not the envelope."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from tensorboard.compat.proto import meta_graph_pb2

    file = descriptor_pb2.FileDescriptorProto(
        name="finetune/saved_model.proto", package="finetune", dependency=[meta_graph_pb2.DESCRIPTOR.name]
    )
    field = descriptor_pb2.FieldDescriptorProto
    message = file.message_type.add(name="SavedModel")
    message.field.add(name="saved_model_schema_version", number=1, type=field.TYPE_INT64, label=field.LABEL_OPTIONAL)
    message.field.add(
        name="meta_graphs",
        number=2,
        type=field.TYPE_MESSAGE,
        label=field.LABEL_REPEATED,
        type_name=f".{meta_graph_pb2.MetaGraphDef.DESCRIPTOR.full_name}",
    )
    pool = descriptor_pool.Default()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("finetune.SavedModel"))


def _call(objects: Any, function: Any) -> Interface | None:
    """Reads the first trace of a function; the others differ in `training` and in free dimensions."""
    if not function.concrete_functions:
        return None
    trace = objects.concrete_functions[function.concrete_functions[0]]
    specification = {field.key: field.value for field in function.function_spec.fullargspec.named_tuple_value.values}
    arguments = [value.string_value for key in ("args", "kwonlyargs") for value in specification[key].list_value.values]
    inputs = _tensors(trace.canonicalized_input_signature, "")
    return Interface(tuple(inputs), tuple(_tensors(trace.output_signature, "")), "training" in arguments)


def _tensors(value: Any, name: str) -> Iterator[Tensor]:
    """Finds the tensors in a structure; one without a key goes by the name of its own, if it has one."""
    kind = value.WhichOneof("kind")
    if kind == "dict_value":
        for key, item in sorted(value.dict_value.fields.items()):
            yield from _tensors(item, key)
    elif kind in ("list_value", "tuple_value"):
        for item in getattr(value, kind).values:
            yield from _tensors(item, name)
    elif kind == "named_tuple_value":
        for field in value.named_tuple_value.values:
            yield from _tensors(field.value, field.key)
    elif kind in ("tensor_spec_value", "bounded_tensor_spec_value"):
        spec = getattr(value, kind)
        own = "" if spec.name == "unknown" else spec.name
        yield _tensor(name or own, spec.dtype, spec.shape)


def _of_signature(tensors: Any) -> Iterator[Tensor]:
    for name, info in sorted(tensors.items()):
        yield _tensor(name, info.dtype, info.tensor_shape)


def _tensor(name: str, dtype: int, shape: Any) -> Tensor:
    sizes = None if shape.unknown_rank else tuple(dim.size if dim.size >= 0 else None for dim in shape.dim)
    return Tensor(name, _dtype_name(dtype), sizes)


def _dtype_name(dtype: int) -> str:
    """What TensorFlow calls a type, such as `float32` for DT_FLOAT."""
    from tensorboard.compat.proto import types_pb2

    name = types_pb2.DataType.Name(dtype).removeprefix("DT_").lower()
    return {"half": "float16", "float": "float32", "double": "float64"}.get(name, name)


def _members(children: list[dict[str, int]], name: str) -> list[int]:
    """The nodes in a list that the model has, without those that keep track of it."""
    place = children[0].get(name)
    return [] if place is None else [node for key, node in children[place].items() if key.isdigit()]


def _variables(nodes: Any, trainable: set[int]) -> Iterator[Variable]:
    for place, node in enumerate(nodes):
        if node.WhichOneof("kind") == "variable":
            shape = tuple(dim.size for dim in node.variable.shape.dim)
            yield Variable(node.variable.name, shape, _dtype_name(node.variable.dtype), place in trainable)


def _ops(graph: Any) -> Iterator[str]:
    yield from (node.op for node in graph.node)
    for function in graph.library.function:
        yield from (node.op for node in function.node_def)
