"""`finetune plan --layers`: which layers each phase trains, and how many parameters. Builds the backbone for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from finetune.config import Config, PhaseConfig
from finetune.config.strategies import AUTO
from trainer_module.backbones.sources import record_of
from trainer_module.search.candidates import candidates_for


@dataclass(frozen=True)
class PhaseLayers:
    """What a phase trains: `layers` of the backbone with a variable that trains, by block, from input to output.

    Parameters are counted: those of the backbone that train, those of the head but for the last layer, and those of
    the last layer for each class.
    """

    phase: str
    layers: dict[str, list[str]]
    backbone: int
    head: int
    per_class: int


def layer_plan(config: Config, phases: Sequence[PhaseConfig]) -> list[PhaseLayers]:
    """Builds the network with random weights and holds each phase against it.

    Raises:
        BackboneError: The backbone cannot be built, or a phase asks for what it does not have.
    """
    from trainer_module.backbones.model import build_network
    from trainer_module.backbones.sources import source_of
    from trainer_module.phases.freezing import apply_freeze, block_names, check_phases, layers_of
    from trainer_module.tasks import TASKS

    training = config.training.model_copy(update={"phases": list(phases)})
    head = TASKS[config.task].head()
    backbone, model = build_network(source_of(config.backbone).with_random_weights(config.backbone), training, 1, head)
    check_phases(layers_of(backbone), training)
    of_backbone = {id(variable) for variable in backbone.variables}
    per_class = sum(variable.shape.num_elements() for variable in model.get_layer(head.of_classes).variables)
    names = [layer.name for layer in backbone.layers]
    blocks = dict(zip(names, block_names(names), strict=True))
    plans = []
    for phase in phases:
        variables, _ = apply_freeze(model, backbone, phase, training)
        trained = {id(variable) for variable in variables}
        layers = [
            layer.name for layer in backbone.layers if any(id(variable) in trained for variable in layer.variables)
        ]
        counts = {True: 0, False: 0}
        for variable in variables:
            counts[id(variable) in of_backbone] += variable.shape.num_elements()
        by_block = {block: list(members) for block, members in groupby(layers, key=blocks.__getitem__)}
        plans.append(PhaseLayers(phase.name, by_block, counts[True], counts[False] - per_class, per_class))
    return plans


def print_layers(config: Config, console: Console) -> None:
    """Prints for each phase the layers that train, by block, and counts of parameters; for `auto`, all it may try."""
    training, phases = config.training, config.training.phases
    if training.strategy == AUTO:
        candidates = candidates_for(record_of(config.backbone).kind, training, config.augmentation)
        phases = [phase for candidate in candidates for phase in candidate.phases]
    table = Table("phase", "trains, of the backbone", "parameters", "of the head", box=None, pad_edge=False)
    for plan in layer_plan(config, phases):
        lines = [f"{block}: {', '.join(members)}" for block, members in plan.layers.items()]
        shown = escape("\n".join(lines)) or "nothing"
        table.add_row(plan.phase, shown, f"{plan.backbone:,}", f"{plan.head:,} + {plan.per_class:,} a class")
    console.print(table)
