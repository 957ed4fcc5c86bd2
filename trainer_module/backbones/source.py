"""What a source of backbones has to say. Only `build` imports TensorFlow: all else is read and checked without.

A source is one file in `trainer_module/backbones/sources` and one line in the table there;
`trainer_module.backbones.contract.check_backbone_source` tells whether it keeps its promises.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from finetune.config.backbone import BackboneConfig
from finetune.digests import sha256_of
from finetune.errors import did_you_mean
from trainer_module.frozen_features.recorded import Recorded, recorded
from trainer_module.peft.targets import Kernel
from trainer_module.phases.freezing import Layer
from transforms.backbone import Backbone

if TYPE_CHECKING:
    import tf_keras as keras

# The forms of `unfreeze` beside `none` and `all`, which every backbone has.
UNFREEZE_FORMS = ("last_layers", "last_blocks", "fraction", "from_layer", "variables")
HDF5_MARK = b"\x89HDF\r\n\x1a\n"


class BackboneSource(ABC):
    """A place that pretrained networks come from."""

    name: str  # Key in the table.
    # The networks that a config asks for by `backbone.name`; none of a source that has other keys.
    records: Mapping[str, Backbone] = {}
    unfreeze_forms: Sequence[str] = UNFREEZE_FORMS  # Those of UNFREEZE_FORMS that its layers allow.
    # Whether its networks can be built without their weights, as the baseline `from_scratch` needs.
    starts_random: bool = False
    # How LoRA's targets may choose among their kernels; None where they have none.
    kernels_by: Literal["kind", "name"] | None = "kind"
    # The key of the config that takes its networks with other weights, and how the name of the file ends, "" for a
    # folder; None where they cannot be written.
    written_as: tuple[str, str] | None = None

    @abstractmethod
    def selects(self, config: BackboneConfig) -> bool:
        """Tells whether a config means this source; of every config, one source at most says so."""

    @abstractmethod
    def record(self, config: BackboneConfig) -> Backbone:
        """Returns the facts of the backbone, with the config's own choices such as `image_size` in them."""

    @abstractmethod
    def build(self, config: BackboneConfig) -> tuple[keras.Model, str | None]:
        """Builds the network without its top, with its weights.

        Returns:
            A functional model from what the modality of its record gives, to features float32 [batch, channels],
            [batch, height, width, channels] or [batch, words, channels]; and the sha256 of its weights, or None for
            random ones.

        Raises:
            BackboneError: It cannot be had, read or built, or does not fit the config.
        """

    def digest(self, config: BackboneConfig) -> str | None:
        """Returns the sha256 of the weights that are on this machine, before they are loaded; None where none are."""
        return sha256_of(config.local_path)

    def layers(self, config: BackboneConfig) -> Sequence[Layer] | None:
        """Returns the layers that `build` will give, from input to output; None where only `build` can tell.

        Layers whose variables only `build` can tell have none.
        """
        graph = self.graph(config)
        return graph.layers if graph else None

    def kernels(self, config: BackboneConfig) -> tuple[Sequence[Kernel], int] | None:
        """Returns the kernels that `build` will give, from input to output, and how many numbers the network has.

        None where only `build` can tell.
        """
        graph = self.graph(config)
        return (graph.kernels, graph.parameters) if graph else None

    def graph(self, config: BackboneConfig) -> Recorded | None:
        """Returns the graph by which `finetune plan` cuts frozen features off; None where none is known."""
        return None

    def problems(self, config: BackboneConfig) -> list[str]:
        """Returns what makes the config one that `build` would refuse, as far as the config alone tells."""
        return []

    def file_problems(self, config: BackboneConfig) -> list[str]:
        """Returns the same of the files that the config names, which must be on this machine."""
        return []

    def write(self, config: BackboneConfig, backbone: keras.Model, path: Path) -> None:
        """Writes the network of a config with other weights to a file or folder, as `written_as` says."""
        raise NotImplementedError(f"{self.name} has nothing in written_as")

    def with_random_weights(self, config: BackboneConfig) -> BackboneConfig:
        """Returns the config of the same network from random weights; a network that is its weights stays as it is."""
        return config


class NamedSource(BackboneSource):
    """A source whose networks have names, and whose weights are named beside them."""

    starts_random = True
    written_as: tuple[str, str] | None = ("backbone.weights", ".h5")

    def selects(self, config: BackboneConfig) -> bool:
        """Finds the name among its records; case and underscores do not matter."""
        return config.name is not None and self._named(config.name) is not None

    def record(self, config: BackboneConfig) -> Backbone:
        """Returns that of the name, at the size that the config wants."""
        record = self._of(config)
        return replace(record, image_size=config.image_size or record.image_size)

    def graph(self, config: BackboneConfig) -> Recorded | None:
        """Returns the graph that was recorded of the network with these arguments, if one was."""
        return recorded(self._of(config).name, config.arguments)

    def problems(self, config: BackboneConfig) -> list[str]:
        """Holds weights, arguments and size against the record."""
        record = self._of(config)
        problems = []
        if config.weights == "imagenet" and not record.has_imagenet_weights:
            problems.append(
                f"backbone.weights: got 'imagenet'; {record.name} has none; expected random or the path of a file"
            )
        takes = f"takes {', '.join(record.arguments)}" if record.arguments else "takes none"
        problems += [
            f"backbone.arguments.{argument}: got {value!r}; {record.name} {takes}."
            + did_you_mean(argument, record.arguments)
            for argument, value in config.arguments.items()
            if argument not in record.arguments
        ]
        # The default says nothing: configs with their defaults filled in are configs too.
        if config.modality not in (record.modality, BackboneConfig.model_fields["modality"].default):
            problems.append(
                f"backbone.modality: got {config.modality!r}; {record.name} has {record.modality!r}. Leave it out"
            )
        if config.image_size and config.image_size < record.min_size:
            problems.append(
                f"backbone.image_size: got {config.image_size}; {record.name} expects at least {record.min_size} "
                f"pixels, and was trained with {record.image_size}"
            )
        return problems

    def file_problems(self, config: BackboneConfig) -> list[str]:
        """Looks whether the weights are an HDF5 file."""
        if config.weights in ("imagenet", "random"):
            return []
        path = Path(config.source)
        if not path.is_file():
            return [missing_weights(config)]
        with path.open("rb") as file:
            if file.read(len(HDF5_MARK)) != HDF5_MARK:
                return [
                    f"backbone.weights: got {config.weights!r}, which is no HDF5 file; expected one as Keras writes"
                ]
        return []

    def write(self, config: BackboneConfig, backbone: keras.Model, path: Path) -> None:
        """Writes the weights alone."""
        backbone.save_weights(path)

    def with_random_weights(self, config: BackboneConfig) -> BackboneConfig:
        """Leaves the weights and their digest out."""
        return config.model_copy(update={"weights": "random", "sha256": None})

    def _of(self, config: BackboneConfig) -> Backbone:
        record = self._named(config.name or "")
        assert record is not None, f"{config.name} is of another source: ask `selects` first"
        return record

    def _named(self, name: str) -> Backbone | None:
        return {fold(known): record for known, record in self.records.items()}.get(fold(name))


def fold(name: str) -> str:
    """Writes a name without what does not matter in it: `mobilenet_v2` and `MobileNetV2` are the same."""
    return name.replace("_", "").casefold()


def missing_size(key: str) -> str:
    """Says that nothing tells how large the pictures of a network without a name are."""
    return f"backbone.image_size: missing; a `{key}` needs it; `finetune inspect` shows what it was made for"


def missing_weights(config: BackboneConfig) -> str:
    """Says that the weights of a named network are not there."""
    return (
        f"backbone.weights: got {config.weights!r}, which is not a file here; "
        "expected imagenet, random, or the path of a weights file"
    )
