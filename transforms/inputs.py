"""What a network reads of a transformed example: for each modality, the features, and how they become its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import tensorflow as tf
import tensorflow_transform as tft

from finetune.config.backbone import AudioConfig
from transforms import features
from transforms.audio import log_mel_patches, parse_frames
from transforms.image import parse_pixels
from transforms.text import NO_WORD

# First byte of every serialised tf.Example that holds anything.
_EXAMPLE_MARK = b"\x0a"

# What the network takes: one tensor, or several by name.
NetworkInput: TypeAlias = tf.Tensor | dict[str, tf.Tensor]


class Inputs(Protocol):
    """The way from what Transform writes to what the network takes, the same in training and in serving."""

    @property
    def modality(self) -> str:
        """Key of the tables of modalities."""

    @property
    def raw(self) -> str:
        """Name of the raw feature that Transform makes it from."""

    def feature_spec(self) -> dict[str, tf.io.FixedLenFeature]:
        """How the transformed features of one example are parsed."""

    def read(self, parsed: Mapping[str, tf.Tensor]) -> NetworkInput:
        """Reads one parsed example, as it is before augmentation."""

    def finish(self, value: NetworkInput) -> NetworkInput:
        """Brings what `read` or augmentation returned into the network's type."""

    def length(self, example: Mapping[str, tf.train.Feature]) -> int:
        """Counts the words of a transformed example where short ones cost less; 0 where all cost the same."""

    def is_example(self, served: tf.Tensor) -> tf.Tensor:
        """Tells, for each string that is to be served, whether it is a serialised tf.Example: bool, same shape."""

    def read_batch(self, transformed: Mapping[str, tf.Tensor]) -> NetworkInput:
        """Reads a batch straight from Transform's outputs: `read` and `finish` of each example."""


@dataclass(frozen=True)
class ImageInputs:
    """Pictures: uint8 [size, size, 3] when read, float32 in [0, 255] when finished."""

    image_size: int  # Height and width in pixels.
    modality: str = "image"
    raw: str = features.IMAGE

    def feature_spec(self) -> dict[str, tf.io.FixedLenFeature]:
        """Pixels travel as one serialised tensor."""
        return {features.PIXELS: tf.io.FixedLenFeature([], tf.string)}

    def read(self, parsed: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns uint8 [size, size, 3]."""
        return parse_pixels(parsed[features.PIXELS], self.image_size)

    def finish(self, value: tf.Tensor) -> tf.Tensor:
        """Returns float32 of the same shape."""
        return tf.cast(value, tf.float32)

    def length(self, example: Mapping[str, tf.train.Feature]) -> int:
        return 0

    def is_example(self, served: tf.Tensor) -> tf.Tensor:
        """An example begins with field 1, a message; no image format begins with its mark."""
        return tf.strings.substr(served, 0, 1) == _EXAMPLE_MARK

    def read_batch(self, transformed: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns float32 [batch, size, size, 3]."""
        spec = tf.TensorSpec([self.image_size, self.image_size, 3], tf.uint8)
        return self.finish(
            tf.map_fn(
                lambda one: parse_pixels(one, self.image_size), transformed[features.PIXELS], fn_output_signature=spec
            )
        )


@dataclass(frozen=True)
class PatchInputs:
    """Sounds: magnitudes of mel bands, float32 [frames, bands], when read; log-mel patches when finished."""

    config: AudioConfig
    modality: str = "audio"
    raw: str = features.AUDIO

    def feature_spec(self) -> dict[str, tf.io.FixedLenFeature]:
        """Frames travel as one serialised tensor."""
        return {features.MEL: tf.io.FixedLenFeature([], tf.string)}

    def read(self, parsed: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns float32 [frames, bands]."""
        return parse_frames(parsed[features.MEL], self.config.bands)

    def finish(self, value: tf.Tensor) -> tf.Tensor:
        """Returns float32 [max_patches, patch_frames, bands], zeros where there is no patch."""
        return log_mel_patches(value, self.config)

    def length(self, example: Mapping[str, tf.train.Feature]) -> int:
        return 0

    def is_example(self, served: tf.Tensor) -> tf.Tensor:
        """An example begins with field 1, a message; no format of sound begins with its mark."""
        return tf.strings.substr(served, 0, 1) == _EXAMPLE_MARK

    def read_batch(self, transformed: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns float32 [batch, max_patches, patch_frames, bands]."""
        shape = [self.config.max_patches, self.config.patch_frames, self.config.bands]
        return tf.map_fn(
            lambda one: self.finish(parse_frames(one, self.config.bands)),
            transformed[features.MEL],
            fn_output_signature=tf.TensorSpec(shape, tf.float32),
        )


@dataclass(frozen=True)
class TensorInputs:
    """What Transform made, as it is: one tensor, such as ids of words or a clean text, or several by name."""

    spec: dict[str, tf.io.FixedLenFeature]  # Of the transformed features.
    modality: str
    raw: str

    def feature_spec(self) -> dict[str, tf.io.FixedLenFeature]:
        return self.spec

    def read(self, parsed: Mapping[str, tf.Tensor]) -> NetworkInput:
        """Returns the tensor, or those there are by name."""
        read = {name: parsed[name] for name in self.spec}
        return read if len(read) > 1 else read.popitem()[1]

    def finish(self, value: NetworkInput) -> NetworkInput:
        return value

    def length(self, example: Mapping[str, tf.train.Feature]) -> int:
        """Counts ids of pieces; what an encoder from elsewhere does with its inputs is not known."""
        ids = example[features.PIECE_IDS].int64_list.value if features.PIECE_IDS in self.spec else ()
        return sum(id_ != NO_WORD for id_ in ids)

    def is_example(self, served: tf.Tensor) -> tf.Tensor:
        """A text may begin with a line break, which is an example's mark: the feature's name as a key must follow.

        A key is the entry of a map: field 1, the name; field 2, its value.
        """
        # `\C` is any byte.
        return tf.strings.regex_full_match(served, rf"\n\C*\n\x{len(self.raw):02x}{self.raw}\x12\C*")

    def read_batch(self, transformed: Mapping[str, tf.Tensor]) -> NetworkInput:
        return self.read(transformed)


@dataclass(frozen=True)
class SideInputs:
    """Pictures with words: `image` and `text` as their own inputs have them, and `there`, int64 [2], by name."""

    image: Inputs
    text: Inputs
    there: dict[str, tf.io.FixedLenFeature]  # Of the feature that says which sides there are.
    modality: str = features.IMAGE_TEXT
    raw: str = features.IMAGE_TEXT

    def feature_spec(self) -> dict[str, tf.io.FixedLenFeature]:
        return {**self.image.feature_spec(), **self.text.feature_spec(), **self.there}

    def read(self, parsed: Mapping[str, tf.Tensor]) -> NetworkInput:
        return {
            features.IMAGE: self.image.read(parsed),
            features.TEXT: self.text.read(parsed),
            features.THERE: parsed[features.THERE],
        }

    def finish(self, value: NetworkInput) -> NetworkInput:
        sides = {features.IMAGE: self.image, features.TEXT: self.text}
        return {**value, **{side: inputs.finish(value[side]) for side, inputs in sides.items()}}

    def length(self, example: Mapping[str, tf.train.Feature]) -> int:
        return self.text.length(example)

    def is_example(self, served: tf.Tensor) -> tf.Tensor:
        """A raw value is a tf.Example itself, of the sides: the key of both together must be there."""
        return TensorInputs({}, self.modality, self.raw).is_example(served)

    def read_batch(self, transformed: Mapping[str, tf.Tensor]) -> NetworkInput:
        return {
            features.IMAGE: self.image.read_batch(transformed),
            features.TEXT: self.text.read_batch(transformed),
            features.THERE: transformed[features.THERE],
        }


def made_features(transform_output: tft.TFTransformOutput) -> dict[str, tf.io.FixedLenFeature]:
    """Returns the specs of the transformed features that were made of the raw one, by name."""
    spec = transform_output.transformed_feature_spec()
    others = (features.LABEL_INDEX, features.BOXES, features.MASK, features.KEY, features.GROUP)
    return {name: spec[name] for name in sorted(spec) if name not in others}
