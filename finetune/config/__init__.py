"""The config: typed sections, defaults, YAML, dotted overrides, and every mistake reported at once.

A leaf: it imports nothing of ours but the errors, and neither TensorFlow nor TFX.
Relative paths in a config are relative to the folder that `finetune` is started in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from finetune.config.backbone import BackboneConfig
from finetune.config.data import DataConfig, LocalPath
from finetune.config.evaluation import EvaluationConfig
from finetune.config.kubernetes import KubernetesConfig
from finetune.config.serving import PushConfig, ServingConfig
from finetune.errors import ConfigError, did_you_mean


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class HeadConfig(_Section):
    """The layers on top of the backbone: pooling, dense layers, dropout, and one softmax unit per class."""

    units: list[Annotated[int, Field(ge=1, le=65536)]] = Field([256], description="width of each hidden dense layer")
    dropout: float = Field(0.5, ge=0, lt=1, description="after each hidden layer")
    spatial_dropout: float = Field(0.0, ge=0, lt=1, description="of whole channels of the feature map, before pooling")
    l1: float = Field(0.0, ge=0, description="L1 penalty on the head's kernels")
    l2: float = Field(0.0, ge=0, description="L2 penalty on the head's kernels; 1e-4 is the usual start")


class AugmentationConfig(_Section):
    """Random changes of training pictures. All off by default; 0.1 each is the usual start."""

    horizontal_flip: bool = Field(False, description="half of the pictures, left to right")
    rotation: float = Field(0.0, ge=0, le=0.5, description="fraction of a full turn, either way")
    zoom: float = Field(0.0, ge=0, lt=1, description="fraction, in or out")
    shift: float = Field(0.0, ge=0, lt=1, description="fraction of height and of width, either way")
    brightness: float = Field(0.0, ge=0, le=1, description="fraction of the full range, either way")
    contrast: float = Field(0.0, ge=0, lt=1, description="factor from 1 - x to 1 + x")
    views: Literal["fresh"] | Annotated[int, Field(ge=1, le=1000)] = Field(
        "fresh",
        description="`fresh` changes every picture anew in every epoch, and bypasses the trunk cache in training; a "
        "number makes so many changed copies of each picture, of which epochs use one in turn, and which can be cached",
    )

    @property
    def is_active(self) -> bool:
        """Whether it changes pictures at all."""
        return any(value for name, value in self if name != "views")


UNFREEZE_FORMS = (
    "`none`, `all`, `{last_layers: N}`, `{last_blocks: N}`, `{fraction: X}`, `{from_layer: NAME}` or "
    "`{variables: REGEX}`"
)


class Unfreeze(_Section):
    """The part of the backbone that a phase trains, counted from the output. The head always trains."""

    last_layers: int | Literal["all"] = Field(0, description="how many layers")
    last_blocks: int | None = Field(None, ge=1, description="how many blocks, such as `block_16` of MobileNetV2")
    fraction: float | None = Field(None, gt=0, le=1, description="share of the layers, rounded up")
    from_layer: str | None = Field(None, min_length=1, description="a layer or block, and all that follows it")
    variables: str | None = Field(None, min_length=1, description="regular expression, found in a variable's name")

    @model_validator(mode="before")
    @classmethod
    def _accept_words(cls, value: Any) -> Any:
        if value is None or value == "none":
            return {"last_layers": 0}
        if value == "all":
            return {"last_layers": "all"}
        if not isinstance(value, dict | Unfreeze):
            raise ValueError(f"expected {UNFREEZE_FORMS}")
        return value

    @field_validator("last_layers")
    @classmethod
    def _count_is_not_negative(cls, count: int | str) -> int | str:
        if isinstance(count, int) and count < 0:
            raise ValueError("expected a number of layers, 0 or more")
        return count

    @field_validator("variables")
    @classmethod
    def _pattern_compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"expected a regular expression; {error}") from None
        return pattern

    @model_validator(mode="after")
    def _one_form(self) -> Unfreeze:
        others = [self.last_blocks, self.fraction, self.from_layer, self.variables]
        if sum(form is not None for form in others) + (self.last_layers != 0) > 1:
            raise ValueError(f"expected exactly one of {UNFREEZE_FORMS}")
        return self

    @property
    def is_nothing(self) -> bool:
        """Whether the head alone trains."""
        return self == Unfreeze()

    def __str__(self) -> str:
        if self.last_blocks:
            return f"the last {self.last_blocks} blocks" if self.last_blocks > 1 else "the last block"
        if self.fraction:
            return f"the last {100 * self.fraction:g} % of the layers"
        if self.from_layer:
            return f"all from {self.from_layer} on"
        if self.variables:
            return f"variables that match {self.variables!r}"
        if self.last_layers == "all":
            return "all layers"
        return f"the last {self.last_layers} layers" if self.last_layers else "nothing: the head alone trains"


class OptimizerConfig(_Section):
    """What turns gradients into updates. Written as a name, or as a section."""

    name: Literal["adam", "adamw", "sgd", "rmsprop", "nadam"] = "adam"
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.004, ge=0, description="of adamw, on kernels only: biases and norms do not decay")
    clipnorm: float | None = Field(None, gt=0, description="largest norm of each variable's gradient, such as 1.0")
    clipvalue: float | None = Field(None, gt=0, description="largest size of each number of a gradient, such as 0.5")
    global_clipnorm: float | None = Field(None, gt=0, description="largest norm of all gradients together")

    @model_validator(mode="before")
    @classmethod
    def _accept_a_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_way_to_clip(self) -> OptimizerConfig:
        if sum(bound is not None for bound in (self.clipnorm, self.clipvalue, self.global_clipnorm)) > 1:
            raise ValueError("expected at most one of `clipnorm`, `clipvalue` and `global_clipnorm`")
        return self


class ScheduleConfig(_Section):
    """How the learning rate changes within a phase. Written as a name, or as a section."""

    name: Literal["constant", "cosine", "exponential"] = Field(
        "constant", description="after warm-up; `cosine` falls over the rest of the phase, `exponential` in stairs"
    )
    alpha: float = Field(0.01, ge=0, le=1, description="cosine: what is left of the rate at the end")
    decay_rate: float = Field(0.96, gt=0, le=1, description="exponential: factor of each stair")
    decay_steps: int = Field(10_000, ge=1, description="exponential: steps of each stair")
    warmup_epochs: float = Field(0.0, ge=0, description="the rate rises linearly over these; 5 is the usual start")

    @model_validator(mode="before")
    @classmethod
    def _accept_a_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class EarlyStoppingConfig(_Section):
    """When a phase ends before its epochs do. The best weights by validation loss are kept either way."""

    patience: int = Field(5, ge=1, description="epochs without a better validation loss")
    min_delta: float = Field(0.0, ge=0, description="a smaller gain does not count as better")


class RegularizersConfig(_Section):
    """Of the head in one phase; what is left out is as `training.head` says."""

    dropout: float | None = Field(None, ge=0, lt=1, description="after each hidden layer")
    spatial_dropout: float | None = Field(None, ge=0, lt=1, description="of whole channels, before pooling")
    l1: float | None = Field(None, ge=0, description="L1 penalty on the head's kernels")
    l2: float | None = Field(None, ge=0, description="L2 penalty on the head's kernels")


class PhaseConfig(_Section):
    """One stretch of training with one set of trainable layers and one optimiser."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,40}$", description="in the summary and the report")
    unfreeze: Unfreeze = Field(Unfreeze(), description=UNFREEZE_FORMS, validate_default=True)
    epochs: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="at most; early stopping may end it before. Or `steps`, or `examples`",
    )
    steps: int | None = Field(None, ge=1, description="at most, in place of `epochs`: updates")
    examples: int | None = Field(None, ge=1, description="at most, in place of `epochs`: examples seen")
    learning_rate: float = Field(gt=0, le=10, description="the highest of the schedule")
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    block_rate_factor: float = Field(
        1.0, gt=0, le=1, description="each block of the backbone learns at this times the rate of the one above it"
    )
    early_stopping: EarlyStoppingConfig | None = EarlyStoppingConfig()
    augmentation: AugmentationConfig | None = Field(
        None, description="in this phase, in place of the section `augmentation`"
    )
    regularizers: RegularizersConfig = RegularizersConfig()

    @model_validator(mode="after")
    def _one_duration(self) -> PhaseConfig:
        if sum(duration is not None for duration in (self.epochs, self.steps, self.examples)) != 1:
            raise ValueError("expected exactly one of `epochs`, `steps` and `examples`")
        if self.epochs and self.schedule.warmup_epochs and self.schedule.warmup_epochs >= self.epochs:
            raise ValueError(f"schedule.warmup_epochs: expected less than the {self.epochs} epochs of the phase")
        return self

    @property
    def duration(self) -> str:
        """How long the phase lasts at most, in words."""
        return next(f"{count} {unit}" for unit in ("epochs", "steps", "examples") if (count := getattr(self, unit)))


# The starting values of practice: a head at 1e-3 for ten epochs, then the last ten layers one to two orders of
# magnitude lower for twenty (Keras guide to transfer learning). A new head comes first in every strategy: through a
# head of random weights, the first gradients would spoil what the backbone has learned (Kumar et al. 2022).
HEAD = PhaseConfig(name="head", epochs=10, learning_rate=1e-3)
TWO_PHASE = (HEAD, PhaseConfig(name="fine_tune", unfreeze={"last_layers": 10}, epochs=20, learning_rate=1e-5))


def _one_block_more(epochs: int, patience: int) -> tuple[PhaseConfig, ...]:
    """Three phases, each with one block more than the one before (gradual unfreezing, Howard and Ruder 2018)."""
    return tuple(
        PhaseConfig(
            name=f"block_{blocks}_from_top",
            unfreeze={"last_blocks": blocks},
            epochs=epochs,
            learning_rate=1e-5,
            early_stopping={"patience": patience},
        )
        for blocks in (1, 2, 3)
    )


STRATEGIES: dict[str, tuple[PhaseConfig, ...]] = {
    "linear_probe": (HEAD.model_copy(update={"epochs": 30}),),
    "two_phase": TWO_PHASE,
    "gradual": (HEAD, *_one_block_more(epochs=7, patience=5)),
    # Early stopping is what makes it adaptive: the next block follows when the validation loss stops improving.
    "adaptive": (HEAD, *_one_block_more(epochs=40, patience=2)),
    "full": (HEAD, PhaseConfig(name="fine_tune", unfreeze="all", epochs=20, learning_rate=1e-5)),
    "discriminative": (
        HEAD,
        PhaseConfig(
            name="fine_tune",
            unfreeze="all",
            epochs=20,
            learning_rate=1e-4,
            schedule={"name": "cosine", "warmup_epochs": 2},
            block_rate_factor=0.38,  # 1 / 2.6 (Howard and Ruder 2018, section 3.2)
        ),
    ),
}


class CheckpointConfig(_Section):
    """Where training stands is saved at the end of each epoch, and within an epoch as these say."""

    every_steps: int | None = Field(None, ge=1, description="of an epoch; or `every_minutes`")
    every_minutes: float | None = Field(None, gt=0, description="on one machine; several count steps")

    @model_validator(mode="after")
    def _one_interval(self) -> CheckpointConfig:
        if self.every_steps and self.every_minutes:
            raise ValueError("expected at most one of `every_steps` and `every_minutes`")
        return self


class TrunkCacheConfig(_Section):
    """What may be kept of the outputs of the frozen part of the backbone (`cache_trunk`)."""

    dtype: Literal["float32", "float16"] = Field(
        "float32", description="of the numbers; float16 takes half the room and rounds to three digits"
    )
    disk_gb: float = Field(
        20.0,
        ge=0,
        description="all files in `<output_dir>/trunk` together; those not used for longest make room, after a day",
    )


def _yaml_switch(value: Any) -> Any:
    """YAML reads a bare `off` as false and a bare `on` as true."""
    return ("off", "on")[value] if isinstance(value, bool) else value


class TrainingConfig(_Section):
    """How the model is trained."""

    seed: int = Field(1, ge=0, lt=2**31, description="the same config and seed give the same weights")
    batch_size: int = Field(32, ge=1, le=65536, description="examples a step, over all devices together")
    micro_batches: int = Field(
        1,
        ge=1,
        le=65536,
        description="parts that a device's share of a batch is cut into, one after the other, to need less memory; "
        "their gradients add up to that of the whole batch. Doubled by itself when memory runs out",
    )
    mixed_precision: Annotated[Literal["off", "float16", "bfloat16"], BeforeValidator(_yaml_switch)] = Field(
        "off",
        description="what the backbone computes in; its variables, the head, the loss and the exported model stay "
        "float32. `float16`, with dynamic loss scaling, suits GPUs; `bfloat16` TPUs and new GPUs. CPUs get slower",
    )
    batch_norm: Literal["frozen", "train", "train_affine_only"] = Field(
        "frozen",
        description="BatchNorm of the backbone, in the layers that a phase trains: `frozen` keeps statistics, scale "
        "and offset as they are; `train_affine_only` trains scale and offset; `train` updates the statistics too",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of each label that is spread over all classes; 0.1 is the usual start"
    )
    focal_gamma: float = Field(
        0.0, ge=0, le=10, description="focal loss: how much less examples count that are right already; 2 is usual"
    )
    class_weights: Literal["balanced"] | dict[str, Annotated[float, Field(gt=0)]] | None = Field(
        None,
        description="how much each class counts in the loss: a weight per class, or `balanced`, which makes all "
        "classes of the train split count the same",
    )
    on_nan: Literal["stop", "rollback"] = Field(
        "stop",
        description="when a loss is no longer a number: stop, or return to the last good state with half the rate",
    )
    checkpoint: CheckpointConfig = CheckpointConfig()
    cache_trunk: Annotated[Literal["auto", "on", "off"], BeforeValidator(_yaml_switch)] = Field(
        "auto",
        description="run the frozen part of the backbone once and train on what it gave: `auto` where that pays, `on` "
        "wherever it is possible",
    )
    trunk_cache: TrunkCacheConfig = TrunkCacheConfig()
    memory_mb: int = Field(
        2048,
        ge=0,
        description="a split, and what a phase reads of the outputs of the frozen part, are held in memory up to this "
        "size each, and read from files above it",
    )
    head: HeadConfig = HeadConfig()
    strategy: Literal["linear_probe", "two_phase", "gradual", "adaptive", "full", "discriminative", "auto"] = Field(
        "two_phase",
        description="phases by name: `finetune plan` prints them. `auto` lets the Trainer choose by the number of "
        "examples and classes and the size of the backbone, and say why. Phases of your own win",
    )
    similarity: Literal["similar", "different"] = Field(
        "similar",
        description="for `auto`: whether your data look like those that the backbone was pretrained on, such as photos "
        "of things for ImageNet; scans, spectrograms and drawings are `different`, and more layers train",
    )
    phases: list[PhaseConfig] = Field([], description="phases of your own; default: those of `strategy`")

    @model_validator(mode="before")
    @classmethod
    def _phases_of_strategy(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("phases") is None:
            named = STRATEGIES.get(str(value.get("strategy", "two_phase")), ())
            return {**value, "phases": list(named)}
        return value

    @model_validator(mode="after")
    def _some_phase(self) -> TrainingConfig:
        if not self.phases and self.strategy != "auto":
            raise ValueError("phases: expected at least one, or none of the key `phases` for those of `strategy`")
        return self

    @model_validator(mode="after")
    def _one_loss(self) -> TrainingConfig:
        if self.label_smoothing and self.focal_gamma:
            raise ValueError("expected at most one of `label_smoothing` and `focal_gamma`")
        return self

    @field_validator("phases")
    @classmethod
    def _names_differ(cls, phases: list[PhaseConfig]) -> list[PhaseConfig]:
        names = [phase.name for phase in phases]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"expected each phase to have its own name; twice: {', '.join(twice)}")
        return phases


class DistributionConfig(_Section):
    """Which `tf.distribute` strategy trains."""

    strategy: Literal["auto", "one_device", "mirrored", "multi_worker_mirrored", "tpu"] = Field(
        "auto",
        description="`auto`: several workers in TF_CONFIG -> multi_worker_mirrored, several GPUs -> mirrored, "
        "else one_device",
    )
    workers: int = Field(
        1, ge=1, le=256, description="on Kubernetes: machines that train together, as the pods of an Indexed Job"
    )

    @model_validator(mode="after")
    def _workers_go_with_their_strategy(self) -> DistributionConfig:
        if self.workers > 1 and self.strategy not in ("auto", "multi_worker_mirrored"):
            raise ValueError(f"{self.workers} workers go with strategy `auto` or `multi_worker_mirrored`")
        return self


class MlflowConfig(_Section):
    """An MLflow tracking server, or a folder."""

    uri: str = Field(min_length=1, description="such as `http://mlflow:5000`, or `file:///data/mlruns`")
    experiment: str = Field("finetune", min_length=1, description="made if there is none of that name")


class TrackingConfig(_Section):
    """Where the course of training is written besides the report. A server that is down does not end training."""

    tensorboard: bool = Field(True, description="event files in <output_dir>/tensorboard")
    mlflow: MlflowConfig | None = None


class Config(_Section):
    """A whole pipeline."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="lower case letters, digits, - and _")
    output_dir: LocalPath | None = Field(None, description="default: ./runs/<name>")
    data: DataConfig
    backbone: BackboneConfig
    training: TrainingConfig = TrainingConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    distribution: DistributionConfig = DistributionConfig()
    tracking: TrackingConfig = TrackingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    serving: ServingConfig = ServingConfig()
    push: PushConfig = PushConfig()
    kubernetes: KubernetesConfig = KubernetesConfig()

    @model_validator(mode="after")
    def _scratch_knows_how_long(self) -> Config:
        scratch = "from_scratch" in self.evaluation.baselines
        if scratch and not self.training.phases:
            raise ValueError(
                "evaluation.baselines: `from_scratch` trains for as long as all phases together, which strategy `auto` "
                "does not know beforehand; expected phases, another strategy, or no baseline"
            )
        units = {phase.duration.split()[1] for phase in self.training.phases}
        if scratch and len(units) > 1:
            raise ValueError(
                "evaluation.baselines: `from_scratch` trains for as long as all phases together; expected phases "
                f"that last all in one of epochs, steps and examples, and these have {' and '.join(sorted(units))}"
            )
        return self

    @model_validator(mode="after")
    def _slices_are_columns(self) -> Config:
        known = {"label", *self.data.slice_columns}
        unknown = sorted(self.evaluation.columns() - known)
        if unknown:
            raise ValueError(
                f"evaluation: got a slice by {', '.join(unknown)}; expected label or one of data.slice_columns "
                f"({', '.join(self.data.slice_columns) or 'none is named'}).{did_you_mean(unknown[0], known)}"
            )
        return self

    @property
    def output_path(self) -> Path:
        """Everything that a run writes goes below this folder, but for a `push.directory` of your own."""
        return Path(self.output_dir or f"runs/{self.name}").absolute()

    @property
    def metadata_path(self) -> Path:
        """The SQLite file of ML Metadata, for runs on this machine."""
        return self.output_path / "metadata.sqlite"

    @property
    def push_path(self) -> Path:
        """The folder of pushed versions."""
        return Path(self.push.directory).absolute() if self.push.directory else self.output_path / "pushed"

    def to_yaml(self) -> str:
        """The config with its defaults filled in."""
        return yaml.safe_dump(json.loads(self.model_dump_json()), sort_keys=False, allow_unicode=True)


Check = Callable[[dict[str, Any]], list[str]]


def load_config(path: str | Path, overrides: Iterable[str] = (), checks: Iterable[Check] = ()) -> Config:
    """Reads a YAML file, applies `key=value` overrides, validates everything.

    Args:
        path: The YAML file.
        overrides: Such as ``training.phases[1].epochs=5`` or ``data.root=photos``; values are read as YAML.
        checks: Further checks of the raw mapping, each returning problems; for what this leaf cannot know.

    Raises:
        ConfigError: With every problem found, one line each.
    """
    raw = _read_yaml(Path(path))
    problems = []
    for override in overrides:
        try:
            _apply_override(raw, override)
        except ValueError as error:
            problems.append(str(error))
    config = None
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        problems += [_describe(detail) for detail in error.errors()]
    for check in checks:
        problems += check(raw)
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    assert config is not None
    return config


class _UniqueKeyLoader(yaml.SafeLoader):
    """Plain YAML silently keeps the last of two equal keys; here that is a mistake."""


def _mapping_with_unique_keys(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    twice = [str(key) for position, key in enumerate(keys) if key in keys[:position]]
    if twice:
        line = node.start_mark.line + 1
        raise yaml.constructor.ConstructorError(None, None, f"key {twice[0]!r} stands twice below line {line}")
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_with_unique_keys)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file; expected a YAML config, such as configs/flowers.yaml"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read as UTF-8 text: {error}"]) from None
    try:
        raw = yaml.load(text, _UniqueKeyLoader)
    except (yaml.YAMLError, TypeError, RecursionError) as error:
        raise ConfigError([f"{path}: not valid YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(raw, dict):
        received = "an empty file" if raw is None else f"a {type(raw).__name__}"
        raise ConfigError([f"{path}: got {received}; expected sections such as `data:` and `backbone:`"])
    return raw


_KEY_PART = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def _apply_override(raw: dict[str, Any], override: str) -> None:
    """Sets one dotted key in place; raises ValueError with a sentence where it cannot."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ValueError(f"{override!r}: expected key=value, such as training.seed=2")
    try:
        value = yaml.load(text, _UniqueKeyLoader) if text else ""
    except yaml.YAMLError:
        raise ValueError(f"{key}: the value {text!r} is not valid YAML") from None
    parts = [name or int(index) for name, index in _KEY_PART.findall(key)]
    rebuilt = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")
    if rebuilt != key or isinstance(parts[0], int):
        raise ValueError(f"{key!r}: expected a dotted key, such as training.phases[1].epochs")
    place: Any = raw
    for depth, part in enumerate(parts):
        here = ".".join(map(str, parts[:depth])) or "the config"
        if isinstance(part, int):
            if not isinstance(place, list) or part >= len(place):
                length = len(place) if isinstance(place, list) else "no"
                raise ValueError(f"{key}: {here} is given with {length} entries in the file; there is no [{part}]")
        elif not isinstance(place, dict):
            raise ValueError(f"{key}: {here} holds {place!r}, which has no keys")
        if depth == len(parts) - 1:
            place[part] = value
        elif isinstance(part, int):
            place = place[part]
        else:
            if place.get(part) is None:
                place[part] = {}
            place = place[part]


def _describe(detail: dict[str, Any]) -> str:
    """One pydantic error as `key: got X; expected Y. Did you mean 'Z'?`."""
    place = [part for part in detail["loc"] if not _names_a_union_branch(part)]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".") or "config"
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        names = _field_names(place[:-1])
        return f"{key}: unknown key; expected one of {', '.join(names)}.{did_you_mean(str(place[-1]), names)}"
    if kind == "missing":
        return f"{key}: missing; expected {_expectation(place)}"
    received = f"got {detail['input']!r}"
    if len(received) > 120:
        received = received[:120] + "..."
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        return f"{key}: {received}; expected {context['expected']}.{did_you_mean(str(detail['input']), choices)}"
    if kind == "value_error":
        # Of the whole config, the error names the keys and what was received.
        return f"{key}: {received}; {context['error']}" if place else str(context["error"])
    message = detail["msg"].replace("Input should be ", "").replace("Value should ", "")
    return f"{key}: {received}; expected {message[0].lower() + message[1:]}"


def _names_a_union_branch(part: str | int) -> bool:
    """pydantic puts the branch that it tried into the location, such as `constrained-float` or `literal['all']`."""
    return isinstance(part, str) and (part in ("float", "int", "str") or part.startswith(("constrained", "literal[")))


def _models_at(place: Iterable[str | int]) -> Iterator[type[BaseModel]]:
    model: type[BaseModel] | None = Config
    yield model
    for part in place:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part) if model else None
        model = _model_within(field.annotation) if field else None
        if model is None:
            return
        yield model


def _model_within(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_within(argument)
        if found:
            return found
    return None


def _field_names(place: list[str | int]) -> list[str]:
    *_, model = _models_at(place)
    return list(model.model_fields)


def _expectation(place: list[str | int]) -> str:
    *_, model = _models_at(place[:-1])
    field = model.model_fields.get(str(place[-1]))
    section = _model_within(field.annotation) if field else None
    if section:
        needed = [name for name, inner in section.model_fields.items() if inner.is_required()]
        return f"a section with {' and '.join(needed)}"
    return field.description if field and field.description else "a value"
