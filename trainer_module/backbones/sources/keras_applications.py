"""The networks of `tf.keras.applications`, with the weights that a config names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune.config.backbone import BackboneConfig, Scaling
from finetune.digests import check_sha256
from finetune.errors import BackboneError
from trainer_module.backbones.source import NamedSource
from transforms.backbone import Backbone

if TYPE_CHECKING:
    import tf_keras as keras


def _family(family: str, scaling: Scaling, sizes: dict[str, int], licence: str = "", **facts: Any) -> list[Backbone]:
    facts = {"min_size": 32, **facts}
    return [
        Backbone(name, size, scaling, family, has_imagenet_weights=True, licence=licence, **facts)
        for name, size in sizes.items()
    ]


_RECORDS: list[Backbone] = [
    *_family("xception", "minus_one_to_one", {"Xception": 299}, licence="MIT", min_size=71),
    *_family("vgg16", "imagenet_bgr_mean", {"VGG16": 224}, licence="CC-BY-4.0"),
    *_family("vgg19", "imagenet_bgr_mean", {"VGG19": 224}, licence="CC-BY-4.0"),
    *_family("resnet", "imagenet_bgr_mean", {"ResNet50": 224, "ResNet101": 224, "ResNet152": 224}, licence="MIT"),
    *_family(
        "resnet_v2",
        "minus_one_to_one",
        {"ResNet50V2": 224, "ResNet101V2": 224, "ResNet152V2": 224},
        licence="BSD-3-Clause",
    ),
    *_family("resnet_rs", "none", {f"ResNetRS{n}": 224 for n in (50, 101, 152, 200, 270, 350, 420)}),
    *_family("inception_v3", "minus_one_to_one", {"InceptionV3": 299}, licence="Apache-2.0", min_size=75),
    *_family("inception_resnet_v2", "minus_one_to_one", {"InceptionResNetV2": 299}, licence="Apache-2.0", min_size=75),
    *_family(
        "mobilenet",
        "minus_one_to_one",
        {"MobileNet": 224},
        licence="Apache-2.0",
        arguments=("alpha", "depth_multiplier", "dropout"),
    ),
    *_family("mobilenet_v2", "minus_one_to_one", {"MobileNetV2": 224}, licence="Apache-2.0", arguments=("alpha",)),
    *_family(
        "mobilenet_v3",
        "none",
        {"MobileNetV3Small": 224, "MobileNetV3Large": 224},
        arguments=("alpha", "minimalistic", "dropout_rate"),
    ),
    *_family(
        "densenet",
        "imagenet_mean_std",
        {"DenseNet121": 224, "DenseNet169": 224, "DenseNet201": 224},
        licence="BSD-3-Clause",
    ),
    *_family("nasnet", "minus_one_to_one", {"NASNetMobile": 224, "NASNetLarge": 331}, licence="Apache-2.0"),
    *_family(
        "efficientnet",
        "none",
        {f"EfficientNetB{n}": size for n, size in enumerate((224, 240, 260, 300, 380, 456, 528, 600))},
    ),
    *_family(
        "efficientnet_v2",
        "none",
        {f"EfficientNetV2B{n}": size for n, size in enumerate((224, 240, 260, 300))}
        | {"EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480},
    ),
    *_family("convnext", "none", {f"ConvNeXt{s}": 224 for s in ("Tiny", "Small", "Base", "Large", "XLarge")}),
    *_family(
        "regnet",
        "none",
        {
            f"RegNet{kind}{width}": 224
            for kind in ("X", "Y")
            for width in ("002", "004", "006", "008", "016", "032", "040", "064", "080", "120", "160", "320")
        },
    ),
]


class KerasApplications(NamedSource):
    """Networks that Keras builds, and whose ImageNet weights it downloads."""

    name = "Keras applications"
    records = {record.name: record for record in _RECORDS}

    def build(self, config: BackboneConfig) -> tuple[keras.Model, str | None]:
        """Builds a network without its top: pixels in the range of its record to a feature map."""
        from trainer_module.backbones.weights_file import with_weights

        record = self.record(config)
        if config.weights == "imagenet":
            backbone, path = _with_imagenet_weights(record, config.arguments)
            return backbone, check_sha256(path, config.sha256)
        return with_weights(_network(record, config.arguments), config)


def _network(record: Backbone, arguments: dict[str, Any], weights: str | None = None) -> keras.Model:
    import tensorflow as tf
    import tf_keras as keras

    arguments = {"include_top": False, "input_shape": (record.image_size, record.image_size, 3), **arguments}
    constructor = getattr(keras.applications, record.name)
    try:
        # Keras' layers are no library to AutoGraph, which would rewrite each: half of the time that it takes to build.
        return tf.autograph.experimental.do_not_convert(constructor)(weights=weights, **arguments)
    except TypeError as error:
        raise BackboneError(f"backbone.arguments: got {arguments}; {record.name} says: {error}") from None
    except ValueError as error:
        raise BackboneError(f"backbone: {record.name} with {arguments} cannot be built: {error}") from None


def _with_imagenet_weights(record: Backbone, arguments: dict[str, Any]) -> tuple[keras.Model, Path]:
    """Has Keras download the weights, unless its cache has them; returns the network, and where its weights are."""
    from tf_keras.src.utils import data_utils

    fetched: list[str] = []
    get_file = data_utils.get_file

    def recorded(*args: Any, **kwargs: Any) -> str:
        fetched.append(get_file(*args, **kwargs))
        return fetched[-1]

    # Only a constructor of Keras knows the name of its file, and it tells nobody but this function.
    data_utils.get_file = recorded
    try:
        network = _network(record, arguments, weights="imagenet")
    except Exception as error:
        raise BackboneError(
            f"backbone.weights: imagenet weights of {record.name} with {arguments} could not be had: {error}\n"
            "They are downloaded once and kept in ~/.keras/models. Without a network, copy the file there, or give "
            "its path as backbone.weights."
        ) from error
    finally:
        data_utils.get_file = get_file
    return network, Path(fetched[-1])
