"""The config: typed sections with defaults, read from YAML and dotted overrides, every mistake reported at once.

Relative paths in a config are relative to the folder that `finetune` is started in.
"""

from finetune.config.augmentation import AugmentationConfig
from finetune.config.backbone import BackboneConfig
from finetune.config.data import DataConfig
from finetune.config.distillation import DistillationConfig
from finetune.config.distribution import DistributionConfig
from finetune.config.evaluation import EvaluationConfig
from finetune.config.head import HeadConfig
from finetune.config.keep import KeepConfig
from finetune.config.load import Check, checked_config, load_config, load_placement
from finetune.config.peft import PeftConfig
from finetune.config.phases import EarlyStoppingConfig, OptimizerConfig, PhaseConfig
from finetune.config.strategies import STRATEGIES
from finetune.config.tracking import TrackingConfig
from finetune.config.training import CheckpointConfig, TrainingConfig
from finetune.config.tuning import EarlyStopConfig, TuningConfig
from finetune.config.unfreeze import Unfreeze
from finetune.config.whole import Config

__all__ = [
    "STRATEGIES",
    "AugmentationConfig",
    "BackboneConfig",
    "Check",
    "CheckpointConfig",
    "Config",
    "DataConfig",
    "DistillationConfig",
    "DistributionConfig",
    "EarlyStopConfig",
    "EarlyStoppingConfig",
    "EvaluationConfig",
    "HeadConfig",
    "KeepConfig",
    "OptimizerConfig",
    "PeftConfig",
    "PhaseConfig",
    "TrackingConfig",
    "TrainingConfig",
    "TuningConfig",
    "Unfreeze",
    "checked_config",
    "load_config",
    "load_placement",
]
