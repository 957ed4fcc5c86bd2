"""One record per backbone. The Transform graph, the model's input and the freeze groups all follow from it.

No TensorFlow here: reading a config, printing a plan and listing the catalogue must stay quick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.errors import BackboneError, did_you_mean

Modality = Literal["image", "text"]
Scaling = Literal["none", "minus_one_to_one", "imagenet_bgr_mean", "imagenet_mean_std"]

KERAS_APPLICATIONS = "tf.keras.applications"
OWN = "trainer_module.small_cnn"
WORD_VECTORS = "trainer_module.word_vectors"


@dataclass(frozen=True)
class Backbone:
    """What a backbone expects of its input and where its layers come from.

    Attributes:
        name: The name that a config uses; for Keras applications, the name of the constructor.
        source: `tf.keras.applications`, or the module of ours that builds the network.
        family: Submodule of `tf.keras.applications` that holds the family's own `preprocess_input`.
        image_size: Height and width in pixels that the published weights were trained at; 0 for texts.
        scaling: How pixels in [0, 255] become the network's input:
            `none` leaves them (the network rescales by itself); `minus_one_to_one` maps to [-1, 1];
            `imagenet_bgr_mean` swaps to BGR and subtracts the ImageNet mean; `imagenet_mean_std` maps to [0, 1] and
            standardises each channel. They are the modes `tf`, `caffe` and `torch` of
            `keras.applications.imagenet_utils.preprocess_input`.
        has_imagenet_weights: Whether `weights: imagenet` names something.
        modality: What it is shown.
    """

    name: str
    source: str
    family: str
    image_size: int
    scaling: Scaling
    has_imagenet_weights: bool = True
    modality: Modality = "image"


def _family(family: str, scaling: Scaling, sizes: dict[str, int]) -> list[Backbone]:
    return [Backbone(name, KERAS_APPLICATIONS, family, size, scaling) for name, size in sizes.items()]


_RECORDS: list[Backbone] = [
    Backbone("GloVe", WORD_VECTORS, "", 0, "none", has_imagenet_weights=False, modality="text"),
    Backbone("SmallCNN", OWN, "", 32, "minus_one_to_one", has_imagenet_weights=False),
    *_family("xception", "minus_one_to_one", {"Xception": 299}),
    *_family("vgg16", "imagenet_bgr_mean", {"VGG16": 224}),
    *_family("vgg19", "imagenet_bgr_mean", {"VGG19": 224}),
    *_family("resnet", "imagenet_bgr_mean", {"ResNet50": 224, "ResNet101": 224, "ResNet152": 224}),
    *_family("resnet_v2", "minus_one_to_one", {"ResNet50V2": 224, "ResNet101V2": 224, "ResNet152V2": 224}),
    *_family("resnet_rs", "none", {f"ResNetRS{n}": 224 for n in (50, 101, 152, 200, 270, 350, 420)}),
    *_family("inception_v3", "minus_one_to_one", {"InceptionV3": 299}),
    *_family("inception_resnet_v2", "minus_one_to_one", {"InceptionResNetV2": 299}),
    *_family("mobilenet", "minus_one_to_one", {"MobileNet": 224}),
    *_family("mobilenet_v2", "minus_one_to_one", {"MobileNetV2": 224}),
    *_family("mobilenet_v3", "none", {"MobileNetV3Small": 224, "MobileNetV3Large": 224}),
    *_family("densenet", "imagenet_mean_std", {"DenseNet121": 224, "DenseNet169": 224, "DenseNet201": 224}),
    *_family("nasnet", "minus_one_to_one", {"NASNetMobile": 224, "NASNetLarge": 331}),
    *_family(
        "efficientnet",
        "none",
        {f"EfficientNetB{n}": size for n, size in enumerate((224, 240, 260, 300, 380, 456, 528, 600))},
    ),
    *_family(
        "efficientnet_v2",
        "none",
        {
            "EfficientNetV2B0": 224,
            "EfficientNetV2B1": 240,
            "EfficientNetV2B2": 260,
            "EfficientNetV2B3": 300,
            "EfficientNetV2S": 384,
            "EfficientNetV2M": 480,
            "EfficientNetV2L": 480,
        },
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

BACKBONES: dict[str, Backbone] = {record.name: record for record in _RECORDS}


def backbone_record(name: str) -> Backbone:
    """Returns the record called `name`; case and underscores do not matter (`mobilenet_v2` is `MobileNetV2`).

    Raises:
        BackboneError: No backbone has that name; the message names the nearest one.
    """
    by_folded = {_fold(known): record for known, record in BACKBONES.items()}
    record = by_folded.get(_fold(name))
    if record is None:
        raise BackboneError(
            f"got {name!r}; expected one of the {len(BACKBONES)} backbones that `finetune backbones` lists."
            + did_you_mean(name.replace("_", ""), BACKBONES)
        )
    return record


def _fold(name: str) -> str:
    return name.replace("_", "").casefold()
