"""What each phase reads: where the network is cut, what is kept, and what one pass fills. No TensorFlow here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from finetune.config import AugmentationConfig, TrainingConfig
from trainer_module.frozen_features.cuts import Cut, Node, constancy, deepest_cut
from trainer_module.frozen_features.plan import Budget, Decision, PhaseNeed, Rates, decide
from trainer_module.phases.freezing import Layer, trainable_layers
from trainer_module.phases.schedules import total_steps

MIB, GIB = 1024**2, 1024**3
ITEM_BYTES = {"float32": 4, "float16": 2}


@dataclass(frozen=True)
class Graph:
    """A graph describes a network with a backbone in it."""

    nodes: Sequence[Node]  # All calls of layers, those that a call needs before it; the last gives the output.
    layers: Sequence[Layer]  # The layers of the backbone, as `freezing` looks at them.
    # Name of the backbone where it is one node, as it cannot be looked into; it then trains as a whole.
    whole: str | None
    in_inference_mode: bool  # Whether the backbone is called in inference mode in training too.


@dataclass(frozen=True)
class Planner:
    """A planner decides for all phases of a training together, from plain data."""

    training: TrainingConfig  # Phases, cache and budget.
    augmentation: AugmentationConfig  # Changes training examples in phases that have no augmentation of their own.
    graph: Graph  # The network.
    train: int
    val: int
    rates: Rates  # What the machine does in a second.

    @cached_property
    def cuts(self) -> list[Cut | None]:
        """Says where the network is cut in each phase; None where it cannot be."""
        nodes, mode = self.graph.nodes, self.graph.in_inference_mode
        return [deepest_cut(nodes, nodes[-1].name, constancy(trained, mode)) for trained in self._trained]

    @cached_property
    def decisions(self) -> list[Decision]:
        """Says what each phase does."""
        training = self.training
        steps_per_epoch = -(-self.train // training.batch_size)
        needs = [
            PhaseNeed(cut, total_steps(phase, self.train, training.batch_size) / steps_per_epoch, self.copies(index))
            for index, (phase, cut) in enumerate(zip(training.phases, self.cuts, strict=True))
        ]
        budget = Budget(self.item_bytes, training.memory_mb * MIB, self.disk_bytes)
        return decide(training.frozen_features.cache, needs, self.train, self.val, budget, self.rates)

    @property
    def item_bytes(self) -> int:
        """Returns the bytes of one number of what is kept, at most."""
        return ITEM_BYTES[self.training.frozen_features.dtype]

    @property
    def disk_bytes(self) -> float:
        """Returns the bytes that everything kept may take on disk."""
        return self.training.frozen_features.disk_gb * GIB

    def cut(self, index: int) -> Cut:
        """Returns where the network is cut in a phase that reads what is kept."""
        cut = self.cuts[index]
        assert cut is not None
        return cut

    def share_above(self, index: int) -> float:
        """Returns the share of the network's multiplications that are above the cut of a phase, in [0, 1]."""
        cut, total = self.cuts[index], sum(node.multiply_adds for node in self.graph.nodes)
        return 1 - cut.multiply_adds / total if cut and total else 1.0

    def augmentation_of(self, index: int) -> AugmentationConfig:
        """Returns how a phase changes training examples."""
        return self.training.phases[index].augmentation or self.augmentation

    def copies(self, index: int) -> int:
        """Counts the rows that are kept of each training example; 0 where every epoch makes new ones."""
        config = self.augmentation_of(index)
        if not config.is_active:
            return 1
        return 0 if config.views == "fresh" else config.views

    def views(self, index: int, split: str) -> dict[str, Any] | None:
        """Returns what copies of the examples of a split depend on; None for the examples themselves."""
        config = self.augmentation_of(index)
        if split == "val" or not config.is_active:
            return None
        return {**config.model_dump(), "seed": self.training.seed}

    def filled_together(self, index: int, split: str) -> list[int]:
        """Lists the phase, and later ones that read the same rows and below whose cuts nothing trains until then."""
        found: list[int] = []
        trained: set[str] = set()
        for later in range(index, len(self.cuts)):
            cut, place = self.cuts[later], self.decisions[later].place(split)
            same = self.views(later, split) == self.views(index, split)
            if cut and place != "off" and same and not trained & {node.layer for node in cut.below if node.in_backbone}:
                found.append(later)
            trained |= self._trained[later]
        return found

    def row(self, index: int, decision: Decision) -> dict[str, Any]:
        """Returns what the summary says of a phase."""
        cut, config = self.cuts[index], self.augmentation_of(index)
        return {
            "cut": cut.layer if cut else None,
            "views": config.views if config.is_active else None,
            "train": decision.train,
            "val": decision.val,
            "bytes": decision.kept_bytes,
            "reason": decision.reason,
        }

    @cached_property
    def _trained(self) -> list[set[str]]:
        """Names, for each phase, the layers of the backbone that train."""
        layers, whole = self.graph.layers, self.graph.whole
        trained = []
        for phase in self.training.phases:
            trains = trainable_layers(layers, phase.unfreeze, self.training.batch_norm, self.training.may_train)
            names = {
                layer.name for layer, trainable in zip(layers, trains, strict=True) if trainable and layer.variables
            }
            trained.append(names | {whole} if names and whole else names)
        return trained
