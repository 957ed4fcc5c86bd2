"""Linear probes of an earlier task on the features of a backbone as it was pretrained, and as training left it.

Linear probes show what of a task the features still hold, whatever has become of a head for it (Davari et al. 2022,
"Probing Representation Forgetting in Supervised and Unsupervised Continual Learning").
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_transform as tft

from evaluation.source_task import source_task
from finetune.artifacts.source_task import SourceTask
from finetune.errors import RunError
from trainer_module.fitted_head import HEAD_ALONE, LastLayer
from trainer_module.phases.setup import Setup
from trainer_module.probe import held_out_logits
from trainer_module.recipe import make_setup
from trainer_module.tasks import TASKS
from trainer_module.warm_start.state import TrainingState

# Of the probes, whatever the task of the training is.
_ONE_LABEL = TASKS["single_label"]


def probe_source(
    settings: dict[str, Any],
    transform_output: tft.TFTransformOutput,
    pattern: str,
    label_of: Mapping[str, str],
    model_run: str,
) -> SourceTask:
    """Fits and cross-validates both probes, in the same folds.

    What the frozen layers give is kept, so that the pretrained backbone runs once over an example.

    Args:
        settings: As of `recipe.run_fn`; of `training`, the head and the phases are not asked for.
        transform_output: Of the Transform graph of the training.
        pattern: Of the transformed examples of the source task.
        label_of: Of each, by its key.
        model_run: Folder of what the Trainer left.

    Raises:
        RunError: It left no weights.
    """
    training = {**settings["training"], "head": {"units": [], "dropout": 0.0}, "phases": [HEAD_ALONE.model_dump()]}
    setup = make_setup({**settings, "training": training}, transform_output, [pattern], [pattern])
    state = TrainingState.find(model_run)
    if state is None:
        raise RunError(f"{model_run}: has no weights; expected what a training with this version leaves. Train again.")
    return probe(setup, [label_of[key] for key in setup.train.keys], state)


def probe(setup: Setup, labels: Sequence[str], state: TrainingState) -> SourceTask:
    """Probes the backbone of a setup as it is, and again with the weights of a training, which it has afterwards.

    Args:
        setup: Its train split has the examples.
        labels: Of each, by their names.
        state: Of a training of the same backbone.
    """
    start = time.monotonic()
    classes, numbers = np.unique(labels, return_inverse=True)
    last_layer = LastLayer(setup)

    def right() -> np.ndarray:
        features = last_layer.frozen_values(setup.train)
        logits = held_out_logits(_ONE_LABEL, features, numbers, len(classes), setup.training.seed)
        return np.asarray(logits.argmax(axis=1) == numbers)

    before = right()
    for place, value in state.backbone.items():
        setup.backbone.variables[place].assign(value)
    return source_task(before, right(), len(classes), round(time.monotonic() - start, 2))
