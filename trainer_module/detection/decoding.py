"""From what the network says of each cell to boxes: where their edges are, and which of them stay."""

from __future__ import annotations

import tensorflow as tf

from trainer_module.detection.targets import middles

# As many as COCO's measures count of a picture.
MOST_BOXES = 100
# Two boxes of a class that overlap more are the same object.
SAME_OBJECT = 0.6
# Fainter ones would change a mean average precision by next to nothing.
LEAST_SCORE = 0.01


def split(answer: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes an answer apart.

    Args:
        answer: float32 [batch, height, width, classes + 4], of a grid: of each cell the probability that the centre of
            an object of each class is there, and the distances in cells from its middle up, left, down and right to
            the object's edges.

    Returns:
        Those probabilities, float32 [batch, height, width, classes], and boxes [batch, height, width, 4].
    """
    height, width = answer.shape[1], answer.shape[2]
    up, left, down, right = tf.unstack(answer[..., -4:], axis=-1)
    y, x = middles(height, width)
    y, x = y[:, tf.newaxis], x[tf.newaxis, :]
    boxes = tf.stack([y - up / height, x - left / width, y + down / height, x + right / width], axis=-1)
    return answer[..., :-4], boxes


def decode(answer: tf.Tensor) -> dict[str, tf.Tensor]:
    """Takes the likeliest boxes, of each class those that no likelier one of it overlaps.

    Args:
        answer: As `split` takes it.

    Returns:
        `boxes` float32 [batch, MOST_BOXES, 4] in [0, 1], `scores` float32 [batch, MOST_BOXES] from the largest down,
        `columns` int64 [batch, MOST_BOXES], those of the classes, and `there` bool [batch, MOST_BOXES], which of them
        are boxes; the others are zeros.
    """
    scores, boxes = split(answer)
    classes = scores.shape[-1]
    cells = answer.shape[1] * answer.shape[2]
    boxes, scores, columns, number = tf.image.combined_non_max_suppression(
        tf.reshape(boxes, [-1, cells, 1, 4]),
        tf.reshape(scores, [-1, cells, classes]),
        max_output_size_per_class=MOST_BOXES,
        max_total_size=MOST_BOXES,
        iou_threshold=SAME_OBJECT,
        score_threshold=LEAST_SCORE,
    )
    there = tf.range(MOST_BOXES) < number[:, tf.newaxis]
    return {"boxes": boxes, "scores": scores, "columns": tf.cast(columns, tf.int64), "there": there}
