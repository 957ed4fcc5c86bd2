"""The contract of `Modality`, which every entry of `MODALITIES` keeps. Imports TensorFlow."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from finetune.config import AugmentationConfig, BackboneConfig, TrainingConfig
from trainer_module.backbones.model import build_network
from trainer_module.backbones.sources import record_of
from trainer_module.modalities import MODALITIES
from transforms.inputs import NetworkInput

# Everything per example, strongly.
CHANGES = AugmentationConfig(
    horizontal_flip=True,
    random_resized_crop=0.3,
    rotation=0.3,
    zoom=0.3,
    shift=0.3,
    brightness=0.3,
    contrast=0.3,
    saturation=0.3,
    trivial_augment=True,
    random_erasing=1.0,
    word_dropout=0.5,
    time_shift=0.3,
    gain_db=6,
    noise=0.3,
    time_mask=2,
    band_mask=2,
)


def check_modality(config: BackboneConfig, value: tf.Tensor | None, batch: NetworkInput) -> None:
    """Holds the modality of a backbone against what the Trainer relies on.

    Args:
        config: Of a small backbone of the modality.
        value: One example as `Inputs.read` gives it; None where it is several tensors by name.
        batch: Two or more examples, as `Inputs.read_batch` gives them.

    Raises:
        AssertionError: The modality breaks the contract; the message says how.
    """
    name = record_of(config).modality
    modality = MODALITIES[name]
    backbone, model = build_network(config, TrainingConfig(), classes=3)
    given = tf.nest.map_structure(lambda tensor: tensor.dtype.name, batch)
    taken = tf.nest.map_structure(lambda tensor: tensor.dtype.name, model.input)
    assert given == taken, f"{name}: the network takes {taken}, and is given {given}"
    probabilities = model(batch, training=False).numpy()
    assert probabilities.shape == (len(tf.nest.flatten(batch)[0]), 3), f"{name}: one row of classes an example"
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5, err_msg=f"{name}: probabilities")

    rank = len(backbone.output_shape)
    if rank > 2:
        pooled = modality.pool(backbone.output, "pool")
        assert len(pooled.shape) == 2, f"{name} pools features of {rank} axes to {len(pooled.shape)}"

    if value is None:
        return
    unknown = modality.augments - set(AugmentationConfig.model_fields)
    assert not unknown, f"{name}: `augmentation` has no key {', '.join(sorted(unknown))}"
    seeds = [tf.constant([1, seed], tf.int64) for seed in (1, *range(1, 9))]
    one, again, *others = (modality.augment(value, seed, CHANGES) for seed in seeds)
    assert np.array_equal(one, again), f"{name}: the same seed makes different changes"
    changes = any(not np.array_equal(one, other) for other in others)
    told = "changes" if changes else "does not change"
    assert changes == bool(modality.augments), f"{name} {told} examples at random"
    assert one.shape == value.shape, f"{name}: augmentation changes the shape {value.shape} to {one.shape}"
