"""The recipe that TFX's Trainer runs; it reads from top to bottom."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras as keras
from tfx.components.trainer.fn_args_utils import FnArgs

from evaluation.thresholds import check_threshold
from finetune.artifacts.training_history import BackboneOrigin, TrainingHistory
from finetune.config import (
    AugmentationConfig,
    BackboneConfig,
    DistributionConfig,
    EvaluationConfig,
    TrackingConfig,
    TrainingConfig,
)
from finetune.config.space import decoded, with_values
from finetune.config.strategies import AUTO
from finetune.errors import DataError
from trainer_module.alignment.objective import ACCURACY
from trainer_module.alignment.prompts import with_classes
from trainer_module.averaging import with_averaging
from trainer_module.backbones.model import build_network, in_float32
from trainer_module.backbones.sources import origin_of, record_of
from trainer_module.calibration import calibrate
from trainer_module.distillation.answers import UNLABELLED_FILE, Answers
from trainer_module.distillation.taught import Taught
from trainer_module.examples.input_data import Split, both, evaluation_batches, labels, load_split, with_teacher
from trainer_module.export.aligned import AlignedModel
from trainer_module.export.export import ServedModel, export_model
from trainer_module.fitted_head import LastLayer
from trainer_module.frozen_features.features import FrozenFeatures
from trainer_module.mirror_images import averaged
from trainer_module.peft.adapting import Adapting
from trainer_module.phases.checkpoint import Checkpoints, fingerprint
from trainer_module.phases.distribution import current_strategy, is_chief
from trainer_module.phases.freezing import check_phases, layers_of
from trainer_module.phases.run import run_phases
from trainer_module.phases.setup import Setup
from trainer_module.phases.state import Snapshot
from trainer_module.search.run import run_search
from trainer_module.search.trials import FOLDER
from trainer_module.tasks import TASKS
from trainer_module.tracking.pictures import of_augmentation, of_mistakes
from trainer_module.tracking.training import Places, tell_pictures, tracked
from trainer_module.trained import HeldOut, Trained, refit
from trainer_module.warm_start.start import Beginning
from transforms import features
from transforms.modalities import MODALITIES
from transforms.tasks import TASKS as TRANSFORM_TASKS
from transforms.tasks import Labels

VAL_PREDICTIONS_FILE = "val_predictions.npz"
_SEEDS = 2**31 - 1


def run_fn(fn_args: FnArgs) -> None:
    """Trains, phase by phase, and exports what is served.

    Args:
        fn_args: From TFX. `custom_config` holds `task` and the sections `training`, `backbone`, `augmentation` and
            `distribution` of the config, of `evaluation` what decides (`threshold` and `costs`), `component`, the id of
            the node, `checkpoint_dir`, a folder that survives a failed run, and `frozen_features_dir`, one that later
            runs share; `tracking` with `tracking_dir` and `mlflow_dir`; and `champion`, the `model_run_dir` of the
            champion's training, where there is one to begin with; `teacher`, the folder of a teacher's `Answers`, where
            there is one. `hyperparameters` are those of the Tuner, where there is one.

    Writes to `fn_args.serving_model_dir` the SavedModel, and to `fn_args.model_run_dir`:
        history.json: `finetune.artifacts.TrainingHistory`.
        val_predictions.npz: `keys` and `probabilities` float32 [examples, classes] of the validation split, as the
            network in memory gives them: what the served model is held against.
        training_state.safetensors: `trainer_module.warm_start.state.TrainingState`, what the next training begins with.
        adapter.safetensors: with `training.peft`, `trainer_module.peft.artifact.Adapter`.
    """
    settings = tuned(fn_args.custom_config, fn_args.hyperparameters)
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    setup = make_setup(settings, transform_output, fn_args.train_files, fn_args.eval_files)
    evaluation = EvaluationConfig.model_validate(settings["evaluation"])
    if evaluation.threshold:
        check_threshold(evaluation.threshold, evaluation.costs, setup.classes)
    backbone_config = BackboneConfig.model_validate(settings["backbone"])
    origin = {**origin_of(backbone_config), "sha256": setup.backbone.weights_sha256}
    adapting = Adapting(setup.backbone, setup.training.peft, BackboneOrigin.model_validate(origin))
    beginning, start = Beginning(setup, backbone_config), None
    if setup.training.start_from == "champion":
        setup, start = beginning.start(settings.get("champion"))
    key = training_key(settings, setup)
    # Of several workers, the chief alone tracks.
    chief = is_chief(os.environ.get("TF_CONFIG"))
    tracker = TrackingConfig.model_validate(settings["tracking"]) if chief else TrackingConfig(tensorboard=False)
    sections = {name: settings[name] for name in ("training", "backbone", "augmentation", "distribution")}
    places = Places(settings["tracking_dir"], settings["mlflow_dir"])
    with tracked(tracker, places, key, setup.component, sections) as tracking:
        tell_pictures(tracking, of_augmentation(setup, tracking.run))
        trained = train(setup, settings, key)
        training, val = setup.training, setup.val
        held_out, calibration = trained.held_out, None
        unseen = trained.unseen or Snapshot.of(setup.model)
        if held_out and training.calibration == "temperature":
            calibration = calibrate(settings["task"], held_out.labels, held_out.logits, held_out.examples)
            LastLayer(setup).divide_by(calibration.temperature)
        temperature = calibration.temperature if calibration else 1.0
        recipe = trained.search.chosen if trained.search else ""
        os.makedirs(fn_args.model_run_dir, exist_ok=True)
        beginning.state(setup, unseen.weights, temperature, recipe).write(fn_args.model_run_dir)
        adapting.leave(fn_args.model_run_dir)
        task = setup.task
        network = in_float32(setup.model, backbone_config, training, len(setup.classes), task.head())
        if trained.averages:
            network = averaged(network)
        model = network
        if training.fusion.is_contrastive:
            model = with_classes(network, setup.classes, training.fusion.prompts, transform_output, val.inputs)
        batches = evaluation_batches(val, math.ceil(training.batch_size / trained.gradient_accumulation_steps))
        # One signature for all batches: the last one is smaller, and would have the network traced once more.

        @tf.function(autograph=False, input_signature=[batches.element_spec[0]])
        def predict(value: Any) -> tuple[tf.Tensor, tf.Tensor]:
            output = model(value, training=False)
            return task.probabilities(output), task.answers(output)

        predicted = [tuple(each.numpy() for each in predict(value)) for value, _ in batches]
        probabilities, answers = map(np.concatenate, zip(*predicted, strict=True))
        judged = _validation(setup, trained, temperature, answers)
        decision = task.decision(lambda: judged, setup.classes, evaluation)
        tell_pictures(tracking, of_mistakes(*judged, setup.classes, tracking.run))
        np.savez(os.path.join(fn_args.model_run_dir, VAL_PREDICTIONS_FILE), keys=val.keys, probabilities=probabilities)
        history: dict[str, Any] = {
            "phases": trained.rows,
            "curves": trained.curves,
            "backbone": origin,
            "tracking_run": tracking.run if tracking.is_kept else "",
        }
        counted = ACCURACY if training.fusion.is_contrastive else task.accuracy
        history |= {"accuracy": counted, "classes": class_names(transform_output)}
        history |= {"search": trained.search, "refit": trained.refit, "calibration": calibration, "start": start}
        history |= {"averaging": trained.averaging}
        TrainingHistory.model_validate({**decision, **history}).write(fn_args.model_run_dir)
        parts = transform_output, val.inputs, val.labels, task, decision
        served = AlignedModel(model, network, *parts) if model is not network else ServedModel(model, *parts)
        facts = {"backbone": origin, "task": settings["task"], "modality": val.inputs.modality, **decision}
        if trained.averages:
            facts["test_time_augmentation"] = "flip"
        export_model(served, fn_args.serving_model_dir, facts)
    open_checkpoints(settings, setup, key).clear()


def train(setup: Setup, settings: dict[str, Any], key: str) -> Trained:
    """Trains as the config says, or searches, from the last checkpoint on; the weights are in the model then."""

    def opened(setup: Setup, name: str = "") -> Checkpoints:
        phases = [phase.model_dump(mode="json") for phase in setup.training.phases]
        own = fingerprint({"key": key, "phases": phases}) if name else key
        return open_checkpoints(settings, setup, own, name)

    if setup.training.strategy == AUTO:
        return run_search(setup, Path(settings["checkpoint_dir"], FOLDER), key, opened)
    last_layer = LastLayer(setup)
    before = Snapshot.of(setup.model) if setup.training.refit else Snapshot()
    fitted = setup.training.head.start == "fitted"
    state = run_phases(setup, opened(setup), (lambda: last_layer.fit(setup.train)) if fitted else None)
    held_out = None
    if setup.training.refit or setup.training.calibration == "temperature":
        held_out = HeldOut(labels(setup.val).numpy(), last_layer.logits(setup.val), "the validation split")
    trained = Trained(state.rows, state.curves, state.gradient_accumulation_steps, held_out)
    trained = with_averaging(setup, trained, last_layer)
    if not setup.training.refit:
        return trained
    trained = trained.with_unseen(Snapshot.of(setup.model))
    before.assign_to(setup.model.variables)
    return refit(setup, trained, last_layer, lambda last: opened(last, "refit"))


def tuned(settings: dict[str, Any], hyperparameters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the settings with the values that the Tuner found best, as Keras Tuner's `get_config` has them."""
    if hyperparameters is None:
        return settings
    sections = (
        TrainingConfig.model_validate(settings["training"]),
        AugmentationConfig.model_validate(settings["augmentation"]),
    )
    training, augmentation = with_values(*sections, decoded(hyperparameters["values"]))
    return {
        **settings,
        "training": training.model_dump(mode="json"),
        "augmentation": augmentation.model_dump(mode="json"),
    }


def _validation(
    setup: Setup, trained: Trained, temperature: float, answers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels and answers of examples that training had not seen."""
    held_out = trained.held_out
    if held_out is None or trained.refit is None:
        return labels(setup.val).numpy(), answers
    targets = setup.task.targets(held_out.labels, len(setup.classes))
    return held_out.labels, setup.task.of_logits(targets, held_out.logits / temperature).probabilities


def make_setup(
    settings: dict[str, Any], transform_output: tft.TFTransformOutput, train_files: list[str], val_files: list[str]
) -> Setup:
    """Builds all that training needs: strategy, data, network with pretrained weights, loss, checked phases.

    The settings are as in `run_fn`; the files are patterns of transformed examples.
    """
    training = TrainingConfig.model_validate(settings["training"])
    backbone_config = BackboneConfig.model_validate(settings["backbone"])
    augmentation = AugmentationConfig.model_validate(settings["augmentation"])
    distribution = DistributionConfig.model_validate(settings["distribution"])

    task = TASKS[settings["task"]]
    make_deterministic(training.seed)
    strategy = current_strategy(distribution.strategy)

    names = class_names(transform_output)
    check_classes(names)
    record = record_of(backbone_config)
    inputs = MODALITIES[record.modality].inputs(record, transform_output)
    of_labels = Labels(TRANSFORM_TASKS[settings["task"]], len(names))
    train = load_split(train_files, inputs, of_labels, training.memory_mb * 1024**2)
    val = load_split(val_files, inputs, of_labels, training.memory_mb * 1024**2)

    unlabelled = None
    if settings.get("teacher"):
        folder = Path(settings["teacher"])
        answers = Answers.read(folder)
        train, val = (_taught(split, answers) for split in (train, val))
        if (folder / UNLABELLED_FILE).is_file():
            unlabelled = load_split([str(folder / UNLABELLED_FILE)], inputs, of_labels, training.memory_mb * 1024**2)
            unlabelled = _taught(unlabelled, answers, known=False)

    with strategy.scope():
        backbone, model = build_network(backbone_config, training, len(names), task.head())
    check_phases(layers_of(backbone), training)

    wanted = training.class_weights
    # Reading the labels of all examples takes a pass over them.
    weights = None if wanted is None else task.class_weights(wanted, names, labels(train).numpy())
    component = settings["component"]
    frozen_features = FrozenFeatures(
        settings["frozen_features_dir"],
        model,
        backbone,
        training,
        augmentation,
        both(train, unlabelled) if unlabelled else train,
        val,
        component,
        settings["code"],
    )
    return Setup(
        model,
        backbone,
        training,
        task,
        names,
        weights,
        train,
        val,
        augmentation,
        strategy,
        component,
        frozen_features,
        record.kind,
        unlabelled=unlabelled,
    )


def _taught(split: Split, answers: Answers, known: bool = True) -> Split:
    return with_teacher(split, Taught(answers.of(split.keys), np.full(split.examples, known, np.float32)))


def class_names(transform_output: tft.TFTransformOutput) -> list[str]:
    """Returns the name of each column of probabilities, as Transform found them."""
    return [name.decode() for name in transform_output.vocabulary_by_name(features.CLASSES)]


def check_classes(names: Sequence[str]) -> None:
    """Refuses data that there is nothing to tell apart in.

    Raises:
        DataError: There is one class alone.
    """
    if len(names) < 2:
        raise DataError(
            f"data: got one class, {', '.join(map(repr, names))}; expected at least two in train. For pictures, one "
            "folder per class; a class `other` makes one thing against the rest."
        )


def training_key(settings: dict[str, Any], setup: Setup) -> str:
    """Returns a digest of the config, data and code that the course of training depends on, and of the hardware."""
    strategy = setup.strategy
    # What the teacher said is in the digests of the splits.
    without = {
        "checkpoint_dir",
        "frozen_features_dir",
        "tracking",
        "tracking_dir",
        "mlflow_dir",
        "evaluation",
        "teacher",
    }
    facts = {
        "settings": {key: value for key, value in settings.items() if key not in without},
        "phases": setup.training.model_dump(mode="json"),
        "train": setup.trained_on.digest,
        "val": setup.val.digest,
        "tensorflow": tf.__version__,
        "strategy": [type(strategy).__name__, strategy.num_replicas_in_sync],
    }
    return fingerprint(facts)


def open_checkpoints(settings: dict[str, Any], setup: Setup, key: str, name: str = "") -> Checkpoints:
    """Opens the checkpoints of the training with this key; those of a part of it lie in a folder of this name."""
    several = isinstance(setup.strategy, tf.distribute.MultiWorkerMirroredStrategy)
    every = setup.training.checkpoint
    if several:
        # Reading a variable takes all workers at once, and their clocks differ.
        every = every.model_copy(update={"every_minutes": None})
    writes = not several or is_chief(os.environ.get("TF_CONFIG"))
    return Checkpoints(os.path.join(settings["checkpoint_dir"], name), key, every, setup.component, writes)


def make_deterministic(seed: int) -> None:
    """Starts from a clean graph and makes every random draw and every sum a function of the seed."""
    keras.backend.clear_session()
    # TensorFlow takes seeds modulo this; beside one of 0 it asks whether an epoch's, a tensor, is 0 too: no graph can.
    keras.utils.set_random_seed(seed % _SEEDS or _SEEDS - 1)
    tf.config.experimental.enable_op_determinism()
