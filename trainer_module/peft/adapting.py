"""What a training with `training.peft` leaves: its adapter as a file, and a network without updates."""

from __future__ import annotations

import tf_keras as keras

from finetune.artifacts.training_history import BackboneOrigin
from finetune.config import PeftConfig
from trainer_module.peft.adapters import merge, weights_of
from trainer_module.peft.artifact import Adapter, AdapterFacts, digest_of


class Adapting:
    """Knows the backbone as it was before training or a champion moved it."""

    def __init__(self, backbone: keras.Model, peft: PeftConfig | None, origin: BackboneOrigin):
        """Takes the digest of its weights; without `peft` nothing is done, here or later."""
        self._backbone = backbone
        digest = digest_of(weights_of(backbone)) if peft else ""
        self._facts = AdapterFacts(peft=peft, backbone=origin, digest=digest) if peft else None

    def leave(self, folder: str) -> None:
        """Writes the adapter to a folder, and merges it into the backbone."""
        if self._facts:
            Adapter.of(self._facts, weights_of(self._backbone)).write(folder)
            merge(self._backbone)
