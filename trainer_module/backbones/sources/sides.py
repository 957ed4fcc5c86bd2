"""Two networks as one, of pictures and of texts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from finetune.config.backbone import BackboneConfig, CandidateConfig
from finetune.errors import BackboneError
from trainer_module.backbones.source import BackboneSource
from trainer_module.phases.freezing import Layer, of_side
from transforms.backbone import Backbone
from transforms.features import IMAGE, IMAGE_TEXT, TEXT

if TYPE_CHECKING:
    import tf_keras as keras


class Sides(BackboneSource):
    """What the section `backbones` names, each from a source of its own."""

    name = "two networks"

    def __init__(self, source_of: Callable[[BackboneConfig], BackboneSource]):
        """Takes what finds the source of a network by itself."""
        self._source_of = source_of

    def selects(self, config: BackboneConfig) -> bool:
        return config.sides is not None

    def record(self, config: BackboneConfig) -> Backbone:
        """Returns a record that has those of both, at the picture's size."""
        found = {side: source.record(each) for side, each, source in self._each(config)}
        return Backbone(
            " + ".join(record.name for record in found.values()),
            image_size=found[IMAGE].image_size,
            modality=IMAGE_TEXT,
            sides=found,
            spoiled_by=found[TEXT].spoiled_by,
        )

    def build(self, config: BackboneConfig) -> tuple[keras.Model, str | None]:
        """Builds both as one graph, from what each is shown to the features of each.

        An encoder of word pieces gives the vectors of all: what joins the sides pools them.
        """
        import tf_keras as keras

        from trainer_module.layers import PoolPieces

        inputs, outputs, digests = [], [], []
        for side, each, source in self._each(config):
            network, digest = source.build(each)
            digests.append(digest)
            output = network.output
            if isinstance(network.layers[-1], PoolPieces):
                output = network.layers[-1].input
            for layer in network.layers:
                layer.side = side
            inputs.append(network.input)
            outputs.append(output)
        known = [digest for digest in digests if digest]
        return (
            keras.Model(inputs, outputs, name="sides"),
            hashlib.sha256(" ".join(known).encode()).hexdigest() if known else None,
        )

    def digest(self, config: BackboneConfig) -> str | None:
        """Returns one digest of those of both."""
        known = [digest for _, each, source in self._each(config) if (digest := source.digest(each))]
        return hashlib.sha256(" ".join(known).encode()).hexdigest() if known else None

    def layers(self, config: BackboneConfig) -> list[Layer] | None:
        """Returns those of the picture's network, then those of the text's; None where one is not known."""
        found: list[Layer] = []
        for side, each, source in self._each(config):
            layers = source.layers(each)
            if layers is None:
                return None
            # What joins the sides pools them.
            pools = source.record(each).pooling is not None
            found += of_side(layers[:-1] if pools else layers, side)
        return found

    def problems(self, config: BackboneConfig) -> list[str]:
        """Returns those of both; each side must be shown what it is called after."""
        problems = []
        for side, each, source in self._each(config):
            record = source.record(each)
            problems += [_of(side, problem) for problem in source.problems(each)]
            if record.modality != side:
                problems.append(f"backbones.{side}: got {record.name}, which is for {record.modality}")
            if record.preprocessing.get("preprocessor"):
                problems.append(
                    f"backbones.{side}: {record.name} takes several tensors that a preprocessor makes; expected an "
                    "encoder that takes one, such as `name: BERT` or `name: GloVe`"
                )
        return problems

    def file_problems(self, config: BackboneConfig) -> list[str]:
        """Returns those of both."""
        return [
            _of(side, problem) for side, each, source in self._each(config) for problem in source.file_problems(each)
        ]

    def with_random_weights(self, config: BackboneConfig) -> BackboneConfig:
        """Draws both where they can be drawn."""
        drawn = {side: source.with_random_weights(each) for side, each, source in self._each(config)}
        assert config.sides is not None
        return config.model_copy(update={"sides": config.sides.model_copy(update=drawn)})

    def _each(self, config: BackboneConfig) -> list[tuple[str, BackboneConfig, BackboneSource]]:
        """Raises BackboneError where no source knows a side."""
        found = []
        for side, candidate in config.of_sides.items():
            each = _as_backbone(candidate, side)
            try:
                found.append((side, each, self._source_of(each)))
            except BackboneError as error:
                raise BackboneError(_of(side, str(error))) from None
        return found


def _as_backbone(candidate: CandidateConfig, side: str) -> BackboneConfig:
    raw = candidate.model_dump()
    # A file or handle is for what its side is shown, unless it says something else.
    if side == TEXT and not candidate.name and "modality" not in candidate.model_fields_set:
        raw["modality"] = side
    return BackboneConfig.model_validate(raw)


def _of(side: str, problem: str) -> str:
    return problem.replace("backbone.", f"backbones.{side}.")
