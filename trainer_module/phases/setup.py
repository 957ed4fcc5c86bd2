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
    """A setup holds all that training needs and never changes, but for the values of the model's variables."""

    model: keras.Model
    backbone: keras.Model  # The part of it that freezing is about.
    training: TrainingConfig
    objective: Objective  # What is minimised, and what is counted.
    train: Split
    val: Split  # Validation examples, which early stopping watches.
    augmentation: AugmentationConfig  # Changes training pictures in phases that have no augmentation of their own.
    strategy: tf.distribute.Strategy
    component: str  # Id of the pipeline node that this runs in.
    frozen_features: FrozenFeatures  # Keeps what the frozen part of the network gives, and feeds phases with it.
