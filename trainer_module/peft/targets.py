"""Which kernels of a backbone get an update of low rank: a plain function of names, shapes and a budget."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from finetune.config.peft import KERNEL_KINDS, KernelKind, PeftConfig
from finetune.errors import BackboneError
from trainer_module.peft.low_rank import A, B, matrix_shape, rank_of
from trainer_module.phases.freezing import Layer

# Less than this share of the backbone's parameters train by default.
SHARE = 0.01
DEFAULT_KINDS = ("dense", "pointwise", "attention")
BY_NAME = (
    "the graph of a SavedModel reads its variables by itself, and they are chosen by name alone; expected a regular "
    "expression"
)


@dataclass(frozen=True)
class Kernel:
    """A kernel is a variable of a backbone that a layer multiplies with."""

    name: str  # Of the variable, such as `block_7_expand/kernel`.
    layer: str  # Name of the backbone's layer that it is in.
    kind: KernelKind | Literal["variable"]  # `variable`: a SavedModel's graph reads it, and only it knows what for.
    shape: tuple[int, ...]
    summed: int  # How many of its axes, from the first, the layer sums over.

    @property
    def matrix(self) -> tuple[int, int]:
        """Returns the rows and columns that it is read as."""
        return matrix_shape(self.shape, self.summed)

    def size(self, rank: int) -> int:
        """Returns how many numbers its update takes."""
        return rank_of(self.matrix, rank) * sum(self.matrix)

    @property
    def variables(self) -> tuple[str, str]:
        """Returns the names of the variables of its update."""
        return self.name + A, self.name + B


def chosen(kernels: Sequence[Kernel], peft: PeftConfig, parameters: int) -> list[Kernel]:
    """Chooses the kernels that LoRA updates.

    By default they are taken from the output down until the next would reach SHARE of the parameters: what lies below
    the last one stays frozen as a whole, and runs once an example.

    Args:
        kernels: Of the backbone, from input to output.
        peft: Rank and targets.
        parameters: How many numbers the backbone has.

    Returns:
        Those chosen, from input to output.

    Raises:
        BackboneError: None is left; the message says what there is.
    """
    if not kernels:
        raise BackboneError(
            "training.peft.method: got 'lora'; this backbone has no kernel that may train, as dense layers and "
            "convolutions have one. Expected another backbone, or no training.peft"
        )
    if all(each.kind == "variable" for each in kernels) and not isinstance(peft.targets, str):
        raise BackboneError(f"training.peft.targets: got {peft.targets}; {BY_NAME}, such as {kernels[-1].name!r}")
    if peft.targets is None:
        return _within_budget(kernels, peft.rank, SHARE * parameters)
    found = [each for each in kernels if _is_meant(each, peft.targets)]
    if found:
        return found
    kinds = [kind for kind in KERNEL_KINDS if any(each.kind == kind for each in kernels)]
    example = kernels[-1].name
    raise BackboneError(
        f"training.peft.targets: got {peft.targets!r}, which no kernel of the backbone is or matches; it has "
        f"{' and '.join(kinds)} kernels, such as {example!r}"
    )


def with_updates(layers: Sequence[Layer], kernels: Sequence[Kernel]) -> list[Layer]:
    """Describes the layers of a backbone as they are with updates on these kernels."""
    return [
        replace(
            layer,
            variables=(
                *layer.variables,
                *(name for each in kernels if each.layer == layer.name for name in each.variables),
            ),
        )
        for layer in layers
    ]


def _is_meant(kernel: Kernel, targets: str | Sequence[str]) -> bool:
    if isinstance(targets, str):
        return bool(re.search(targets, kernel.name))
    return kernel.kind in targets


def _within_budget(kernels: Sequence[Kernel], rank: int, budget: float) -> list[Kernel]:
    usual = [each for each in kernels if each.kind in DEFAULT_KINDS]
    if not usual:
        raise BackboneError(
            "training.peft.targets: missing; the backbone has no dense, pointwise or attention kernel, which are meant "
            f"by default. Expected some of {', '.join(sorted({each.kind for each in kernels}))}"
        )
    taken: list[Kernel] = []
    for kernel in reversed(usual):
        if sum(each.size(rank) for each in [*taken, kernel]) >= budget:
            break
        taken.insert(0, kernel)
    if not taken:
        last = usual[-1]
        raise BackboneError(
            f"training.peft.rank: got {rank}, with which the update of {last.name} takes {last.size(rank):,} "
            f"parameters; expected less than {SHARE:.0%} of the backbone's, {budget:,.0f}. Lower the rank, or name "
            "`targets`, which have no bound"
        )
    return taken
