"""The contract of `TransformTask`, which every entry of `TASKS` keeps."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from transforms import features
from transforms.records import serialise
from transforms.tasks import Labels, TransformTask

# Height and width of masks, in pixels.
MASK_SIZE = 32


def check_task(task: TransformTask) -> None:
    """Holds a task against what training, export and the Evaluator rely on.

    Raises:
        AssertionError: The task breaks the contract; the message says how.
    """
    assert task.key, "what the Evaluator compares with has a name"
    labels = Labels(task, classes=3)
    records = [record(index) for index in range(3)]
    one = [labels.read(tf.io.parse_single_example(record, labels.feature_spec())) for record in records]
    batch = labels.read(tf.io.parse_example(records, labels.feature_spec()))
    tf.debugging.assert_equal(tf.stack(one), batch, "an example alone and one in a batch are read alike")
    assert batch.shape[0] == 3, f"of three examples there are three labels, and the shape is {batch.shape}"
    rows = {tuple(row) for row in tf.reshape(batch, [3, -1]).numpy().tolist()}
    assert len(rows) == 3, "three different labels are read as three different values"


def record(index: int) -> bytes:
    """Returns a transformed example of the class in one column, as any task reads it: a label, an object and a mask."""
    box = np.array([0.25, 0.25, 0.75, 0.75, index, 0], np.float32)
    mask = tf.io.serialize_tensor(tf.zeros([MASK_SIZE, MASK_SIZE], tf.uint8)).numpy()
    return serialise({features.LABEL_INDEX: index, features.BOXES: box, features.MASK: mask})
