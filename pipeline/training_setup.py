"""What the Trainer builds before it trains, for commands that work on the same data and network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow_transform as tft

from finetune.config import Config
from finetune.run_time import resolve
from pipeline.dag import trainer_settings
from pipeline.nodes import place_at
from trainer_module.phases.setup import Setup
from trainer_module.recipe import make_setup


def training_setup(config: Config, transform: Mapping[str, Any], component: str) -> Setup:
    """Builds strategy, data, network and loss from what Transform left.

    Args:
        config: Of the pipeline.
        transform: The output artifacts of Transform, by output name.
        component: Id of who works with it, for messages.
    """
    examples = transform["transformed_examples"].uri
    settings = resolve(trainer_settings(config), place_at(Path.cwd()))
    return make_setup(
        {**settings, "component": component, "frozen_features_dir": str(config.output_path / "frozen_features")},
        tft.TFTransformOutput(transform["transform_graph"].uri),
        [os.path.join(examples, "Split-train", "*")],
        [os.path.join(examples, "Split-val", "*")],
    )
