"""One record per backbone. The Transform graph, the model's input and the freeze groups all follow from it.

No TensorFlow here: reading a config, printing a plan and listing the catalogue must stay quick.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from finetune.config.backbone import BackboneConfig, Modality, Scaling
from finetune.errors import BackboneError, did_you_mean

KERAS_APPLICATIONS = "tf.keras.applications"
OWN = "trainer_module.backbones.small_cnn"
HUB = "tensorflow_hub"
KERAS_FILE = "Keras file"
WORD_VECTORS = "trainer_module.backbones.word_vectors"


@dataclass(frozen=True)
class Backbone:
    """What a backbone expects of its input and where its layers come from.

    Attributes:
        name: The name that a config uses; for Keras applications, the name of the constructor.
        source: `tf.keras.applications`, the module of ours that builds the network, `tensorflow_hub` or `Keras file`.
        family: Submodule of `tf.keras.applications` that holds the family's own `preprocess_input`.
        image_size: Height and width in pixels that the published weights were trained at; 0 for texts.
        scaling: How pixels in [0, 255] become the network's input:
            `none` leaves them (the network rescales by itself); `zero_to_one` maps to [0, 1], as TF Hub's common
            signature for images has it; `minus_one_to_one` maps to [-1, 1];
            `imagenet_bgr_mean` swaps to BGR and subtracts the ImageNet mean; `imagenet_mean_std` maps to [0, 1] and
            standardises each channel. They are the modes `tf`, `caffe` and `torch` of
            `keras.applications.imagenet_utils.preprocess_input`.
        has_imagenet_weights: Whether `weights: imagenet` names something.
        min_size: Smallest height and width that the network can be built for.
        licence: Of the ImageNet weights, as Keras documents it; empty where nothing is stated.
        modality: What it is shown.
    """

    name: str
    source: str
    family: str
    image_size: int
    scaling: Scaling
    has_imagenet_weights: bool = True
    min_size: int = 8
    licence: str = ""
    modality: Modality = "image"


def _family(
    family: str, scaling: Scaling, sizes: dict[str, int], licence: str = "", min_size: int = 32
) -> list[Backbone]:
    return [
        Backbone(name, KERAS_APPLICATIONS, family, size, scaling, min_size=min_size, licence=licence)
        for name, size in sizes.items()
    ]


_RECORDS: list[Backbone] = [
    Backbone("GloVe", WORD_VECTORS, "", 0, "none", has_imagenet_weights=False, modality="text"),
    Backbone("SmallCNN", OWN, "", 32, "minus_one_to_one", has_imagenet_weights=False),
    *_family("xception", "minus_one_to_one", {"Xception": 299}, "MIT", min_size=71),
    *_family("vgg16", "imagenet_bgr_mean", {"VGG16": 224}, "CC-BY-4.0"),
    *_family("vgg19", "imagenet_bgr_mean", {"VGG19": 224}, "CC-BY-4.0"),
    *_family("resnet", "imagenet_bgr_mean", {"ResNet50": 224, "ResNet101": 224, "ResNet152": 224}, "MIT"),
    *_family(
        "resnet_v2", "minus_one_to_one", {"ResNet50V2": 224, "ResNet101V2": 224, "ResNet152V2": 224}, "BSD-3-Clause"
    ),
    *_family("resnet_rs", "none", {f"ResNetRS{n}": 224 for n in (50, 101, 152, 200, 270, 350, 420)}),
    *_family("inception_v3", "minus_one_to_one", {"InceptionV3": 299}, "Apache-2.0", min_size=75),
    *_family("inception_resnet_v2", "minus_one_to_one", {"InceptionResNetV2": 299}, "Apache-2.0", min_size=75),
    *_family("mobilenet", "minus_one_to_one", {"MobileNet": 224}, "Apache-2.0"),
    *_family("mobilenet_v2", "minus_one_to_one", {"MobileNetV2": 224}, "Apache-2.0"),
    *_family("mobilenet_v3", "none", {"MobileNetV3Small": 224, "MobileNetV3Large": 224}),
    *_family(
        "densenet", "imagenet_mean_std", {"DenseNet121": 224, "DenseNet169": 224, "DenseNet201": 224}, "BSD-3-Clause"
    ),
    *_family("nasnet", "minus_one_to_one", {"NASNetMobile": 224, "NASNetLarge": 331}, "Apache-2.0"),
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


def record_of(config: BackboneConfig) -> Backbone:
    """Returns the record of the backbone that a config asks for, with the image size that the config wants.

    That of a `handle` or a `file` is made from what the config says of it.

    Raises:
        BackboneError: No backbone has that name.
    """
    if config.name:
        record = backbone_record(config.name)
        return replace(record, image_size=config.image_size or record.image_size)
    source, where = (HUB, config.handle) if config.handle else (KERAS_FILE, config.file)
    return Backbone(
        name=where.rstrip("/").rpartition("/")[-1] if source == KERAS_FILE else where,
        source=source,
        family="",
        image_size=config.image_size or 0,
        scaling=config.scaling or "zero_to_one",
        has_imagenet_weights=False,
        modality=config.modality,
    )


def origin_of(config: BackboneConfig) -> dict[str, str | None]:
    """What summaries and models say of their backbone: `name`, `source` and `licence` of its weights, where known."""
    record = record_of(config)
    licence = record.licence if config.weights == "imagenet" else ""
    return {"name": record.name, "source": config.source, "licence": licence or None}


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
