"""What is measured of a backbone that may be chosen."""

from __future__ import annotations

import tensorflow as tf
from small_training import make_splits, setup_of, training

from trainer_module.backbones.measure import measured


def test_a_backbone_is_timed_without_fused_kernels_and_leaves_them_on(tmp_path):
    before = tf.config.optimizer.get_experimental_options()
    seen = []
    setup = setup_of(make_splits(tmp_path), training(head={"start": "fitted"}, phases=[]), folder=str(tmp_path / "f"))
    layer = setup.model.layers[-1]
    call = layer.call

    def noted(*inputs, **options):
        seen.append(tf.config.optimizer.get_experimental_options().get("remapping", True))
        return call(*inputs, **options)

    layer.call = noted
    found = measured(setup)
    assert seen == [False], "the whole network runs once, traced, to be timed"
    assert tf.config.optimizer.get_experimental_options() == {"remapping": True, **before}
    assert found["latency_ms"] > 0
    assert found["size_mb"] == sum(4 * each.shape.num_elements() for each in setup.backbone.variables) / 1e6
