"""Which part of the backbone a phase trains. The decisions take names, so that they need no TensorFlow."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from finetune.config import PhaseConfig, TrainingConfig, Unfreeze
from finetune.errors import BackboneError, did_you_mean

STEM = "stem"

# How the layers of Keras' applications begin, or for Inception and NASNet how the last layer of a block is called.
_BLOCK_STARTS = re.compile(
    r"(?P<block>(?:.*_)?stage_\d+_[xyz]?block_\d+"  # ConvNeXt, RegNet
    r"|blockgroup\d+__block_\d+"  # ResNetRS
    r"|conv\d+_block\d+"  # ResNet, DenseNet
    r"|expanded_conv(?:_\d+)?"  # MobileNetV2 and V3
    r"|block_?\d+[a-z]?(?:_\d+)?"  # VGG, Xception, MobileNetV2, EfficientNet, InceptionResNetV2, SmallCNN
    r"|layer\d+(?=_(?:conv|dw|pw))"  # YAMNet
    r"|conv_[dp]w_(?P<pair>\d+))(?=[_/]|$)",  # MobileNet: a depthwise and a pointwise half
    re.IGNORECASE,
)
_BLOCK_ENDS = re.compile(
    r"(?P<block>mixed_?\d+[a-z]?|(?:normal|reduction)_concat_\w+|block(?:35|17|8)_\d+(?=_conv))(?:_conv)?$"
)


@dataclass(frozen=True)
class Layer:
    """A layer holds what freezing has to know of one."""

    name: str
    variables: tuple[str, ...] = ()  # Names of its variables, such as `block_7_expand/kernel`.
    is_batch_norm: bool = False  # Whether it is a BatchNorm layer.
    side: str = ""  # Of a backbone that is made of two networks, what that of the layer is shown.

    def may_train(self, variable: str, batch_norm: str) -> bool:
        """Says whether the BatchNorm policy lets a variable train.

        A layer that is a whole network, such as a SavedModel, has BatchNorm inside: what lies beside a `moving_mean`.
        """
        if batch_norm != "frozen":
            return True
        inside = f"{variable.rpartition('/')[0]}/moving_mean" in self.variables
        return not self.is_batch_norm and not inside


def block_names(layers: Sequence[str]) -> list[str]:
    """Finds the block that each layer belongs to, by what its name begins with; from input to output.

    `block_7_expand` is in `block_7`, `conv2_block3_1_conv` in `conv2_block3`. A layer whose name says nothing belongs
    to the block before it; those before the first block are the `stem`. In Inception and NASNet, whose blocks are
    named by the layer that ends them, a layer belongs to the end that comes next.
    """
    ends = [_BLOCK_ENDS.match(name) for name in layers]
    if any(end and end["block"].startswith(("mixed", "normal_concat")) for end in ends):
        blocks = []
        current = next(end["block"] for end in reversed(ends) if end)
        for end in reversed(ends):
            current = end["block"] if end else current
            blocks.append(current)
        return blocks[::-1]
    blocks, current = [], STEM
    for name in layers:
        start = _BLOCK_STARTS.match(name)
        if start:
            current = f"conv_{start['pair']}" if start["pair"] else start["block"]
        blocks.append(current)
    return blocks


def block_ends(layers: Sequence[str]) -> list[str]:
    """Returns the last layer of each block, from input to output."""
    return list(dict(zip(block_names(layers), layers, strict=True)).values())


def of_side(layers: Sequence[Layer], side: str) -> list[Layer]:
    """Returns the layers as those of one side."""
    return [replace(layer, side=side) for layer in layers]


def trainable_layers(
    layers: Sequence[Layer], unfreeze: Unfreeze, batch_norm: str = "train", may_train: str = ""
) -> list[bool]:
    """Decides for each layer, from input to output, whether it trains; BatchNorm `frozen` never does.

    Of a backbone that is made of two networks, each is counted by itself.

    Args:
        layers: Of the backbone.
        unfreeze: What a phase asks for.
        batch_norm: As `training.batch_norm` says.
        may_train: Regular expression, found in the names of variables that may train, as `training.peft` says.

    Raises:
        BackboneError: More is asked for than there is, or a name that no layer, block or variable has.
    """
    if sides := _sides(layers):
        trains: dict[int, bool] = {}
        for side, own in sides.items():
            try:
                of_own = trainable_layers(of_side(own, ""), unfreeze.of(side), batch_norm, may_train)
            except BackboneError as error:
                raise BackboneError(str(error).replace("unfreeze", f"unfreeze.{side}", 1)) from None
            trains |= {id(layer): each for layer, each in zip(own, of_own, strict=True)}
        return [trains[id(layer)] for layer in layers]
    if unfreeze.names_sides:
        raise BackboneError(f"unfreeze: got {str(unfreeze)!r}; `image` and `text` go with `backbones` alone")
    chosen = [
        trains and (not layer.variables or bool(_trained(layer, unfreeze, batch_norm, may_train)))
        for trains, layer in zip(_chosen(layers, unfreeze), layers, strict=True)
    ]
    with_variables = [trains for trains, layer in zip(chosen, layers, strict=True) if layer.variables]
    if may_train and not unfreeze.is_nothing and not any(with_variables):
        raise BackboneError(
            f"unfreeze: got {str(unfreeze)!r}, in which training.peft has nothing to train; expected more of the "
            "backbone, such as `all`, or other training.peft.targets. BatchNorm trains unless training.batch_norm is "
            "frozen."
        )
    if unfreeze.variables and not any(chosen):
        raise BackboneError(
            f"unfreeze.variables: got {unfreeze.variables!r}, which no variable that may train matches; expected a "
            f"part of a name such as {_example(layers)!r}. BatchNorm trains unless training.batch_norm is frozen."
        )
    return chosen


def rate_factors(layers: Sequence[str], factor: float) -> list[float]:
    """Returns what each layer's learning rate is multiplied with, from input to output.

    The block at the output learns at `factor`, the one below it at its square, and so on (discriminative rates, Howard
    and Ruder 2018, section 3.2; theirs is 1 / 2.6).
    """
    blocks = block_names(layers)
    from_output = list(dict.fromkeys(reversed(blocks)))
    return [factor ** (1 + from_output.index(block)) for block in blocks]


def _sides(layers: Sequence[Layer]) -> dict[str, list[Layer]]:
    """Returns the layers of each network that the backbone is made of, by what it is shown; empty for most."""
    sides = dict.fromkeys(layer.side for layer in layers if layer.side)
    return {side: [layer for layer in layers if layer.side == side] for side in sides}


def _factors(layers: Sequence[Layer], factor: float) -> list[float]:
    """Returns `rate_factors` of each network by itself."""
    of_layer = {
        id(layer): each
        for own in (_sides(layers) or {"": list(layers)}).values()
        for layer, each in zip(own, rate_factors([layer.name for layer in own], factor), strict=True)
    }
    return [of_layer[id(layer)] for layer in layers]


def check_phases(layers: Sequence[Layer], training: TrainingConfig) -> None:
    """Holds every phase against the backbone, before anything is trained.

    Raises:
        BackboneError: With every mistake found, one line each.
    """
    problems = []
    for index, phase in enumerate(training.phases):
        try:
            trainable_layers(layers, phase.unfreeze, training.batch_norm, training.may_train)
        except BackboneError as error:
            problems.append(f"training.phases[{index}].{error}")
    if problems:
        raise BackboneError("\n".join(problems))


def layers_of(backbone: Any) -> list[Layer]:
    """Describes the layers of a Keras model."""
    import tf_keras as keras

    return [
        Layer(
            layer.name,
            tuple(map(variable_name, layer.variables)),
            isinstance(layer, keras.layers.BatchNormalization),
            getattr(layer, "side", ""),
        )
        for layer in backbone.layers
    ]


def apply_freeze(
    model: Any, backbone: Any, phase: PhaseConfig, training: TrainingConfig
) -> tuple[list[Any], list[float]]:
    """Freezes those layers of the backbone, a part of the model, that a phase does not train.

    Returns:
        The variables that the phase trains, and what the learning rate of each is multiplied with.
    """
    backbone.trainable = True
    described, how = layers_of(backbone), (phase.unfreeze, training.batch_norm, training.may_train)
    trains = trainable_layers(described, *how)
    factors = _factors(described, phase.block_rate_factor)
    factor_of, left_out = {}, set()
    for layer, description, trainable, factor in zip(backbone.layers, described, trains, factors, strict=True):
        layer.trainable = trainable
        trained = _trained(description, phase.unfreeze.of(description.side), *how[1:])
        for variable in layer.trainable_variables:
            factor_of[id(variable)] = factor
            if variable_name(variable) not in trained:
                left_out.add(id(variable))
    variables = [variable for variable in model.trainable_variables if id(variable) not in left_out]
    return variables, [factor_of.get(id(variable), 1.0) for variable in variables]


def variable_name(variable: Any) -> str:
    """Returns the name of a TensorFlow variable without the number of its output."""
    return variable.name.split(":")[0]


def _trained(layer: Layer, unfreeze: Unfreeze, batch_norm: str, may_train: str) -> set[str]:
    """Returns the variables of a layer that trains which train themselves."""
    return {
        variable
        for variable in layer.variables
        if layer.may_train(variable, batch_norm)
        and re.search(unfreeze.variables or "", variable)
        and re.search(may_train, variable)
    }


def _chosen(layers: Sequence[Layer], unfreeze: Unfreeze) -> list[bool]:
    names = [layer.name for layer in layers]
    if unfreeze.variables:
        return [bool(layer.variables) for layer in layers]
    blocks = block_names(names)
    if unfreeze.last_blocks:
        distinct = list(dict.fromkeys(blocks))
        if unfreeze.last_blocks > len(distinct):
            raise BackboneError(
                f"unfreeze.last_blocks: got {unfreeze.last_blocks}; the backbone has {len(distinct)} blocks: "
                f"{_summary(distinct)}. For all, say `all`."
            )
        return [block in distinct[-unfreeze.last_blocks :] for block in blocks]
    if unfreeze.from_layer:
        first = _first(names, blocks, unfreeze.from_layer)
        return [index >= first for index in range(len(names))]
    if unfreeze.fraction:
        count = math.ceil(unfreeze.fraction * len(names))
    else:
        count = len(names) if unfreeze.last_layers == "all" else unfreeze.last_layers
    if count > len(names):
        raise BackboneError(
            f"unfreeze.last_layers: got {count}; the backbone has {len(names)} layers. For all, say `all`."
        )
    return [index >= len(names) - count for index in range(len(names))]


def _first(names: list[str], blocks: list[str], wanted: str) -> int:
    for places in (names, blocks):
        if wanted in places:
            return places.index(wanted)
    distinct = list(dict.fromkeys(blocks))
    hint = _nearest_number(wanted, [*distinct, *names]) or did_you_mean(wanted, [*distinct, *names])
    raise BackboneError(
        f"unfreeze.from_layer: got {wanted!r}; expected one of the {len(names)} layers or a block: "
        f"{_summary(distinct)}.{hint}"
    )


def _nearest_number(wanted: str, names: list[str]) -> str:
    """Prefers, among names that differ from the wanted one in their last number alone, the nearest number."""
    text = wanted.rstrip("0123456789")
    if text == wanted:
        return ""
    number = int(wanted[len(text) :])
    numbers = [int(name[len(text) :]) for name in names if re.fullmatch(re.escape(text) + r"\d+", name)]
    return f" Did you mean '{text}{min(numbers, key=lambda n: abs(n - number))}'?" if numbers else ""


def _summary(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{names[0]}, {names[1]} ... {names[-1]}"


def _example(layers: Sequence[Layer]) -> str:
    return next((layer.variables[0] for layer in reversed(layers) if layer.variables), "")
