"""Encoders of BERT's family with weights in Hugging Face's layout."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save_file

from finetune.config.backbone import BackboneConfig
from finetune.digests import check_sha256
from finetune.errors import BackboneError
from trainer_module.backbones.hugging_face import (
    CONFIG,
    WEIGHTS,
    described_kernels,
    described_layers,
    folder_problems,
    read_architecture,
)
from trainer_module.backbones.source import NamedSource
from trainer_module.frozen_features.recorded import Recorded
from trainer_module.peft.targets import Kernel
from trainer_module.phases.freezing import Layer
from transforms.backbone import Backbone
from transforms.piece_vocabulary import FILES

if TYPE_CHECKING:
    import tf_keras as keras


class Bert(NamedSource):
    """BERT and DistilBERT; Transform makes ids of a text's word pieces."""

    name = "Hugging Face encoders"
    # What begins and ends a text are pieces as well, and would be left out like words.
    records = {"BERT": Backbone("BERT", modality="text", spoiled_by=("word_dropout",))}
    written_as = ("backbone.weights", "")

    def record(self, config: BackboneConfig) -> Backbone:
        """Returns the record with the folder of the tokenizer."""
        preprocessing = {"tokenizer": _described_in(config), "max_pieces": config.text.max_pieces}
        return replace(self.records["BERT"], preprocessing=preprocessing, pooling=config.text.pooling)

    def build(self, config: BackboneConfig) -> tuple[keras.Model, str | None]:
        """Builds the encoder: ids of pieces int64 [batch, max_pieces] to float32 [batch, channels]."""
        from trainer_module.backbones.encoder import encoder, load_checkpoint
        from transforms.piece_vocabulary import END, read_piece_vocabulary

        if problems := self.file_problems(config):
            raise BackboneError("\n".join(problems))
        folder, random = _described_in(config), config.weights == "random"
        digest = None if random else check_sha256(Path(config.source), config.sha256)
        architecture = read_architecture(folder)
        end = read_piece_vocabulary(folder).id_of(END)
        network = encoder(architecture, config.text.max_pieces, config.text.pooling, end)
        if not random:
            load_checkpoint(network, folder, architecture)
        return network, digest

    def write(self, config: BackboneConfig, backbone: keras.Model, path: Path) -> None:
        """Writes a folder in the same layout: weights as float32, and the config and the tokenizer as they are."""
        folder = _described_in(config)
        tensors = {
            names[0]: np.ascontiguousarray(value.T if variable == "kernel" else value)
            for module in read_architecture(folder).modules
            for variable, names, _ in module.tensors()
            for value in [getattr(backbone.get_layer(module.layer), variable).numpy()]
        }
        path.mkdir(parents=True)
        for file in (CONFIG, *FILES):
            if Path(folder, file).is_file():
                shutil.copy(Path(folder, file), path)
        save_file(tensors, path / WEIGHTS)

    def graph(self, config: BackboneConfig) -> Recorded | None:
        """Returns None: how long texts are, which the cost depends on, only the data tell."""
        return None

    def kernels(self, config: BackboneConfig) -> tuple[Sequence[Kernel], int] | None:
        """Returns those that the folder's config describes; None where it cannot be read."""
        try:
            return described_kernels(read_architecture(_described_in(config)))
        except BackboneError:
            return None

    def layers(self, config: BackboneConfig) -> list[Layer] | None:
        """Returns those that the folder's config describes; None where it cannot be read."""
        try:
            return described_layers(read_architecture(_described_in(config)))
        except BackboneError:
            return None

    def problems(self, config: BackboneConfig) -> list[str]:
        """Holds the weights and the section `text` against what an encoder has."""
        problems = super().problems(config)
        if config.text.preprocessor:
            problems.append(
                f"backbone.text.preprocessor: got {config.text.preprocessor!r}; {config.name} cuts texts by the "
                "tokenizer beside its weights. Leave it out"
            )
        if config.weights == "random" and not config.text.vocabulary:
            problems.append(
                "backbone.text.vocabulary: missing; with random weights, expected a folder with config.json and a "
                "tokenizer"
            )
        return problems

    def file_problems(self, config: BackboneConfig) -> list[str]:
        """Holds config, tokenizer and weights in the folder against each other."""
        if config.weights == "imagenet":
            return []
        text = config.text
        problems = [] if config.weights == "random" else folder_problems(config.source, text.max_pieces)
        if text.vocabulary and text.vocabulary != config.source:
            problems += folder_problems(text.vocabulary, text.max_pieces, with_weights=False)
        return problems

    def with_random_weights(self, config: BackboneConfig) -> BackboneConfig:
        """Draws the weights; the folder still says what the network is, and how texts are cut."""
        text = config.text.model_copy(update={"vocabulary": _described_in(config)})
        return super().with_random_weights(config).model_copy(update={"text": text})


def _described_in(config: BackboneConfig) -> str:
    return config.text.vocabulary or config.source
