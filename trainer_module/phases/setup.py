"""What training is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import tensorflow as tf
import tf_keras as keras

from finetune.config import AugmentationConfig, TrainingConfig
from trainer_module.alignment.objective import contrastive_objective
from trainer_module.distillation.taught import taught_objective
from trainer_module.examples.input_data import Split, both
from trainer_module.frozen_features.features import FrozenFeatures
from trainer_module.phases.steps import SharedSteps
from trainer_module.phases.watch import Watch
from trainer_module.tasks import TrainingTask
from trainer_module.tasks.objective import Objective

# The trial that a fit to train and validation together is.
LAST_FIT = "refit"


@dataclass(frozen=True)
class Setup:
    """A setup holds all that training needs and never changes, but for the values of the model's variables."""

    model: keras.Model
    backbone: keras.Model  # The part of it that freezing is about.
    training: TrainingConfig
    task: TrainingTask
    classes: Sequence[str]  # Names, in the order of the columns.
    class_weights: Sequence[float] | None  # How much each counts; None counts all alike.
    train: Split
    val: Split  # Validation examples, which early stopping watches.
    augmentation: AugmentationConfig  # Changes training pictures in phases that have no augmentation of their own.
    strategy: tf.distribute.Strategy
    component: str  # Id of the pipeline node that this runs in.
    frozen_features: FrozenFeatures  # Keeps what the frozen part of the network gives, and feeds phases with it.
    kind: str  # Of the backbone, by which the strategy `auto` knows what to try.
    trial: str = ""  # Name of what is trained to be compared, or of the last fit; empty for the training itself.
    unlabelled: Split | None = None  # Examples that a teacher alone says something of.
    # Of trainings of the same network one after the other; None compiles those of this one alone.
    shared_steps: SharedSteps | None = None
    # What all that share steps minimise; None makes it of the config.
    shared_objective: Objective | None = None
    # What may end the training before its time; None where it is compared with no other.
    watch: Watch | None = None

    @property
    def trained_on(self) -> Split:
        """Returns what phases train on: `train`, and examples without labels. Heads are fitted on `train` alone."""
        return both(self.train, self.unlabelled) if self.unlabelled else self.train

    @property
    def trains_on_validation(self) -> bool:
        """Says whether what validation tells of the training is no measure of it."""
        return self.trial == LAST_FIT

    @cached_property
    def objective(self) -> Objective:
        """Returns what is minimised, and what is counted."""
        if self.shared_objective:
            return self.shared_objective
        if self.training.fusion.is_contrastive:
            return contrastive_objective()
        objective = self.task.objective(self.training, self.classes, self.class_weights)
        distillation = self.training.distillation
        if self.train.taught is None or distillation is None:
            return objective
        return taught_objective(objective, self.task, distillation)

    @property
    def flips(self) -> bool:
        """Says whether the config lets a mirror image stand for the picture."""
        own = [phase.augmentation for phase in self.training.phases if phase.augmentation]
        return any(each.horizontal_flip for each in (self.augmentation, *own))

    def with_flips(self, flips: bool) -> Setup:
        """Returns the setup in which mirror images stand for pictures, or do not."""
        augmentation = self.augmentation.model_copy(update={"horizontal_flip": flips})
        frozen_features = self.frozen_features.of(self.training, self.trained_on, self.val, augmentation)
        return dataclasses.replace(self, augmentation=augmentation, frozen_features=frozen_features)

    def with_training(
        self, training: TrainingConfig, train: Split | None = None, val: Split | None = None, trial: str = ""
    ) -> Setup:
        """Returns the setup of the same network for another training, or for other examples, of a trial."""
        train, val = train or self.train, val or self.val
        changed = dataclasses.replace(self, training=training, train=train, val=val, trial=trial)
        frozen_features = self.frozen_features.of(training, changed.trained_on, changed.val)
        return dataclasses.replace(changed, frozen_features=frozen_features)
