"""The catalogue without TensorFlow."""

from __future__ import annotations

import pytest

from finetune.errors import BackboneError
from trainer_module.backbones.sources import backbone_record, catalogue


@pytest.mark.parametrize("name", ["MobileNetV2", "mobilenet_v2", "MOBILENETV2", "mobile_net_v2"])
def test_case_and_underscores_do_not_matter(name):
    assert backbone_record(name).name == "MobileNetV2"


def test_names_do_not_clash_when_folded():
    assert len({name.replace("_", "").casefold() for name in catalogue()}) == len(catalogue())


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(BackboneError, match="Did you mean 'EfficientNetB0'"):
        backbone_record("efficientnet_b00")
