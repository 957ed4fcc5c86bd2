"""Which class each pixel is of: a decoder on maps from inside the backbone, and the likeliest class of each pixel.

What is asked of the logits of labels, such as by the probe, is asked of the classes in a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from finetune.config import EvaluationConfig, TrainingConfig
from trainer_module.tasks.multi_label import MultiLabel
from trainer_module.tasks.objective import Objective
from trainer_module.tasks.refused import OF_PLACES

if TYPE_CHECKING:
    import tensorflow as tf

    from trainer_module.heads import Head


class Segmentation(MultiLabel):
    """Labels are masks, uint8 [batch, size, size], as `transforms.tasks.segmentation` reads them."""

    accuracy = "mean IoU of the classes that are in a picture or said to be"
    refused: Mapping[str, str] = {
        **OF_PLACES,
        "training.head": "no such section: the head of masks is convolutions, and has none of its layers",
        "training.label_smoothing": "0",
        "training.focal_gamma": "0",
        "training.class_weights": "none: Dice counts each class of a picture alike",
        "training.frozen_features.cache": "`auto`: masks are made of several maps, and none is kept",
        "evaluation.threshold": "none: the likeliest class of a pixel is said",
        "evaluation.baselines": "`[majority]`, which says one class everywhere, or `from_scratch`: the others tell no "
        "pixels apart",
        **{
            f"augmentation.{key}": "what moves a mask along or changes colours alone: `horizontal_flip`, `rotation`, "
            "`zoom`, `shift`, `random_resized_crop`, `brightness`, `contrast`, `saturation`"
            for key in ("trivial_augment", "random_erasing", "mixup", "cutmix")
        },
    }

    def head(self) -> Head:
        """Returns a decoder with the probability of each class at each pixel."""
        from trainer_module.segmentation.head import SegmentationHead

        return SegmentationHead()

    def objective(self, training: TrainingConfig, names: Sequence[str], weights: Sequence[float] | None) -> Objective:
        """Minimises `trainer_module.segmentation.losses.losses`."""
        from trainer_module.segmentation.losses import losses, overlaps

        return Objective(losses, losses, overlaps)

    def targets(self, labels: np.ndarray, classes: int) -> np.ndarray:
        """Takes the classes in a mask."""
        found = [np.bincount(mask.ravel(), minlength=classes)[:classes] > 0 for mask in labels]
        return np.array(found, np.float32)

    def probabilities(self, output: tf.Tensor) -> tf.Tensor:
        """Returns of each class that of the pixel where it is the likeliest to be."""
        import tensorflow as tf

        return tf.reduce_max(output, axis=[1, 2])

    def answers(self, output: tf.Tensor) -> tf.Tensor:
        """Returns `probabilities`: nothing is chosen by what is said of pixels."""
        return self.probabilities(output)

    def decision(
        self,
        validation: Callable[[], tuple[np.ndarray, np.ndarray]],
        names: Sequence[str],
        evaluation: EvaluationConfig,
    ) -> dict[str, Any]:
        """Chooses nothing: the likeliest class of a pixel is said."""
        return {}

    def decode(self, output: tf.Tensor, names: tf.Tensor, decision: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Serves `mask` uint8 [batch, size, size], the column of each pixel's likeliest class; and `predicted`.

        That is int64 [batch, classes], 1 for each class that is in the mask. The size is `backbone.image_size`.
        """
        import tensorflow as tf

        mask = tf.argmax(output, axis=-1)
        there = tf.reduce_any(mask[..., tf.newaxis] == tf.range(output.shape[-1], dtype=mask.dtype), axis=[1, 2])
        return {"mask": tf.cast(mask, tf.uint8), "predicted": tf.cast(there, tf.int64)}
