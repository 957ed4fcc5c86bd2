"""What TFX's Tuner runs; it reads from top to bottom."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from evaluation.thresholds import check_threshold
from finetune.artifacts.tuning import Tuning
from finetune.config import BackboneConfig, EvaluationConfig, TrackingConfig, TuningConfig
from finetune.config.space import dimensions
from trainer_module.phases.checkpoint import Checkpoints, fingerprint
from trainer_module.phases.setup import Setup
from trainer_module.recipe import make_setup, open_checkpoints, training_key
from trainer_module.tracking.training import Places, tracked
from trainer_module.tuning.proposals import hyperparameters
from trainer_module.tuning.run import run_tuning
from trainer_module.tuning.shares import WORKER_ENV
from trainer_module.tuning.workers import helpers

FOLDER = "trials"


def tuner_fn(fn_args: FnArgs) -> tuple[Tuning, dict[str, Any]] | None:
    """Searches what the section `tuning` of the config asks for.

    Args:
        fn_args: From TFX. `custom_config` holds what that of `trainer_module.recipe.run_fn` does, and the section
            `tuning`.

    Returns:
        The search, and its best values as Keras Tuner's `HyperParameters.get_config` has them; None where this process
        only helps another.
    """
    settings = fn_args.custom_config
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    setup = make_setup(settings, transform_output, fn_args.train_files, fn_args.eval_files)
    tuning = TuningConfig.model_validate(settings["tuning"])
    evaluation = EvaluationConfig.model_validate(settings["evaluation"])
    if evaluation.threshold:
        check_threshold(evaluation.threshold, evaluation.costs, setup.classes)
    # However many train, trials are the same, but for those that end early where one trains.
    stops = tuning.stops.model_dump() if tuning.stops else None
    key = training_key({**settings, "tuning": {**settings["tuning"], "parallel": None, "early_stop": stops}}, setup)
    # What is of other data or another config stays apart: workers come when they come, and none may clear for another.
    own = f"{FOLDER}/{key[:16]}"
    worker = os.environ.get(WORKER_ENV, "")
    helps = worker not in ("", "0")

    def opened(trial: Setup, number: int) -> Checkpoints:
        phases = [phase.model_dump(mode="json") for phase in trial.training.phases]
        training = trial.training.model_dump(mode="json")
        facts = {"key": key, "phases": phases, "training": training, "augmentation": trial.augmentation.model_dump()}
        return open_checkpoints(settings, trial, fingerprint(facts), f"{own}/{number}")

    folder = Path(settings["checkpoint_dir"], own)
    backbone = BackboneConfig.model_validate(settings["backbone"])
    # Of so many trials TensorBoard would keep a file open each. Of several workers, the chief alone tracks.
    told = {} if helps else settings["tracking"]
    tracker = TrackingConfig.model_validate(told).model_copy(update={"tensorboard": False})
    places = Places(settings["tracking_dir"], settings["mlflow_dir"])
    sections = {name: settings[name] for name in ("tuning", "training", "backbone", "augmentation", "distribution")}
    # A cluster has started them all.
    others = tuning.parallel - 1 if not worker else 0
    with tracked(tracker, places, key, setup.component, sections), helpers(fn_args, others, folder):
        found = run_tuning(setup, backbone, tuning, evaluation, settings["task"], folder, key, opened, helps)
    if found is None:
        return None
    shutil.rmtree(folder.parent, ignore_errors=True)
    space = dimensions(tuning, setup.training, setup.augmentation)
    return found, hyperparameters(space, found.best_trial.values).get_config()
