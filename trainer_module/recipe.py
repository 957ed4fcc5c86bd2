"""The recipe that TFX's Trainer runs: reads top to bottom."""

from __future__ import annotations

import json
import math
import os
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras
from tfx.components.trainer.fn_args_utils import FnArgs

from pipeline import events
from pipeline.config import AugmentationConfig, BackboneConfig, DistributionConfig, TrainingConfig
from trainer_module.auto_strategy import with_phases
from trainer_module.backbone_model import build_network, in_float32
from trainer_module.checkpoint import Checkpoints, fingerprint
from trainer_module.class_weights import class_weights
from trainer_module.export import ServedModel, export_model
from trainer_module.freezing import check_phases, layers_of
from trainer_module.input_data import evaluation_batches, keys, label_counts, load_split
from trainer_module.losses import training_loss
from trainer_module.phases import Setup, run_phases
from trainer_module.strategy import current_strategy, is_chief
from trainer_module.trunk.cache import TrunkCache
from transforms import features
from transforms.backbones import origin_of
from transforms.inputs import inputs_of

HISTORY_FILE = "history.json"
VAL_PREDICTIONS_FILE = "val_predictions.npz"


def run_fn(fn_args: FnArgs) -> None:
    """Trains, phase by phase, and exports what is served.

    Args:
        fn_args: From TFX. `custom_config` holds the sections `training`, `backbone`, `augmentation` and `distribution`
            of the config, `component`, the id of the node, `checkpoint_dir`, a folder that survives a failed run, and
            `trunk_dir`, one that later runs share.

    Writes to `fn_args.serving_model_dir` the SavedModel, and to `fn_args.model_run_dir`:
        history.json: `phases`, a row for each; `curves`, a row for each epoch; `backbone`, whose weights it began with.
        val_predictions.npz: `keys` and `probabilities` float32 [examples, classes] of the validation split, as the
            network in memory gives them: what the served model is held against.
    """
    settings = fn_args.custom_config
    training = TrainingConfig.model_validate(settings["training"])
    backbone_config = BackboneConfig.model_validate(settings["backbone"])
    augmentation = AugmentationConfig.model_validate(settings["augmentation"])
    distribution = DistributionConfig.model_validate(settings["distribution"])

    make_deterministic(training.seed)
    strategy = current_strategy(distribution.strategy)

    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    class_names = [name.decode() for name in transform_output.vocabulary_by_name(features.CLASSES)]
    inputs = inputs_of(backbone_config, transform_output)
    train = load_split(fn_args.train_files, inputs)
    val = load_split(fn_args.eval_files, inputs)

    with strategy.scope():
        backbone, model = build_network(backbone_config, training, len(class_names))
    training, chosen = with_phases(training, train.examples, len(class_names), backbone.count_params())
    if chosen:
        events.emit("note", text=f"{settings['component']}: {chosen}")
    check_phases(layers_of(backbone), training)

    weights = class_weights(training.class_weights, class_names, label_counts(train, len(class_names)))
    loss = training_loss(training, len(class_names), weights)
    component = settings["component"]
    trunk = TrunkCache(
        settings["trunk_dir"], model, backbone, training, augmentation, train, val, component, settings["code"]
    )
    setup = Setup(model, backbone, training, loss, train, val, augmentation, strategy, component, trunk)
    checkpoints = open_checkpoints(settings, setup)
    state = run_phases(setup, checkpoints)

    model = in_float32(model, backbone_config, training, len(class_names))
    predict = tf.function(lambda value: model(value, training=False), autograph=False, reduce_retracing=True)
    batches = evaluation_batches(val, math.ceil(training.batch_size / state.micro_batches))
    probabilities = np.concatenate([predict(value).numpy() for value, _ in batches])
    origin = {**origin_of(backbone_config), "sha256": backbone.weights_sha256}
    os.makedirs(fn_args.model_run_dir, exist_ok=True)
    np.savez(os.path.join(fn_args.model_run_dir, VAL_PREDICTIONS_FILE), keys=keys(val), probabilities=probabilities)
    with open(os.path.join(fn_args.model_run_dir, HISTORY_FILE), "w", encoding="utf-8") as file:
        json.dump({"phases": state.rows, "curves": state.curves, "backbone": origin}, file, indent=1)
    export_model(ServedModel(model, transform_output, inputs), fn_args.serving_model_dir, {"backbone": origin})
    checkpoints.clear()


def open_checkpoints(settings: dict[str, Any], setup: Setup) -> Checkpoints:
    """Opens the checkpoints that belong to this config, data and code, on this hardware."""
    strategy, folder = setup.strategy, settings["checkpoint_dir"]
    several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    facts = {
        "settings": {key: value for key, value in settings.items() if key not in ("checkpoint_dir", "trunk_dir")},
        "phases": setup.training.model_dump(mode="json"),
        "train": setup.train.digest,
        "val": setup.val.digest,
        "tensorflow": tf.__version__,
        "strategy": [type(strategy).__name__, strategy.num_replicas_in_sync],
    }
    every = setup.training.checkpoint
    if several:
        # Reading a variable takes all workers at once, and their clocks differ.
        every = every.model_copy(update={"every_minutes": None})
    writes = not several or is_chief(os.environ.get("TF_CONFIG"))
    return Checkpoints(folder, fingerprint(facts), every, setup.component, writes)


def make_deterministic(seed: int) -> None:
    """Starts from a clean graph and makes every random draw and every sum a function of the seed."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
