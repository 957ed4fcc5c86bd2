"""What TFX's Tuner runs; it reads from top to bottom."""

from __future__ import annotations

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

FOLDER = "trials"


def tuner_fn(fn_args: FnArgs) -> tuple[Tuning, dict[str, Any]]:
    """Searches what the section `tuning` of the config asks for.

    Args:
        fn_args: From TFX. `custom_config` holds what that of `trainer_module.recipe.run_fn` does, and the section
            `tuning`.

    Returns:
        The search, and its best values as Keras Tuner's `HyperParameters.get_config` has them.
    """
    settings = fn_args.custom_config
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    setup = make_setup(settings, transform_output, fn_args.train_files, fn_args.eval_files)
    tuning = TuningConfig.model_validate(settings["tuning"])
    evaluation = EvaluationConfig.model_validate(settings["evaluation"])
    if evaluation.threshold:
        check_threshold(evaluation.threshold, evaluation.costs, setup.classes)
    key = training_key(settings, setup)

    def opened(trial: Setup, number: int) -> Checkpoints:
        phases = [phase.model_dump(mode="json") for phase in trial.training.phases]
        training = trial.training.model_dump(mode="json")
        facts = {"key": key, "phases": phases, "training": training, "augmentation": trial.augmentation.model_dump()}
        return open_checkpoints(settings, trial, fingerprint(facts), f"{FOLDER}/{number}")

    folder = Path(settings["checkpoint_dir"], FOLDER)
    backbone = BackboneConfig.model_validate(settings["backbone"])
    # Of so many trials TensorBoard would keep a file open each.
    tracker = TrackingConfig.model_validate(settings["tracking"]).model_copy(update={"tensorboard": False})
    places = Places(settings["tracking_dir"], settings["mlflow_dir"])
    sections = {name: settings[name] for name in ("tuning", "training", "backbone", "augmentation", "distribution")}
    with tracked(tracker, places, key, setup.component, sections):
        found = run_tuning(setup, backbone, tuning, evaluation, settings["task"], folder, key, opened)
    shutil.rmtree(folder, ignore_errors=True)
    space = dimensions(tuning, setup.training, setup.augmentation)
    return found, hyperparameters(space, found.best_trial.values).get_config()
