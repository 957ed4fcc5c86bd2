"""Boxes around objects: an anchor-free head, its losses, and thresholds from which boxes are said.

What is asked of the logits of labels, such as by the probe, is asked of the classes in a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.detection import best_thresholds
from evaluation.tasks.detection import DetectionTask
from finetune.config import EvaluationConfig, TrainingConfig
from trainer_module.tasks.multi_label import MultiLabel
from trainer_module.tasks.objective import Objective
from trainer_module.tasks.refused import OF_PLACES

if TYPE_CHECKING:
    import tensorflow as tf

    from trainer_module.heads import Head


class Detection(MultiLabel):
    """Labels are objects, float32 [batch, objects, 6], as `transforms.tasks.detection` reads them."""

    accuracy = (
        "share of a picture's objects at whose centre their class is the likeliest, with a box that overlaps by half"
    )
    refused: Mapping[str, str] = {
        **OF_PLACES,
        "training.head": "no such section: the head of boxes is convolutions, and has none of its layers",
        "training.label_smoothing": "0: the loss of boxes has its own smooth targets",
        "training.focal_gamma": "0: the loss of boxes is focal already",
        "training.class_weights": "none",
        "training.frozen_features.cache": "`auto`: boxes are found on several maps, and none is kept",
        "evaluation.threshold": "none: the threshold of each class is chosen on validation",
        "evaluation.baselines": "`[majority]`, which finds no box, or `from_scratch`: the others draw none",
        **{
            f"augmentation.{key}": "flips, crops or colours: `horizontal_flip`, `random_resized_crop`, `brightness`, "
            "`contrast`, `saturation`"
            for key in ("rotation", "zoom", "shift", "trivial_augment", "random_erasing", "mixup", "cutmix")
        },
    }

    def head(self) -> Head:
        """Returns a pyramid of features with a heat map of centres and the edges around each place."""
        from trainer_module.detection.head import DetectionHead

        return DetectionHead()

    def objective(self, training: TrainingConfig, names: Sequence[str], weights: Sequence[float] | None) -> Objective:
        """Minimises `trainer_module.detection.losses.losses`."""
        from trainer_module.detection.losses import found_shares, losses

        return Objective(losses, losses, found_shares)

    def targets(self, labels: np.ndarray, classes: int) -> np.ndarray:
        """Takes the classes of objects, crowds apart."""
        there = (labels[..., 4, np.newaxis] == np.arange(classes)) & (labels[..., 5, np.newaxis] <= 0)
        return there.any(axis=1).astype(np.float32)

    def probabilities(self, output: tf.Tensor) -> tf.Tensor:
        """Returns of each class that of the likeliest centre."""
        import tensorflow as tf

        return tf.reduce_max(output[..., :-4], axis=[1, 2])

    def answers(self, output: tf.Tensor) -> tf.Tensor:
        """Returns boxes, float32 [batch, MOST_BOXES, 7], as `evaluation.detection` takes what was found, unsaid."""
        import tensorflow as tf

        from trainer_module.detection.decoding import decode

        found = decode(output)
        columns = tf.where(found["there"], tf.cast(found["columns"], tf.float32), -1.0)
        rest = [columns, found["scores"], tf.zeros_like(columns)]
        return tf.concat([found["boxes"], tf.stack(rest, axis=-1)], axis=-1)

    def decision(
        self,
        validation: Callable[[], tuple[np.ndarray, np.ndarray]],
        names: Sequence[str],
        evaluation: EvaluationConfig,
    ) -> dict[str, Any]:
        """Chooses `thresholds`, float [classes]: of each class the score from which boxes have the largest F1."""
        objects, boxes = validation()
        # Overlaps are the same in shares of whatever size.
        truth = np.concatenate([objects, np.ones_like(objects[..., :2])], axis=2)
        unused = np.zeros((len(objects), len(names)), np.float32)
        found = DetectionTask().predictions(truth, unused, None, boxes)
        return {"thresholds": best_thresholds(found)}

    def decode(self, output: tf.Tensor, names: tf.Tensor, decision: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """Serves boxes after suppression of those that overlap a surer one of their class, from the surest down.

        `boxes` float32 [batch, MOST_BOXES, 4]: upper, left, lower and right edge in shares of the picture; `scores`
        float32 [batch, MOST_BOXES]; `labels` string [batch, MOST_BOXES], empty in places without a box; `predicted`
        int64 [batch, MOST_BOXES], 1 for those that reach the threshold of their class.
        """
        import tensorflow as tf

        from trainer_module.detection.decoding import decode

        found = decode(output)
        reached = found["scores"] >= tf.gather(tf.constant(decision["thresholds"], tf.float32), found["columns"])
        return {
            "boxes": found["boxes"],
            "scores": found["scores"],
            "labels": tf.where(found["there"], tf.gather(names, found["columns"]), ""),
            "predicted": tf.cast(reached & found["there"], tf.int64),
        }
