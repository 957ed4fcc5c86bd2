"""What `finetune plan --layers` says of a backbone."""

from __future__ import annotations

import pytest

from finetune.config import BackboneConfig, Config, HeadConfig, PeftConfig, PhaseConfig, TrainingConfig
from finetune.errors import BackboneError

pytest.importorskip("tensorflow")


def config_of(*unfreezes) -> Config:
    phases = [
        PhaseConfig(name=f"p{index}", epochs=1, learning_rate=1, unfreeze=unfreeze)
        for index, unfreeze in enumerate(unfreezes)
    ]
    training = TrainingConfig(phases=phases, head=HeadConfig(units=[10]))
    backbone = BackboneConfig(name="SmallCNN", weights="random", image_size=8)
    return Config(name="x", data={"root": "."}, backbone=backbone, training=training)


def test_each_phase_says_which_layers_train_and_how_many_parameters_they_have():
    from finetune_cli.layer_plan import layer_plan

    config = config_of("none", {"last_blocks": 1}, {"variables": "block1_conv_b"})
    nothing, block, one = layer_plan(config, config.training.phases)
    assert (nothing.layers, nothing.backbone) == ({}, 0)
    # Kernels of 3 x 3 from 32 to 64 and from 64 to 64 channels; BatchNorm is frozen, and the other layers have none.
    assert block.layers == {"block3": ["block3_conv_a", "block3_conv_b"]}
    assert block.backbone == 9 * 32 * 64 + 9 * 64 * 64
    assert (one.layers, one.backbone) == ({"block1": ["block1_conv_b"]}, 9 * 16 * 16)
    assert {(plan.head, plan.per_class) for plan in (nothing, block, one)} == {(64 * 10 + 10, 10 + 1)}


def test_with_peft_it_counts_what_trains_of_each_phase():
    from finetune_cli.layer_plan import layer_plan

    config = config_of("none", "all")
    lora = config.training.model_copy(update={"peft": PeftConfig(rank=2, targets="block3_conv_b/")})
    nothing, updates = layer_plan(config.model_copy(update={"training": lora}), lora.phases)
    assert (nothing.layers, nothing.backbone) == ({}, 0)
    assert updates.layers == {"block3": ["block3_conv_b"]}
    assert updates.backbone == 2 * (9 * 64 + 64)


def test_a_layer_that_is_not_there_is_told():
    from finetune_cli.layer_plan import layer_plan

    config = config_of({"from_layer": "block9"})
    with pytest.raises(BackboneError, match="Did you mean 'block3'"):
        layer_plan(config, config.training.phases)
