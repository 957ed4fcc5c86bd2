"""What each place of the grid is to say: how near the centre of an object of each class, and where its edges are.

Centres are found as in CenterNet (Zhou, Wang and Kraehenbuehl 2019, arXiv 1904.07850): a map for each class is 1 at the
cell of a centre and falls off around it as a Gaussian. Edges are learned as in TTFNet (Liu et al. 2019, arXiv
1909.00700): all cells under the Gaussian say the distances from their middle to the four edges, not the centre alone,
so that a small data set teaches them from many places. The Gaussian's deviations are those of TTFNet too.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

# Deviation of the Gaussian in shares of a box's side: alpha / 6 with alpha 0.54.
DEVIATION = 0.54 / 6
# Where a Gaussian is lower, a cell says nothing of the box.
LEAST = 0.1


@dataclass(frozen=True)
class Targets:
    """Targets of a batch, on a grid."""

    heat: tf.Tensor  # float32 [batch, height, width, classes] in [0, 1]; 1 at the cells of centres alone.
    counted: tf.Tensor  # float32 [batch, height, width, 1]: 0 where a crowd may be anything, and no centre is.
    boxes: tf.Tensor  # float32 [batch, height, width, 4]: the box that each cell is to find.
    weights: tf.Tensor  # float32 [batch, height, width]: how much its finding counts; those of each box add up to 1.


def centres(boxes: tf.Tensor, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns row and column of the cell that has the middle of each box: int32 [...] each, of float32 [..., 4]."""
    y, x = (boxes[..., 0] + boxes[..., 2]) / 2, (boxes[..., 1] + boxes[..., 3]) / 2
    row = tf.clip_by_value(tf.cast(y * height, tf.int32), 0, height - 1)
    return row, tf.clip_by_value(tf.cast(x * width, tf.int32), 0, width - 1)


def assign(
    boxes: tf.Tensor, classes: tf.Tensor, crowd: tf.Tensor, height: int, width: int, class_count: int
) -> Targets:
    """Spreads the boxes of pictures over a grid; where two want the same cell, the smaller one has it.

    Args:
        boxes: float32 [batch, boxes, 4].
        classes: int32 [batch, boxes]: the class of each, -1 where there is no box.
        crowd: bool [batch, boxes]: those that stand for many objects, of which none is learned.
    """
    real = (classes >= 0) & ~crowd
    row, column = centres(boxes, height, width)
    deviation_y = tf.maximum((boxes[..., 2] - boxes[..., 0]) * height * DEVIATION, 1e-3)
    deviation_x = tf.maximum((boxes[..., 3] - boxes[..., 1]) * width * DEVIATION, 1e-3)
    along_y = _gaussian(height, row, deviation_y)
    along_x = _gaussian(width, column, deviation_x)
    hill = along_y[:, :, :, tf.newaxis] * along_x[:, :, tf.newaxis, :]
    hill *= tf.cast(real, tf.float32)[:, :, tf.newaxis, tf.newaxis]
    hot = tf.one_hot(classes, class_count)
    # Class by class: all at once would be [batch, boxes, height, width, classes].
    heat = tf.stack(
        [tf.reduce_max(hill * hot[:, :, number, tf.newaxis, tf.newaxis], axis=1) for number in range(class_count)],
        axis=-1,
    )

    sizes = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    wanted = hill >= LEAST
    owner = tf.argmin(
        tf.where(wanted, sizes[:, :, tf.newaxis, tf.newaxis], tf.float32.max), axis=1, output_type=tf.int32
    )
    owned = wanted & (owner[:, tf.newaxis] == tf.range(tf.shape(boxes)[1])[:, tf.newaxis, tf.newaxis])
    share = tf.where(owned, hill, 0.0)
    share = tf.math.divide_no_nan(share, tf.reduce_sum(share, axis=[2, 3], keepdims=True))
    in_crowd = _covered(boxes, crowd & (classes >= 0), height, width)
    is_centre = tf.reduce_max(heat, axis=-1) >= 1.0
    return Targets(
        heat,
        tf.cast(is_centre | ~in_crowd, tf.float32)[..., tf.newaxis],
        tf.gather(boxes, owner, batch_dims=1),
        tf.reduce_sum(share, axis=1),
    )


def _gaussian(cells: int, centre: tf.Tensor, deviation: tf.Tensor) -> tf.Tensor:
    """Returns float32 [batch, boxes, cells], 1 at the centre's cell."""
    distance = tf.range(cells, dtype=tf.float32) - tf.cast(centre, tf.float32)[..., tf.newaxis]
    return tf.exp(-((distance / deviation[..., tf.newaxis]) ** 2) / 2)


def _covered(boxes: tf.Tensor, chosen: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Returns bool [batch, height, width]: the cells whose middle lies in a chosen box."""
    y, x = middles(height, width)
    down = (y >= boxes[..., :1]) & (y <= boxes[..., 2:3]) & chosen[..., tf.newaxis]
    across = (x >= boxes[..., 1:2]) & (x <= boxes[..., 3:])
    return tf.reduce_any(down[:, :, :, tf.newaxis] & across[:, :, tf.newaxis, :], axis=1)


def middles(height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns where the middles of rows and columns are, in shares: float32 [height] and [width]."""
    return (tf.range(height, dtype=tf.float32) + 0.5) / height, (tf.range(width, dtype=tf.float32) + 0.5) / width
