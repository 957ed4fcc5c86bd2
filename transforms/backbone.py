"""The record of a backbone: what Transform, the network's input and the freeze groups follow from.

No TensorFlow here: reading a config, printing a plan and listing the catalogue must stay quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune.config.backbone import Pooling, Scaling


@dataclass(frozen=True)
class Backbone:
    """What a backbone expects of its input."""

    name: str  # The name that a config uses, or the path or URL that the network comes from.
    # Height and width in pixels at which the published weights were trained, or that the config wants; 0 where no
    # picture goes in.
    image_size: int = 0
    # How pixels in [0, 255] become the network's input: `none` leaves them (the network rescales by itself);
    # `zero_to_one` maps to [0, 1], as TF Hub's common signature for images has it; `minus_one_to_one` maps to [-1, 1];
    # `imagenet_bgr_mean` swaps to BGR and subtracts the ImageNet mean; `imagenet_mean_std` maps to [0, 1] and
    # standardises each channel. They are the modes `tf`, `caffe` and `torch` of
    # `keras.applications.imagenet_utils.preprocess_input`.
    scaling: Scaling = "none"
    family: str = ""  # Submodule of `tf.keras.applications` with the family's own `preprocess_input`; empty for others.
    has_imagenet_weights: bool = False  # Whether `weights: imagenet` names something.
    min_size: int = 8  # Smallest height and width that the network can be built for.
    licence: str = ""  # Of the ImageNet weights, as Keras documents it; empty where nothing is stated.
    arguments: tuple[str, ...] = ()  # Those of the constructor that `backbone.arguments` may set.
    modality: str = "image"  # Key of `transforms.modalities.MODALITIES`: what it is shown.
    # Of other modalities than pictures, what Transform depends on, in JSON's types; the modality says which keys there
    # are.
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    # Key of `trainer_module.search.candidates.CANDIDATES`, by which `training.strategy: auto` knows what to try; empty
    # where that is the modality.
    own_kind: str = ""

    gives_vector: bool = False  # Whether its features are known to have no places.
    # How the vectors of word pieces become one, of encoders whose last layer does that; None for others.
    pooling: Pooling | None = None
    # Of a network that is made of two, the record of each by what it is shown.
    sides: Mapping[str, Backbone] = field(default_factory=dict)

    # Keys of the section `augmentation` that its modality has, and that spoil what it takes.
    spoiled_by: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Returns what the strategy `auto` goes by."""
        return self.own_kind or self.modality
