"""Encoders of texts in Hugging Face's layout: what a folder holds, and whether it fits together. No TensorFlow here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open

from finetune.errors import BackboneError
from trainer_module.peft.targets import Kernel
from trainer_module.phases.freezing import Layer
from transforms.features import PIECE_IDS
from transforms.piece_vocabulary import FILES, PieceVocabulary, read_json, read_piece_vocabulary

CONFIG, WEIGHTS = "config.json", "model.safetensors"
SHOWN_TENSORS = 6
Kind = Literal["embedding", "dense", "norm"]
# Keras' names of a layer's variables, and how checkpoints call them; those of the oldest have TensorFlow's names.
_VARIABLES: dict[Kind, dict[str, tuple[str, ...]]] = {
    "embedding": {"embeddings": ("weight",)},
    "dense": {"kernel": ("weight",), "bias": ("bias",)},
    "norm": {"gamma": ("weight", "gamma"), "beta": ("bias", "beta")},
}
_FLOATS = ("F32", "F16", "BF16")
# Of a block's inner layer; `gelu_new` and `gelu_pytorch_tanh` are the same, with `tanh` for the error function.
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")


@dataclass(frozen=True)
class Module:
    """A part of the network with weights."""

    layer: str  # Name of the Keras layer.
    path: str  # Where its tensors are in the checkpoint, such as `encoder.layer.0.output.dense`.
    kind: Kind
    shape: tuple[int, ...]  # Of the Keras layer's first variable.

    def tensors(self) -> Iterator[tuple[str, tuple[str, ...], tuple[int, ...]]]:
        """Yields each variable: its Keras name, the names that its tensor may have, and the tensor's shape.

        Dense kernels are [outputs, inputs] in a checkpoint, and [inputs, outputs] in Keras.
        """
        for variable, names in _VARIABLES[self.kind].items():
            whole = variable in ("embeddings", "kernel")
            shape = (self.shape if self.kind == "embedding" else self.shape[::-1]) if whole else self.shape[-1:]
            yield variable, tuple(f"{self.path}.{name}" for name in names), shape


@dataclass(frozen=True)
class Architecture:
    """The shape of an encoder, as `config.json` says it."""

    model_type: str
    vocabulary: int
    width: int
    blocks: int
    heads: int
    inner: int  # Units between the two dense layers of a block.
    positions: int  # Pieces of the longest text that it can take.
    types: int  # Kinds of texts, for pairs of them; 0 where it does not tell them apart.
    activation: str  # One of ACTIVATIONS.
    epsilon: float  # Of layer normalization.

    @property
    def modules(self) -> list[Module]:
        """Lists the parts with weights from input to output; layers of block N begin with `blockN_`, N from 1."""
        names = _NAMES[self.model_type]
        width, inner = self.width, self.inner
        tables = {"word": ("word", self.vocabulary), "type": ("token_type", self.types)}
        tables["position"] = ("position", self.positions)
        found = [
            Module(f"{name}_embeddings", f"embeddings.{path}_embeddings", "embedding", (count, width))
            for name, (path, count) in tables.items()
            if count
        ]
        found.append(Module("embeddings_norm", "embeddings.LayerNorm", "norm", (width,)))
        for block in range(self.blocks):
            for layer, path in names.items():
                sizes = {"intermediate": (width, inner), "output": (inner, width)}.get(layer, (width, width))
                kind: Kind = "norm" if layer.endswith("norm") else "dense"
                place = f"{_BLOCKS[self.model_type]}.{block}.{path}"
                found.append(Module(f"block{block + 1}_{layer}", place, kind, sizes[-1:] if kind == "norm" else sizes))
        return found


_BLOCKS = {"bert": "encoder.layer", "distilbert": "transformer.layer"}
_NAMES = {
    "bert": {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "attention_output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "intermediate": "intermediate.dense",
        "output": "output.dense",
        "output_norm": "output.LayerNorm",
    },
    "distilbert": {
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "attention_output": "attention.out_lin",
        "attention_norm": "sa_layer_norm",
        "intermediate": "ffn.lin1",
        "output": "ffn.lin2",
        "output_norm": "output_layer_norm",
    },
}
# Of these, those before and behind attention.
_PROJECTION = re.compile(r"_(query|key|value|attention_output)$")
# Layers of a block, in their order.
_PARTS: tuple[str, ...] = ("query", "key", "value", "attention", "attention_output", "attention_sum", "attention_norm")
_PARTS += ("intermediate", "output", "sum", "output_norm", "where_pieces")
# Keys of `config.json`, by the field of `Architecture`.
_KEYS = {
    "bert": {
        "vocabulary": "vocab_size",
        "width": "hidden_size",
        "blocks": "num_hidden_layers",
        "heads": "num_attention_heads",
        "inner": "intermediate_size",
        "positions": "max_position_embeddings",
        "types": "type_vocab_size",
    },
    "distilbert": {
        "vocabulary": "vocab_size",
        "width": "dim",
        "blocks": "n_layers",
        "heads": "n_heads",
        "inner": "hidden_dim",
        "positions": "max_position_embeddings",
    },
}


def read_architecture(folder: str) -> Architecture:
    """Reads `config.json`.

    Raises:
        BackboneError: It is not there, cannot be read, or describes a network of another kind.
    """
    path = Path(folder) / CONFIG
    found = read_json(path)
    kind = found.get("model_type")
    if kind not in _KEYS:
        raise BackboneError(
            f"backbone.weights: {str(path)!r}, model_type: got {kind!r}; expected {' or '.join(_KEYS)}. "
            + (
                "RoBERTa and its like cut texts into byte pairs or unigrams, which is not supported; take"
                if "roberta" in str(kind)
                else "Other encoders have other layers; take"
            )
            + " a BERT- or DistilBERT-style model, or a SavedModel that takes strings as backbone.handle."
        )
    sizes = {field: _size(path, found, key) for field, key in _KEYS[kind].items()}
    activation = found.get("hidden_act" if kind == "bert" else "activation", "gelu")
    for key, got, expected in (
        ("hidden_act" if kind == "bert" else "activation", activation, ACTIVATIONS),
        ("position_embedding_type", found.get("position_embedding_type", "absolute"), ("absolute",)),
        ("is_decoder", found.get("is_decoder", False), (False,)),
    ):
        if got not in expected:
            options = " or ".join(map(repr, expected))
            raise BackboneError(f"backbone.weights: {str(path)!r}, {key}: got {got!r}; expected {options}.")
    if sizes["width"] % sizes["heads"]:
        raise BackboneError(
            f"backbone.weights: {str(path)!r}: got a width of {sizes['width']} for {sizes['heads']} heads; expected a "
            "multiple of the heads."
        )
    epsilon = found.get("layer_norm_eps", 1e-12)
    return Architecture(
        model_type=kind, types=sizes.pop("types", 0), activation=activation, epsilon=float(epsilon), **sizes
    )


def folder_problems(folder: str, max_pieces: int, with_weights: bool = True) -> list[str]:
    """Holds what is in a folder against each other, without loading weights.

    Args:
        folder: Of the model.
        max_pieces: How many pieces of a text are to be read.
        with_weights: Whether the checkpoint matters too.
    """
    if not Path(folder).is_dir():
        return [
            f"backbone.weights: got {folder!r}, which is not a folder here; expected the folder of a model as Hugging "
            f"Face lays it out: {CONFIG}, {' or '.join(FILES[:2])}, and {WEIGHTS}"
        ]
    try:
        architecture, vocabulary = read_architecture(folder), read_piece_vocabulary(folder)
        problems = _vocabulary_problems(folder, architecture, vocabulary)
        if max_pieces > architecture.positions:
            problems.append(
                f"backbone.text.max_pieces: got {max_pieces}; {folder!r} has positions for {architecture.positions} "
                "pieces. Take no more"
            )
        if with_weights:
            tensor_names(folder, architecture)
        return problems
    except BackboneError as error:
        return [str(error)]


def tensor_names(folder: str, architecture: Architecture) -> dict[tuple[str, str], str]:
    """Finds the tensor of each variable, and holds its shape and type against the architecture.

    Returns:
        Names of tensors in the checkpoint, by the names of the Keras layer and of its variable.

    Raises:
        BackboneError: There is no checkpoint that can be read, or it is of another network.
    """
    found = _tensors(Path(folder))
    names, wrong = {}, []
    prefix = next((f"{kind}." for kind in _KEYS if any(name.startswith(f"{kind}.") for name in found)), "")
    for module in architecture.modules:
        for variable, options, shape in module.tensors():
            name = next((prefix + one for one in options if prefix + one in found), None)
            if name is None:
                wrong.append(f"  {prefix}{options[0]}: absent; expected {_shown(shape)}")
                continue
            got, kind = found[name]
            if got != shape:
                wrong.append(f"  {name}: got {_shown(got)}; expected {_shown(shape)}")
            elif kind not in _FLOATS:
                wrong.append(f"  {name}: got numbers of type {kind}; expected {', '.join(_FLOATS)}")
            names[module.layer, variable] = name
    if wrong:
        more = len(wrong) - SHOWN_TENSORS
        lines = wrong[:SHOWN_TENSORS] + ([f"  and {more} more"] if more > 0 else [])
        raise BackboneError(
            f"backbone.weights: {str(Path(folder) / WEIGHTS)!r} is not of the network that {CONFIG} describes:\n"
            + "\n".join(lines)
            + "\nTake all files from one model; config.json and the weights of two do not go together."
        )
    return names


def described_layers(architecture: Architecture) -> list[Layer]:
    """Describes the layers of the network that `trainer_module.backbones.encoder` builds, from input to output."""
    variables = {
        module.layer: tuple(f"{module.layer}/{variable}" for variable, _, _ in module.tensors())
        for module in architecture.modules
    }
    types = architecture.types > 0
    names = [PIECE_IDS, "trim", *["types"] * types, "positions"]
    names += ["word_embeddings", *["type_embeddings"] * types, "position_embeddings"]
    names += ["embeddings", "embeddings_norm", "embeddings_where_pieces"]
    for block in range(1, architecture.blocks + 1):
        names += [f"block{block}_{part}" for part in _PARTS]
    return [Layer(name, variables.get(name, ())) for name in [*names, "pool"]]


def described_kernels(architecture: Architecture) -> tuple[list[Kernel], int]:
    """Returns the kernels of that network, from input to output, and how many numbers its variables hold."""
    modules = architecture.modules
    kernels = [
        Kernel(
            f"{each.layer}/kernel",
            each.layer,
            "attention" if _PROJECTION.search(each.layer) else "dense",
            each.shape,
            1,
        )
        for each in modules
        if each.kind == "dense"
    ]
    return kernels, sum(math.prod(shape) for module in modules for *_, shape in module.tensors())


def _vocabulary_problems(folder: str, architecture: Architecture, vocabulary: PieceVocabulary) -> list[str]:
    if len(vocabulary.pieces) == architecture.vocabulary:
        return []
    return [
        f"backbone.weights: the vocabulary in {folder!r} has {len(vocabulary.pieces):,} pieces; {CONFIG} says "
        f"vocab_size: {architecture.vocabulary:,}. Take all files from one model: ids of another vocabulary mean "
        "other words"
    ]


def _tensors(folder: Path) -> Mapping[str, tuple[tuple[int, ...], str]]:
    """Returns shape and type of each tensor in a checkpoint."""
    path = folder / WEIGHTS
    if not path.is_file():
        pickled = sorted(file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in folder.glob(pattern))
        sharded = (folder / f"{WEIGHTS}.index.json").is_file()
        hint = ""
        if pickled:
            hint = (
                f" {pickled[0]} is pickled, and reading it can run what it brings along. Where you trust it, "
                "`AutoModel.from_pretrained(FOLDER).save_pretrained(FOLDER)` of transformers writes the file."
            )
        elif sharded:
            hint = " Weights in several files are not supported: save the model with a larger `max_shard_size`."
        raise BackboneError(f"backbone.weights: {str(folder)!r} has no {WEIGHTS}.{hint}")
    try:
        with safe_open(path, framework="np") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            return {name: (tuple(one.get_shape()), one.get_dtype()) for name, one in slices.items()}
    except (SafetensorError, OSError) as error:
        raise BackboneError(
            f"backbone.weights: {str(path)!r} cannot be read as safetensors: {error}. It may be cut off, or a pointer "
            "of Git LFS; fetch it again."
        ) from None


def _size(path: Path, found: Mapping[str, Any], key: str) -> int:
    size = found.get(key)
    if type(size) is not int or size < 1:
        raise BackboneError(f"backbone.weights: {str(path)!r}, {key}: got {size!r}; expected a number of 1 or more.")
    return size


def _shown(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "one number"
