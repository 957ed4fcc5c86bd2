"""What training is given."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf
import tf_keras as keras

from finetune.config import AugmentationConfig, TrainingConfig
from trainer_module.examples.input_data import Split
from trainer_module.frozen_features.features import FrozenFeatures
from trainer_module.tasks.objective import Objective


@dataclass(frozen=True)
class Setup:
    """A setup holds all that training needs and never changes, but for the values of the model's variables.

    Attributes:
        model: The whole network.
        backbone: The part of it that freezing is about.
        training: Phases, batch size and seed.
        objective: What is minimised, and what is counted.
        train: Training examples.
        val: Validation examples, which early stopping watches.
        augmentation: Changes training pictures in phases that have no augmentation of their own.
        strategy: Where it runs.
        component: Id of the pipeline node that this runs in.
        frozen_features: Keeps what the frozen part of the network gives, and feeds phases with it.
    """

    model: keras.Model
    backbone: keras.Model
    training: TrainingConfig
    objective: Objective
    train: Split
    val: Split
    augmentation: AugmentationConfig
    strategy: tf.distribute.Strategy
    component: str
    frozen_features: FrozenFeatures
