"""Boxes in training: what they are read from, how they move with pictures, what is learned of them and decoded."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from finetune.config import (  # noqa: E402
    AugmentationConfig,
    BackboneConfig,
    TrainingConfig,
)
from finetune.errors import BackboneError  # noqa: E402
from trainer_module.backbones.model import build_network  # noqa: E402
from trainer_module.detection.decoding import MOST_BOXES, decode  # noqa: E402
from trainer_module.detection.losses import found_shares, losses  # noqa: E402
from trainer_module.detection.targets import assign  # noqa: E402
from trainer_module.examples.augmentation import augment, moved  # noqa: E402
from trainer_module.tasks import TASKS  # noqa: E402
from transforms.objects import MOST_OBJECTS, Box, Objects  # noqa: E402
from transforms.tasks import TASKS as TRANSFORM_TASKS  # noqa: E402

pytestmark = pytest.mark.by_test

GRID, CLASSES = 8, 2
# Upper, left, lower, right, class, crowd.
FIRST, SECOND = (0.1, 0.1, 0.4, 0.5, 0, 0), (0.5, 0.6, 0.9, 0.8, 1, 0)


def objects(*rows: tuple[float, ...]) -> tf.Tensor:
    found = np.full((1, MOST_OBJECTS, 6), -1.0, np.float32)
    found[0, : len(rows)] = rows if rows else found[0, :0]
    return tf.constant(found)


def perfect(*rows: tuple[float, ...]) -> tf.Tensor:
    """What a network gives that knows the objects: sure of each centre, and with its edges at every place near it."""
    answer = np.full((1, GRID, GRID, CLASSES + 4), 1e-3, np.float32)
    for upper, left, lower, right, column, _ in rows:
        row, place = int((upper + lower) / 2 * GRID), int((left + right) / 2 * GRID)
        answer[0, row, place, int(column)] = 0.99
        for y in range(GRID):
            for x in range(GRID):
                if abs(y - row) + abs(x - place) < 3:
                    middle = np.array([y + 0.5, x + 0.5])
                    edges = np.array([upper, left, lower, right]) * GRID
                    answer[0, y, x, CLASSES:] = *(middle - edges[:2]), *(edges[2:] - middle)
    return tf.constant(answer)


def test_what_knows_the_objects_has_a_small_loss_and_finds_them_again():
    truth, answer = objects(FIRST, SECOND), perfect(FIRST, SECOND)
    empty = tf.fill(answer.shape, 0.01)
    assert float(losses(truth, answer)[0]) < 0.2 * float(losses(truth, empty)[0])
    assert float(found_shares(truth, answer)[0]) == 1
    assert float(found_shares(truth, empty)[0]) == 0
    found = decode(answer)
    assert found["boxes"].shape == [1, MOST_BOXES, 4]
    best = {int(found["columns"][0, place]): found["boxes"][0, place].numpy() for place in range(2)}
    np.testing.assert_allclose(best[0], FIRST[:4], atol=1e-5)
    np.testing.assert_allclose(best[1], SECOND[:4], atol=1e-5)
    assert found["there"].numpy().sum() == 2


def test_a_picture_without_objects_has_a_finite_loss_that_says_so():
    nothing = objects()
    assert np.isfinite(losses(nothing, perfect(FIRST))).all()
    assert float(losses(nothing, perfect(FIRST))[0]) > float(losses(nothing, tf.fill([1, 8, 8, 6], 1e-3))[0])


def test_nothing_is_learned_of_a_crowd_nor_inside_it():
    crowd = tf.constant([[[0.0, 0.0, 0.5, 0.5]]])
    targets = assign(crowd, tf.constant([[0]]), tf.constant([[True]]), GRID, GRID, CLASSES)
    assert float(tf.reduce_max(targets.heat)) == 0
    assert targets.counted[0, :4, :4, 0].numpy().sum() == 0
    assert targets.counted.numpy().sum() == GRID * GRID - 16


def test_one_place_belongs_to_the_smaller_of_two_objects():
    boxes = tf.constant([[[0.0, 0.0, 1.0, 1.0], [0.4, 0.4, 0.6, 0.6]]])
    targets = assign(boxes, tf.constant([[0, 1]]), tf.constant([[False, False]]), GRID, GRID, CLASSES)
    np.testing.assert_allclose(targets.boxes[0, 4, 4], boxes[0, 1])
    np.testing.assert_allclose(tf.reduce_sum(targets.weights), 2.0, rtol=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_boxes_move_with_what_is_in_them(seed):
    """A bright rectangle on black is where its box says, after the picture was cropped and mirrored."""
    size = 64
    picture = np.zeros((size, size, 3), np.uint8)
    picture[16:40, 20:52] = 255
    box = objects((16 / size, 20 / size, 40 / size, 52 / size, 1, 0))[0]
    config = AugmentationConfig(horizontal_flip=True, random_resized_crop=0.5)
    key = tf.constant([seed, 3], tf.int64)
    changed = augment(tf.constant(picture), key, config).numpy()[..., 0] > 127
    found = moved(box, key, config, size, size).numpy()
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    seen = np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]) / size
    np.testing.assert_allclose(found[0, :4], seen, atol=1.5 / size)
    assert found[0, 4:].tolist() == [1, 0]
    assert (found[1:, 4] == -1).all()


def test_what_a_crop_leaves_little_of_is_a_crowd_and_what_it_cuts_off_is_gone():
    config = AugmentationConfig(random_resized_crop=0.1)
    rows = [(y / 10, x / 10, (y + 1) / 10, (x + 1) / 10, 0, 0) for y in range(10) for x in range(10)]
    found = moved(objects(*rows)[0], tf.constant([1, 1], tf.int64), config, 64, 64).numpy()[:100]
    gone, crowds = found[:, 4] < 0, (found[:, 4] >= 0) & (found[:, 5] > 0)
    assert gone.any()
    assert crowds.any()
    assert ((found >= -1) & (found <= 1)).all()
    assert (~gone & ~crowds).any()


def test_objects_are_read_from_their_text(tmp_path):
    import tensorflow_transform as tft
    import tensorflow_transform.beam as tft_beam

    texts = [
        Objects(480, 640, (Box("white cell", (0.1, 0.2, 0.3, 0.4)), Box("red", (0.0, 0.0, 1.0, 1.0), True))).to_text(),
        Objects(480, 640).to_text(),
        Objects(10, 10, (Box("red", (0.25, 0.5, 0.75, 1.0)),)).to_text(),
    ]
    names = [["red", "white cell"], [], ["red"]]
    metadata = tft.DatasetMetadata.from_feature_spec(
        {"boxes": tf.io.FixedLenFeature([1], tf.string), "label": tf.io.VarLenFeature(tf.string)}
    )
    rows = [{"boxes": [text], "label": labels} for text, labels in zip(texts, names, strict=True)]
    task = TRANSFORM_TASKS["detection"]
    with tft_beam.Context(temp_dir=str(tmp_path), force_tf_compat_v1=False):
        (found, _), _ = (rows, metadata) | tft_beam.AnalyzeAndTransformDataset(lambda raw: task.transform(raw, {}))
    first, nothing, third = (list(row["boxes"]) for row in found)
    assert first == pytest.approx([0.1, 0.2, 0.3, 0.4, 1, 0, 0, 0, 1, 1, 0, 1])
    assert nothing == []
    assert third == pytest.approx([0.25, 0.5, 0.75, 1.0, 0, 0])
    assert [sorted(row["label_index"]) for row in found] == [[0, 1], [], [0]]


def test_the_head_takes_maps_from_inside_the_backbone():
    config = BackboneConfig(name="MobileNetV2", weights="random", image_size=96, arguments={"alpha": 0.35})
    backbone, model = build_network(config, TrainingConfig(), 3, TASKS["detection"].head())
    assert model.output_shape == (None, 12, 12, 7)
    assert [layer.name for layer in backbone.layers if "Conv1" in layer.name]
    output = model(np.zeros((2, 96, 96, 3), np.float32))
    assert float(tf.reduce_max(output[..., :3])) < 0.05, "before it has learned anything, a place is seldom a centre"
    served = TASKS["detection"].decode(output, tf.constant(["a", "b", "c"]), {"thresholds": [0.5] * 3})
    assert served["labels"].shape == [2, MOST_BOXES]


def test_a_backbone_without_such_maps_is_named():
    config = BackboneConfig(name="SmallCNN", weights="random", image_size=32)
    with pytest.raises(BackboneError, match=r"has no feature map of 32 .*boxes are found on maps of 32, 16, 8"):
        build_network(config, TrainingConfig(), 2, TASKS["detection"].head())
