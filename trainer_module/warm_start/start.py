"""Begins a training with the champion's weights, and leaves what the next one begins with."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tf_keras as keras

from finetune.artifacts.training_history import BackboneOrigin, Start
from finetune.config import BackboneConfig
from finetune.events import Note, emit
from trainer_module.backbones.sources import origin_of, record_of
from trainer_module.peft.low_rank import FACTORS
from trainer_module.phases.freezing import variable_name
from trainer_module.phases.setup import Setup
from trainer_module.search.candidates import candidates_for
from trainer_module.warm_start.classes import ClassChange, columns_in_order
from trainer_module.warm_start.course import warm_training
from trainer_module.warm_start.state import StateFacts, TrainingState, preprocessing_of


class Beginning:
    """Knows the network as it was built, before training or a champion moved it."""

    def __init__(self, setup: Setup, config: BackboneConfig):
        """Takes the digest of each variable of the backbone."""
        self._setup = setup
        self._config = config
        self._pretrained = [_digest(variable.numpy()) for variable in setup.backbone.variables]
        self._recipe = ""

    def start(self, champion: str | None) -> tuple[Setup, Start]:
        """Puts the champion's weights into the model.

        Args:
            champion: Folder of what its Trainer left; None where there is no champion.

        Returns:
            The setup of a warm start, and how it begins; without a champion, the setup as it was.

        Raises:
            BackboneError: The champion's backbone, preprocessing or head are others.
            RunError: What it left is damaged.
        """
        setup = self._setup
        state = TrainingState.find(champion) if champion else None
        if state is None:
            why = "there is no champion yet" if champion is None else "the champion has left no weights to go on from"
            sentence = f"Training starts from the backbone: {why}."
            _say(setup, sentence, level="info" if champion is None else "warning")
            return setup, Start(weights="backbone", sentence=sentence)
        facts = state.facts
        state.check(self._facts(moved=facts.moved))
        change = ClassChange.between(facts.classes, setup.classes)
        _assign(setup, state)
        self._recipe = facts.recipe
        if setup.augmentation.horizontal_flip is None:
            setup = setup.with_flips(facts.flips)
        candidates = candidates_for(setup.kind, setup.training, setup.augmentation)
        training = warm_training(setup.training, candidates, facts.recipe, facts.moved, grown=bool(change.added))
        sentence = f"Training goes on from the champion's weights; {change}."
        _say(setup, sentence, level="warning" if change.vanished else "info")
        start = Start(weights="champion", added=list(change.added), vanished=list(change.vanished), sentence=sentence)
        return setup.with_training(training), start

    def state(self, setup: Setup, weights: Sequence[np.ndarray], temperature: float, recipe: str) -> TrainingState:
        """Returns what the next training begins with.

        Args:
            setup: Of the training.
            weights: Of all variables of the model, in their order.
            temperature: What the logits of the exported model are divided by.
            recipe: The candidate that a search chose; "" for that of the champion.
        """
        value_of = {id(variable): value for variable, value in zip(setup.model.variables, weights, strict=True)}
        values = [np.asarray(value_of[id(variable)]) for variable in setup.backbone.variables]
        # Random weights are nowhere to be had again.
        new = setup.backbone.weights_sha256 is None
        moved = {
            place: value
            for place, (value, before) in enumerate(zip(values, self._pretrained, strict=True))
            if _digest(value) != before
        }
        # Another seed would begin with other factors.
        factors = {
            place: values[place]
            for place, variable in enumerate(setup.backbone.variables)
            if variable_name(variable).endswith(FACTORS)
        }
        head = {layer.name: [np.asarray(value_of[id(each)]) for each in layer.weights] for layer in _dense(setup)}
        last = setup.model.layers[-1].name
        if last in head:
            head[last] = [value / np.float32(temperature) for value in head[last]]
        facts = self._facts(moved=bool(moved)).model_copy(
            update={"classes": list(setup.classes), "recipe": recipe or self._recipe, "flips": bool(setup.flips)}
        )
        return TrainingState(facts, dict(enumerate(values)) if new else moved | factors, head)

    def _facts(self, moved: bool) -> StateFacts:
        setup, record = self._setup, record_of(self._config)
        origin = {**origin_of(self._config), "sha256": setup.backbone.weights_sha256}
        return StateFacts(
            classes=list(setup.classes),
            backbone=BackboneOrigin.model_validate(origin),
            shapes=[list(variable.shape) for variable in setup.backbone.variables],
            preprocessing=preprocessing_of(record),
            units=setup.training.head.units,
            moved=moved,
            pooled_blocks=self._config.pooled_blocks,
            peft=setup.training.peft,
        )


def _assign(setup: Setup, state: TrainingState) -> None:
    variables = setup.backbone.variables
    for place, value in state.backbone.items():
        variables[place].assign(value)
    last = setup.model.layers[-1]
    for layer in _dense(setup):
        known = state.head[layer.name]
        if layer is last:
            fresh = layer.get_weights()
            names = state.facts.classes, setup.classes
            known = [columns_in_order(old, names[0], new, names[1]) for old, new in zip(known, fresh, strict=True)]
        layer.set_weights(known)


def _dense(setup: Setup) -> list[keras.layers.Dense]:
    return [layer for layer in setup.model.layers if isinstance(layer, keras.layers.Dense)]


def _digest(value: Any) -> str:
    return hashlib.sha256(np.asarray(value).tobytes()).hexdigest()


def _say(setup: Setup, text: str, level: Any) -> None:
    emit(Note(text=f"{setup.component}: {text}", level=level))
