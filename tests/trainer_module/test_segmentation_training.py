"""Masks in training: what they are read from, how they move with pictures, what is learned of them and decoded."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from finetune.config import AugmentationConfig, BackboneConfig, TrainingConfig  # noqa: E402
from finetune.errors import BackboneError  # noqa: E402
from trainer_module.backbones.model import build_network  # noqa: E402
from trainer_module.examples.augmentation import augment, moved_mask  # noqa: E402
from trainer_module.segmentation.losses import losses, overlaps  # noqa: E402
from trainer_module.tasks import TASKS  # noqa: E402
from transforms.masks import VOID, to_png  # noqa: E402
from transforms.tasks import TASKS as TRANSFORM_TASKS  # noqa: E402

pytestmark = pytest.mark.by_test_current

CLASSES = 3


def masks(*rows: list[list[int]]) -> tf.Tensor:
    return tf.constant(np.array(rows, np.uint8))


def sure_of(found: tf.Tensor, probability: float = 0.98) -> tf.Tensor:
    rest = (1 - probability) / (CLASSES - 1)
    return tf.one_hot(tf.cast(found, tf.int32), CLASSES, probability, rest)


TRUTH = masks([[0, 0, 1], [0, 1, 1]], [[2, 2, 2], [2, 2, 0]])


def test_what_knows_the_masks_has_a_small_loss_and_one_that_knows_nothing_a_large_one():
    unsure = tf.fill([2, 2, 3, CLASSES], 1 / CLASSES)
    known, unknown = losses(TRUTH, sure_of(TRUTH)), losses(TRUTH, unsure)
    assert known.shape == [2]
    assert (known < 0.1 * unknown).numpy().all()
    # Cross-entropy of a third, and Dice of two classes: each has 2 * n / 3 hits of n + 6 / 3.
    dice = np.mean([2 * n / 3 / (n + 2) for n in (3, 3)])
    assert float(unknown[0]) == pytest.approx(np.log(3) + 1 - dice, rel=1e-5)
    assert overlaps(TRUTH, sure_of(TRUTH)).numpy().tolist() == [1, 1]


def test_overlaps_are_means_over_classes_that_are_there_or_said():
    said = masks([[0, 0, 0], [0, 1, 1]], [[2, 2, 2], [2, 2, 1]])
    first, second = overlaps(TRUTH, sure_of(said)).numpy()
    assert first == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert second == pytest.approx((5 / 5 + 0 + 0) / 3)


def test_void_pixels_are_neither_learned_nor_counted():
    void = masks([[0, 0, VOID], [0, 1, VOID]])
    one, other = sure_of(masks([[0, 0, 1], [0, 1, 1]])), sure_of(masks([[0, 0, 2], [0, 1, 0]]))
    np.testing.assert_allclose(losses(void, one), losses(void, other))
    assert float(overlaps(void, other)[0]) == 1
    nothing = masks([[VOID] * 3] * 2)
    assert (float(losses(nothing, one)[0]), float(overlaps(nothing, one)[0])) == (0, 1)


def test_probabilities_of_zero_have_a_finite_loss_and_slope():
    output = tf.Variable(sure_of(masks([[1, 1, 0], [1, 0, 0]]), 1.0))
    with tf.GradientTape() as tape:
        loss = losses(TRUTH[:1], output)
    assert np.isfinite(loss).all()
    assert np.isfinite(tape.gradient(loss, output)).all()


@pytest.mark.parametrize("seed", range(8))
def test_masks_move_with_what_is_in_pictures(seed):
    """What is bright in a picture is of class 1, after it was cropped, turned, shifted and mirrored."""
    size = 64
    picture = np.zeros((size, size, 3), np.uint8)
    picture[16:40, 20:52] = 255
    mask = (picture[..., 0] > 0).astype(np.uint8)
    config = AugmentationConfig(horizontal_flip=True, random_resized_crop=0.5, rotation=0.1, shift=0.1, zoom=0.1)
    key = tf.constant([seed, 3], tf.int64)
    bright = augment(tf.constant(picture), key, config).numpy()[..., 0] > 127
    found = moved_mask(tf.constant(mask), key, config, size, size).numpy()
    told = found != VOID
    assert told.mean() > 0.5
    assert (bright[told] == (found[told] == 1)).mean() > 0.995
    same = moved_mask(tf.constant(mask), key, AugmentationConfig(brightness=0.5), size, size)
    assert (same.numpy() == mask).all()


def test_masks_are_read_from_pngs_and_speak_of_the_columns_of_classes(tmp_path):
    import tensorflow_transform as tft
    import tensorflow_transform.beam as tft_beam

    metadata = tft.DatasetMetadata.from_feature_spec(
        {"mask": tf.io.FixedLenFeature([1], tf.string), "label": tf.io.VarLenFeature(tf.string)}
    )
    drawn = [
        (np.array([[0, 1, 1, VOID]] * 2, np.uint8), ["field", "tree"]),
        (np.zeros((4, 4), np.uint8), ["tree"]),
        (np.array([[0, 0], [1, 2]], np.uint8), ["apple", "field", "tree"]),
        (np.zeros((1, 1), np.uint8), ["tree"]),
    ]
    rows = [{"mask": [to_png(mask)], "label": names} for mask, names in drawn]
    task = TRANSFORM_TASKS["segmentation"]
    with tft_beam.Context(temp_dir=str(tmp_path), force_tf_compat_v1=False):
        (found, _), _ = (rows, metadata) | tft_beam.AnalyzeAndTransformDataset(
            lambda raw: task.transform(raw, {"image_size": 4})
        )
    # The most frequent class first: tree, field, apple.
    read = []
    for row in found:
        index = np.array(row["label_index"], np.int64)
        sparse = tf.SparseTensor(np.arange(len(index))[:, np.newaxis], index, [len(index)])
        read.append(task.read({"label_index": sparse, "mask": tf.constant(row["mask"])}, 3).numpy())
    assert read[0].tolist() == [[1, 0, 0, VOID]] * 4
    assert (read[1] == 0).all()
    assert read[2].tolist() == [[2, 2, 2, 2], [2, 2, 2, 2], [1, 1, 0, 0], [1, 1, 0, 0]]


def test_a_class_that_train_does_not_have_is_void():
    sparse = tf.SparseTensor([[0], [1]], tf.constant([-1, 0], tf.int64), [2])
    mask = tf.io.serialize_tensor(tf.constant([[0, 1]], tf.uint8))
    read = TRANSFORM_TASKS["segmentation"].read({"label_index": sparse, "mask": mask}, 1)
    assert read.numpy().tolist() == [[VOID, 0]]


def test_the_head_takes_maps_from_inside_the_backbone_and_gives_every_pixel_a_class():
    config = BackboneConfig(name="MobileNetV2", weights="random", image_size=96, arguments={"alpha": 0.35})
    task = TASKS["segmentation"]
    _, model = build_network(config, TrainingConfig(), 3, task.head())
    assert model.output_shape == (None, 96, 96, 3)
    output = model(np.random.default_rng(1).integers(0, 255, (2, 96, 96, 3)).astype(np.float32))
    np.testing.assert_allclose(tf.reduce_sum(output, axis=-1), 1.0, rtol=1e-5)
    served = task.decode(output, tf.constant(["a", "b", "c"]), {})
    assert served["mask"].shape == [2, 96, 96]
    assert served["mask"].dtype == tf.uint8
    there = [sorted(set(mask.ravel().tolist())) for mask in served["mask"].numpy()]
    assert [np.flatnonzero(row).tolist() for row in served["predicted"].numpy()] == there
    assert task.probabilities(output).shape == [2, 3]


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("SmallCNN", 32, r"has no feature map of 32 .*masks are found on maps of 32, 16, 8, 4"),
        ("MobileNetV2", 112, r"backbone.image_size: got 112; .* Expected a multiple of that, such as 128"),
    ],
)
def test_a_backbone_or_a_size_that_masks_cannot_be_made_of_is_named(name, size, message):
    config = BackboneConfig(name=name, weights="random", image_size=size)
    with pytest.raises(BackboneError, match=message):
        build_network(config, TrainingConfig(), 2, TASKS["segmentation"].head())
