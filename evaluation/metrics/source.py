"""What the features of a trained backbone are still worth for an earlier task."""

from __future__ import annotations

from evaluation.metrics.metric import Metric

SOURCE_RETENTION = Metric(
    name="source_retention",
    label="source retention",
    meaning="accuracy of logistic regression on the features of the trained backbone minus that on those of the "
    "pretrained one, cross-validated in the same folds of `evaluation.source_task`; Newcombe's paired interval "
    "(Davari et al. 2022, linear probes of representation forgetting)",
    higher_is_better=True,
    bounds=(-1.0, 1.0),
    advice="move the backbone less: fewer unfrozen layers, a lower rate or fewer epochs (training.phases), or "
    "training.peft",
    of_source=True,
)
