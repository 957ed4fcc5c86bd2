"""A whole config, and what its sections must agree on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, model_validator

from finetune.buckets import folder, is_bucket
from finetune.config.augmentation import AugmentationConfig
from finetune.config.backbone import BackboneConfig, BackbonesConfig
from finetune.config.base import LocalPath, Section
from finetune.config.beam import BeamConfig
from finetune.config.data import DataConfig
from finetune.config.distribution import DistributionConfig
from finetune.config.evaluation import TEACHER, EvaluationConfig
from finetune.config.keep import KeepConfig
from finetune.config.kubernetes import KubernetesConfig
from finetune.config.notify import NotifyConfig
from finetune.config.retrain import RetrainConfig
from finetune.config.serving import PushConfig, ServingConfig
from finetune.config.space import space_problems
from finetune.config.strategies import AUTO
from finetune.config.tracking import TrackingConfig
from finetune.config.training import TrainingConfig
from finetune.config.tuning import TuningConfig
from finetune.errors import did_you_mean
from finetune.spans import is_pattern

# Tasks of parts of an example.
_OF_PARTS = ("detection", "segmentation")


class Config(Section):
    """A whole pipeline."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="lower case letters, digits, - and _")
    output_dir: LocalPath | None = Field(None, description="default: ./runs/<name>")
    task: str = Field(
        "single_label",
        description="`single_label`: each example has one class; `multi_label`: any number of them, none included; "
        "`detection`: boxes around objects of some classes (docs/detection.md); `segmentation`: the class of each "
        "pixel (docs/segmentation.md)",
    )
    data: DataConfig
    backbone: BackboneConfig = Field(description="the pretrained network; or `backbones`, and not both")
    backbones: BackbonesConfig | None = Field(None, exclude=True)
    training: TrainingConfig = TrainingConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    tuning: TuningConfig = TuningConfig()
    distribution: DistributionConfig = DistributionConfig()
    tracking: TrackingConfig = TrackingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    serving: ServingConfig = ServingConfig()
    push: PushConfig = PushConfig()
    retrain: RetrainConfig = RetrainConfig()
    keep: KeepConfig = KeepConfig()
    notify: NotifyConfig = NotifyConfig()
    beam: BeamConfig = BeamConfig()
    kubernetes: KubernetesConfig = KubernetesConfig()

    @model_validator(mode="before")
    @classmethod
    def _spans_have_defaults_of_their_own(cls, whole: Any) -> Any:
        """Spans bring test examples that have judged nothing; a gate on `retention` asks for those of earlier ones.

        A backfill chooses them for a run of a package.
        """
        data = whole.get("data") if isinstance(whole, dict) else None
        evaluation = whole.get("evaluation", {}) if isinstance(whole, dict) else None
        if not isinstance(data, dict) or not isinstance(evaluation, dict) or not is_pattern(str(data.get("root", ""))):
            return whole
        evaluation = {"promotion_risk": None, **evaluation}
        kubernetes = whole.get("kubernetes", {})
        if isinstance(kubernetes, dict):
            kubernetes = {"runtime": ["data.root", "data.spans"], **kubernetes}
        gates = evaluation.get("gates")
        metrics = [gate.get("metric") for gate in gates if isinstance(gate, dict)] if isinstance(gates, list) else []
        if "retention" in metrics and isinstance(data.get("window"), int) and data.get("replay") is None:
            data = {**data, "replay": {"share": 0}}
        return {**whole, "data": data, "evaluation": evaluation, "kubernetes": kubernetes}

    @model_validator(mode="before")
    @classmethod
    def _linear_models_are_of_whole_examples_and_one_backbone(cls, whole: Any) -> Any:
        """None draws boxes or masks, or takes what two networks give: such a baseline is there by default nowhere."""
        if not isinstance(whole, dict) or not isinstance(evaluation := whole.get("evaluation", {}), dict):
            return whole
        backbone = whole.get("backbone")
        two = isinstance(backbone, dict) and backbone.get("sides") is not None
        if "baselines" in evaluation or not (two or whole.get("task") in _OF_PARTS):
            return whole
        return {**whole, "evaluation": {**evaluation, "baselines": ["majority"]}}

    @model_validator(mode="after")
    def _scratch_knows_how_long(self) -> Config:
        scratch = "from_scratch" in self.evaluation.baselines
        if scratch and self.training.strategy == AUTO:
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
    def _space_is_of_training(self) -> Config:
        if problems := space_problems(self.tuning, self.training, self.augmentation):
            raise ValueError("\n".join(problems))
        return self

    @model_validator(mode="after")
    def _a_teacher_is_named(self) -> Config:
        if TEACHER in self.evaluation.baselines and self.training.distillation is None:
            raise ValueError(
                "evaluation.baselines: got `teacher`; expected training.distillation, which names one, or no such "
                "baseline"
            )
        return self

    @model_validator(mode="after")
    def _slices_are_columns(self) -> Config:
        known = {"label", *self.data.slice_columns, *(["span"] if self.data.in_spans else [])}
        unknown = sorted(self.evaluation.columns() - known)
        if unknown:
            raise ValueError(
                f"evaluation: got a slice by {', '.join(unknown)}; expected label or one of data.slice_columns "
                f"({', '.join(self.data.slice_columns) or 'none is named'}).{did_you_mean(unknown[0], known)}"
            )
        return self

    @model_validator(mode="after")
    def _approval_is_a_rename(self) -> Config:
        if self.evaluation.approval == "required" and is_bucket(self.push.directory):
            raise ValueError(
                f"evaluation.approval: got `required` with push.directory {self.push.directory!r}; an approval is one "
                "rename, which a bucket does not have. Expected a folder, such as a bucket that is mounted"
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
        if not self.push.directory:
            return self.output_path / "pushed"
        return folder(self.push.directory).absolute()

    def to_yaml(self) -> str:
        """The config with its defaults filled in, as it is written by hand."""
        whole = json.loads(self.model_dump_json())
        sides = whole["backbone"].pop("sides")
        if sides:
            whole = {("backbones" if key == "backbone" else key): value for key, value in whole.items()}
            whole["backbones"] = sides
        return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True)
