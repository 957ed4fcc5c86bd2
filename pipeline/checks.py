"""Checks of a raw config that need more than the config itself: what sources and modalities have, and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from components.example_gen.coco import is_coco
from components.example_gen.modalities import MODALITIES as INGEST_MODALITIES
from components.example_gen.tasks import TASKS as INGEST_TASKS
from evaluation.checks import decisions_go_with_task, gates_can_be_measured, tuning_can_be_measured
from evaluation.data_checks.chosen import data_checks_exist
from evaluation.predictions import MULTI_LABEL, SINGLE_LABEL
from evaluation.tasks import TASKS, task_of
from finetune.buckets import is_bucket
from finetune.config import (
    AugmentationConfig,
    BackboneConfig,
    DataConfig,
    DistillationConfig,
    TrainingConfig,
    TuningConfig,
)
from finetune.config.distillation import CHAMPION
from finetune.config.keys import value_at
from finetune.config.load import Check
from finetune.config.space import space_problems, variants
from finetune.config.strategies import AUTO
from finetune.errors import BackboneError, ConfigError, DataError, did_you_mean
from pipeline.data_roots import roots_of
from pipeline.modalities import keys_of, modality_of
from pipeline.plan import BEAM_NODES
from pipeline.refused_keys import asked_at, refused
from pipeline.tasks import task_fits
from trainer_module.backbones.candidates import candidates_of
from trainer_module.backbones.fit import phase_problems
from trainer_module.backbones.source import missing_weights
from trainer_module.backbones.sources import record_of, source_of
from trainer_module.modalities import MODALITIES
from transforms.backbone import Backbone
from transforms.features import IMAGE

SAVED_MODEL = "saved_model.pb"

_Section = TypeVar("_Section", bound=BaseModel)


def backbone_fits(raw: dict[str, Any]) -> list[str]:
    """The backbone exists, has what the config asks of it, and can be trained as the phases and baselines want."""
    config = _parsed(BackboneConfig, raw, "backbone")
    if config is None:
        return []
    try:
        source = source_of(config)
    except BackboneError as error:
        return [str(error)]
    problems = source.problems(config)
    training = _parsed(TrainingConfig, raw, "training")
    if training:
        problems += phase_problems(config, training)
        problems += _tuned_problems(raw, config, training)
    baselines = value_at(raw, "evaluation.baselines")
    if isinstance(baselines, list) and "from_scratch" in baselines and not source.starts_random:
        problems.append(
            "evaluation.baselines: `from_scratch` builds the backbone with random weights, and "
            f"{source.record(config).name} is its weights; leave it out, or take a backbone by `backbone.name`"
        )
    return problems


def _tuned_problems(raw: dict[str, Any], backbone: BackboneConfig, training: TrainingConfig) -> list[str]:
    """What the backbone has against choices of the space, beside what it has against the config as it is."""
    tuning, augmentation = _parsed(TuningConfig, raw, "tuning"), _parsed(AugmentationConfig, raw, "augmentation")
    if tuning is None or augmentation is None or space_problems(tuning, training, augmentation):
        return []
    known = set(phase_problems(backbone, training))
    return [
        f"tuning.space: {choice}: {problem}"
        for choice, varied in variants(tuning, training, augmentation)
        for problem in phase_problems(backbone, varied)
        if problem not in known
    ]


def modality_fits(raw: dict[str, Any]) -> list[str]:
    """What the config says goes with what the backbone is shown, such as pictures or texts."""
    record = _record(raw)
    if record is None:
        return []
    ingest = INGEST_MODALITIES[record.modality]
    is_shown = f"{record.name} is shown {ingest.shown}"
    own = keys_of(record.modality)
    others = {key: None for modality in INGEST_MODALITIES for key in keys_of(modality) if key not in own}
    problems = [
        f"{key}: got {value!r}; {is_shown}, which it says nothing about. Leave it out"
        for key in others
        if (value := value_at(raw, key)) not in (None, {}, [])
    ]
    layout = value_at(raw, "data.layout")
    if isinstance(layout, str) and layout not in ingest.layouts:
        problems.append(f"data.layout: got {layout!r}; {is_shown}; expected {' or '.join(ingest.layouts)}")
    phases = value_at(raw, "training.phases")
    count = len(phases) if isinstance(phases, list) else 0
    changes = MODALITIES[record.modality].augments
    for place in ("augmentation", *(f"training.phases[{index}].augmentation" for index in range(count))):
        section = value_at(raw, place)
        given = section.items() if isinstance(section, dict) else ()
        problems += [
            f"{place}.{key}: got {value!r}; {is_shown}, which it does not change. Leave it out"
            for key, value in given
            if value and key not in changes
        ]
        problems += [
            f"{place}.{key}: got {section[key]!r}; it spoils what {record.name} takes. Leave it out"
            for key in record.spoiled_by
            if isinstance(section, dict) and section.get(key)
        ]
    return problems


def averaging_fits(raw: dict[str, Any]) -> list[str]:
    """What the exported model is asked to average has the same label: pictures that may be flipped."""
    key = "training.test_time_augmentation"
    value, record = value_at(raw, key), _record(raw)
    training = _parsed(TrainingConfig, raw, "training")
    augmentation = _parsed(AugmentationConfig, raw, "augmentation")
    if value in (None, "none") or record is None or training is None or augmentation is None:
        return []
    if record.modality != IMAGE:
        shown = INGEST_MODALITIES[record.modality].shown
        return [
            f"{key}: got {value!r}; {record.name} is shown {shown}, and only pictures alone are averaged with their "
            "mirror images. Leave it out"
        ]
    of_phases = [phase.augmentation for phase in training.phases if phase.augmentation]
    is_measured = value == "measured" and training.strategy == AUTO and augmentation.horizontal_flip is None
    if is_measured or any(each.horizontal_flip for each in (augmentation, *of_phases)):
        return []
    otherwise = "`measured`, or `none`" if training.strategy == AUTO else "`none`"
    return [
        f"{key}: got {value!r}, and nothing says that a mirror image has the label of its picture; expected "
        f"augmentation.horizontal_flip true beside it, or {otherwise}"
    ]


# With what is expected in place of each.
_NOT_OF_SIDES = {
    "training.strategy": "another strategy, or phases",
    "training.head.start": "`random`",
    "training.start_from": "`backbone`",
    "training.peft": "none",
    "training.distillation": "none",
    "training.mixed_precision": "`off`",
    "tuning.space": "none: trials are of one network",
    "data.text_columns": "`data.text_column`",
}


def sides_fit(raw: dict[str, Any]) -> list[str]:
    """What the config asks of a picture with words is what two networks can be asked."""
    config = _parsed(BackboneConfig, raw, "backbone")
    if config is None or config.sides is None:
        fusion = value_at(raw, "training.fusion")
        return (
            []
            if fusion is None or config is None
            else [
                f"training.fusion: got {fusion!r}; it joins two networks, and there is one. Leave it out, or give "
                "`backbones` in place of `backbone`"
            ]
        )
    problems = refused(raw, _NOT_OF_SIDES, "`backbones`")
    baselines = value_at(raw, "evaluation.baselines")
    of_one = ("logistic_regression", "from_scratch", "teacher")
    if taken := [name for name in of_one if isinstance(baselines, list) and name in baselines]:
        problems.append(
            f"evaluation.baselines: got {', '.join(map(repr, taken))}, a model of one network; expected `majority`. "
            "The report shows what each side does alone"
        )
    manifest = value_at(raw, "data.manifest")
    if not manifest or is_coco(str(manifest)):
        given = f"got {manifest!r}, which has no texts" if manifest else "missing"
        problems.append(
            f"data.manifest: {given}; pictures with words are rows of a CSV file with the columns `data.path_column`, "
            "`data.text_column` and `data.label_column`"
        )
    training = _parsed(TrainingConfig, raw, "training")
    if training and training.fusion.is_contrastive:
        problems += _contrastive_problems(raw)
    try:
        vectors = [record for record in record_of(config).sides.values() if record.gives_vector]
    except BackboneError:
        vectors = []
    if training and training.fusion.name == "cross_attention" and vectors:
        problems.append(
            f"training.fusion: got 'cross_attention'; {vectors[0].name} gives one vector, and words look at places. "
            "Expected `concat`, or BERT or GloVe with a network of pictures that gives a map"
        )
    return problems


def _contrastive_problems(raw: dict[str, Any]) -> list[str]:
    """What goes with a last layer of classes, or with examples that are learned one by one."""
    task, problems = task_of(raw), []
    if task not in (None, SINGLE_LABEL):
        problems.append(f"task: got {task!r}; prompts exclude each other; expected {SINGLE_LABEL}")
    for key, why in {
        "class_weights": "no class has a part in the loss",
        "label_smoothing": "no class has a part in the loss",
        "focal_gamma": "no class has a part in the loss",
        "calibration": "the temperature is learned",
        "refit": "validation is by the same batches in each epoch",
        "gradient_accumulation_steps": "an example is told from the others of its part of the batch, so that all of it "
        "must be there at once",
        "head.spatial_dropout": "both sides are pooled below the head",
    }.items():
        if (value := asked_at(raw, f"training.{key}")) is not None:
            problems.append(f"training.{key}: got {value!r}; with `fusion: contrastive` {why}. Leave it out")
    return problems


def beam_components_exist(raw: dict[str, Any]) -> list[str]:
    """Only what Beam runs can be said to run on Beam elsewhere."""
    components = value_at(raw, "beam.components")
    expected = f"no such stage; expected one of {', '.join(BEAM_NODES)}."
    return [
        f"beam.components.{name}: {expected}{did_you_mean(name, BEAM_NODES)}"
        for name in (components if isinstance(components, dict) else ())
        if name not in BEAM_NODES
    ]


def places_can_be_seen(raw: dict[str, Any]) -> list[str]:
    """Boxes and masks are found on maps from inside a backbone of pictures."""
    task, record = task_of(raw), _record(raw)
    if record is None or task not in INGEST_TASKS or not (INGEST_TASKS[task].has_boxes or INGEST_TASKS[task].has_masks):
        return []
    if record.modality != IMAGE:
        why = f"which is shown {INGEST_MODALITIES[record.modality].shown}"
    elif value_at(raw, "backbone.handle"):
        why = "a SavedModel, whose inside cannot be seen"
    elif record.gives_vector:
        why = "whose features have no places"
    else:
        return []
    return [
        f"backbone: got {record.name}, {why}; with task {task} expected a convolutional network of pictures that Keras "
        "builds layer by layer, such as MobileNetV2"
    ]


def source_task_can_be_probed(raw: dict[str, Any]) -> list[str]:
    """One pretrained backbone alone has features that an earlier task can be probed on."""
    given = value_at(raw, "evaluation.source_task")
    config = _parsed(BackboneConfig, raw, "backbone")
    if given is None or config is None or config.is_open:
        return []
    task = task_of(raw)
    of_parts = task in TASKS and TASKS[task].measured_as not in (SINGLE_LABEL, MULTI_LABEL)
    if config.sides is not None or of_parts:
        what = f"task {task}" if config.sides is None else "`backbones`"
        expected = "probes are of one backbone of whole examples. Leave it out"
        return [f"evaluation.source_task: got {given!r} with {what}; {expected}"]
    if config.weights == "random":
        return [
            f"evaluation.source_task: got {given!r}, and backbone.weights is {config.weights!r}; expected pretrained "
            "weights, which know of an earlier task, or no source task"
        ]
    return []


def files_exist(raw: dict[str, Any]) -> list[str]:
    """What a local run reads is there."""
    problems = []
    record = _record(raw)
    # Mistakes elsewhere in the section say nothing against the root.
    root_alone = {"data": {"root": value_at(raw, "data.root")}}
    data = _parsed(DataConfig, raw, "data") or _parsed(DataConfig, root_alone, "data")
    if data and not is_bucket(data.root):
        ingest = INGEST_MODALITIES[record.modality if record else "image"]
        try:
            found = {root: ingest.root_problem(Path(root)) for root in roots_of(data)}
            problems += [f"data.root: got {root!r}, {problem}" for root, problem in found.items() if problem]
        except DataError as error:
            problems.append(str(error))
    schema = value_at(raw, "data.schema_file")
    if isinstance(schema, str) and not Path(schema).expanduser().is_file():
        problems.append(f"data.schema_file: got {schema!r}, which is not a file here; expected a schema.pbtxt")
    corrections = value_at(raw, "data.corrections")
    if isinstance(corrections, str) and not Path(corrections).expanduser().is_file():
        problems.append(
            f"data.corrections: got {corrections!r}, which is not a file here; expected a CSV file with the columns "
            "path and label"
        )
    log = value_at(raw, "data.serving_log")
    if isinstance(log, str) and not Path(log).expanduser().is_file():
        problems.append(
            f"data.serving_log: got {log!r}, which is not a file here; expected a CSV file, as `finetune predict "
            "--output FILE.csv` writes"
        )
    source_task = value_at(raw, "evaluation.source_task")
    if isinstance(source_task, str) and record:
        where = Path(source_task).expanduser()
        if problem := INGEST_MODALITIES[record.modality].root_problem(where):
            problems.append(f"evaluation.source_task: got {source_task!r}, {problem}")
    training = _parsed(TrainingConfig, raw, "training")
    if training and training.distillation:
        problems += _teacher_problems(training.distillation)
    config = _parsed(BackboneConfig, raw, "backbone")
    if config and record:
        problems += source_of(config).file_problems(config)
    elif config and config.local_path and not config.local_path.exists():
        problems.append(missing_weights(config))
    return problems


def _teacher_problems(distillation: DistillationConfig) -> list[str]:
    """Says why there is no SavedModel, or no folder of pictures, where the config has one."""
    folder, unlabelled = Path(distillation.teacher), distillation.unlabelled
    problems = []
    if unlabelled and not Path(unlabelled).is_dir():
        problems.append(
            f"training.distillation.unlabelled: got {unlabelled!r}, which is not a folder here; expected one of "
            "pictures"
        )
    if distillation.teacher == CHAMPION or (folder / SAVED_MODEL).is_file():
        return problems
    inside = sorted(path.parent for path in folder.glob(f"*/{SAVED_MODEL}"))
    hint = f" Did you mean {str(inside[-1])!r}?" if inside else ""
    kind = f"a folder without {SAVED_MODEL}" if folder.is_dir() else "not a folder here"
    return [
        *problems,
        f"training.distillation.teacher: got {distillation.teacher!r}, which is {kind}; expected that of a SavedModel, "
        f"such as a pushed version.{hint}",
    ]


def of_each_candidate(*checks: Check) -> Check:
    """Makes checks hold for each backbone that `backbone.name: auto` would rank; those of a folder must be here."""

    def checked(raw: dict[str, Any]) -> list[str]:
        config = _parsed(BackboneConfig, raw, "backbone")
        if config is None or not config.is_open:
            return [problem for check in checks for problem in check(raw)]
        data = _parsed(DataConfig, raw, "data")
        try:
            found = candidates_of(config, modality_of(data)) if data else ()
        except ConfigError as error:
            return error.problems if files_exist in checks else []
        raws = [{**raw, "backbone": each.model_dump(exclude_defaults=True)} for each in found]
        return list(dict.fromkeys(problem for each in raws for check in checks for problem in check(each)))

    return checked


# Of a config that runs elsewhere, and of one that runs here: the files that it names are here too.
_OF_ALL = (
    task_fits,
    data_checks_exist,
    gates_can_be_measured,
    tuning_can_be_measured,
    decisions_go_with_task,
    source_task_can_be_probed,
    beam_components_exist,
    sides_fit,
)
_OF_BACKBONES = (backbone_fits, modality_fits, averaging_fits, places_can_be_seen)
CHECKS = (*_OF_ALL, of_each_candidate(*_OF_BACKBONES))
LOCAL_CHECKS = (*_OF_ALL, of_each_candidate(*_OF_BACKBONES, files_exist))


def _record(raw: dict[str, Any]) -> Backbone | None:
    """The record of the backbone; None where there is none, which `backbone_fits` reports."""
    config = _parsed(BackboneConfig, raw, "backbone")
    try:
        return record_of(config) if config else None
    except BackboneError:
        return None


def _parsed(model: type[_Section], raw: dict[str, Any], name: str) -> _Section | None:
    """A section by itself; None where it is not valid, which `load_config` reports."""
    try:
        return model.model_validate(raw.get(name, {}))
    except ValidationError:
        return None
