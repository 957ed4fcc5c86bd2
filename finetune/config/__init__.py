"""The config: typed sections with defaults, read from YAML and dotted overrides, every mistake reported at once.

Relative paths in a config are relative to the folder that `finetune` is started in.
"""

from finetune.config.augmentation import AugmentationConfig
from finetune.config.backbone import BackboneConfig, TextConfig
from finetune.config.data import DataConfig
from finetune.config.distribution import DistributionConfig
from finetune.config.evaluation import EvaluationConfig, GateConfig
from finetune.config.head import HeadConfig, RegularizersConfig
from finetune.config.kubernetes import KubernetesConfig
from finetune.config.load import Check, load_config
from finetune.config.phases import EarlyStoppingConfig, OptimizerConfig, PhaseConfig, ScheduleConfig
from finetune.config.serving import PushConfig, ServingConfig
from finetune.config.strategies import STRATEGIES, Strategy
from finetune.config.tracking import MlflowConfig, TrackingConfig
from finetune.config.training import CheckpointConfig, FrozenFeaturesConfig, TrainingConfig
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
    "DistributionConfig",
    "EarlyStoppingConfig",
    "EvaluationConfig",
    "FrozenFeaturesConfig",
    "GateConfig",
    "HeadConfig",
    "KubernetesConfig",
    "MlflowConfig",
    "OptimizerConfig",
    "PhaseConfig",
    "PushConfig",
    "RegularizersConfig",
    "ScheduleConfig",
    "ServingConfig",
    "Strategy",
    "TextConfig",
    "TrackingConfig",
    "TrainingConfig",
    "Unfreeze",
    "load_config",
]
