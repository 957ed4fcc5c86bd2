"""What tasks refuse that ask where things are in a picture: what is made for labels of whole examples."""

from __future__ import annotations

from collections.abc import Mapping

# Keys, and what is expected in place of each; see `TrainingTask.refused`.
OF_PLACES: Mapping[str, str] = {
    "training.strategy": "another strategy, or phases: `auto` fits a head to labels",
    "training.start_from": "`backbone`",
    "training.phases.regularizers": "no such section: they are of the layers of `training.head`",
    "training.refit": "false",
    "training.calibration": "`none`",
    "training.test_time_augmentation": "`none`",
    "training.peft": "none",
    "training.distillation": "none",
    "tuning.space": "none: trials are of labels",
    "evaluation.costs": "none",
}
