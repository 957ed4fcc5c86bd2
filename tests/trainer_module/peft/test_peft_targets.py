"""Which kernels LoRA is put on, and what the config may say of it. No TensorFlow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from finetune.config import PeftConfig, TrainingConfig
from finetune.errors import BackboneError
from trainer_module.peft.targets import Kernel, chosen

STEM = Kernel("stem/kernel", "stem", "conv", (3, 3, 3, 16), 3)
EXPAND = Kernel("block1_expand/kernel", "block1_expand", "pointwise", (1, 1, 16, 96), 3)
DEPTHWISE = Kernel("block1_dw/depthwise_kernel", "block1_dw", "depthwise", (3, 3, 96, 1), 2)
PROJECT = Kernel("block1_project/kernel", "block1_project", "pointwise", (1, 1, 96, 24), 3)
QUERY = Kernel("attention/query/kernel", "attention", "attention", (24, 2, 12), 1)
TOP = Kernel("top/kernel", "top", "dense", (24, 128), 1)
KERNELS = [STEM, EXPAND, DEPTHWISE, PROJECT, QUERY, TOP]


def test_a_kernel_is_the_matrix_of_what_is_summed_over_and_what_is_given():
    assert [each.matrix for each in KERNELS] == [(27, 16), (16, 96), (9, 96), (96, 24), (24, 24), (24, 128)]
    assert TOP.size(4) == 4 * (24 + 128)
    assert DEPTHWISE.size(16) == 9 * (9 + 96), "no rank above the kernel's own"


def test_by_default_they_are_taken_from_the_output_down_while_they_stay_under_a_hundredth():
    sizes = [each.size(2) for each in (TOP, QUERY, PROJECT, EXPAND)]
    three = sum(sizes[:3])
    assert chosen(KERNELS, PeftConfig(rank=2), 100 * (three + 1)) == [PROJECT, QUERY, TOP]
    assert chosen(KERNELS, PeftConfig(rank=2), 100 * three) == [QUERY, TOP], "a hundredth itself is too much"
    assert chosen(KERNELS, PeftConfig(rank=2), 10**9) == [EXPAND, PROJECT, QUERY, TOP]


def test_one_that_does_not_fit_ends_it_so_that_nothing_below_has_to_run_again():
    large = Kernel("large/kernel", "large", "dense", (10_000, 10_000), 1)
    assert chosen([EXPAND, large, TOP], PeftConfig(rank=2), 100 * (TOP.size(2) + EXPAND.size(2) + 1)) == [TOP]


def test_named_targets_are_all_taken():
    assert chosen(KERNELS, PeftConfig(targets=["conv", "depthwise"]), 1) == [STEM, DEPTHWISE]
    assert chosen(KERNELS, PeftConfig(targets="attention"), 1) == [QUERY]
    assert chosen(KERNELS, PeftConfig(targets="^block1_(expand|project)/"), 1) == [EXPAND, PROJECT]


@pytest.mark.parametrize(
    ("kernels", "peft", "words"),
    [
        ([], {}, "training.peft.method: got 'lora'; this backbone has no kernel that may train"),
        (KERNELS, {"targets": "blok"}, "got 'blok', which no kernel of the backbone is or matches"),
        ([TOP], {"targets": ["conv"]}, "it has dense kernels, such as 'top/kernel'"),
        ([STEM], {}, "Expected some of conv"),
        (
            [replace(STEM, kind="variable")],
            {},
            "targets: got None; the graph .* by name alone; .* such as 'stem/kernel'",
        ),
        ([replace(STEM, kind="variable")], {"targets": ["conv"]}, "targets: got .'conv'.; the graph of a SavedModel"),
        (KERNELS, {"rank": 24}, "update of top/kernel takes 3,648 parameters; expected less than 1% of .* 100"),
    ],
)
def test_a_backbone_without_such_kernels_is_refused_in_words(kernels, peft, words):
    with pytest.raises(BackboneError, match=words):
        chosen(kernels, PeftConfig(**peft), 10_000)


def test_a_method_alone_is_enough_and_the_scale_follows_the_rank():
    training = TrainingConfig(peft="lora")
    assert training.peft == PeftConfig(method="lora", rank=4)
    assert training.batch_norm == "frozen"
    assert [PeftConfig(rank=rank).scale for rank in (1, 8)] == [2.0, 2.0]
    assert PeftConfig(rank=8, alpha=4).scale == 0.5
    assert TrainingConfig(peft="norm").batch_norm == "train_affine_only"
    assert TrainingConfig.model_validate(training.model_dump(mode="json")) == training


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"peft": {"targets": ["dense", "pointwize"]}}, "got 'pointwize'.*Did you mean 'pointwise'"),
        ({"peft": {"targets": []}}, "got none; expected some of dense"),
        ({"peft": {"targets": "("}}, "expected kinds of kernels, or a regular expression"),
        ({"peft": {"method": "bitfit", "rank": 8}}, "rank: expected with method `lora` alone, got 'bitfit'"),
        ({"peft": "lora", "batch_norm": "train"}, "batch_norm: got 'train'.*expected frozen or train_affine_only"),
        ({"peft": "lora", "strategy": "linear_probe"}, "peft: no phase unfreezes anything"),
    ],
)
def test_what_does_not_go_together_is_refused(training, words):
    with pytest.raises(ValidationError, match=words):
        TrainingConfig(**training)
