"""The section of a config that says who teaches the model, beside the labels."""

from __future__ import annotations

from pydantic import Field

from finetune.config.base import LocalPath, Section

# In place of a folder: the model that is served.
CHAMPION = "champion"


class DistillationConfig(Section):
    """A teacher: the model learns from what another one says of its examples, beside their labels (Hinton et al. 2015).

    The loss of an example is `weight * temperature^2 * KL(teacher || model) + (1 - weight) * loss of its label`, where
    the divergence is that of both outputs softened by the temperature.
    """

    teacher: LocalPath = Field(
        description="the folder of a SavedModel that serves what ours do, such as a pushed version, or `champion`, the "
        "model that is served; for the same classes. Its outputs are computed once for each example, and kept",
    )
    temperature: float = Field(
        5.0,
        gt=0,
        le=100,
        description="divides the logits of both before they are compared: the higher, the more the classes count that "
        "the teacher finds improbable",
    )
    weight: float = Field(
        0.9, gt=0, le=1, description="of what the teacher says; the labels have the rest. 1 leaves them out"
    )
    unlabelled: LocalPath | None = Field(
        None,
        description="folder of pictures without labels, which are learned from as well: what they are, the teacher "
        "alone says. Those that train, val or test have are left out, and so is what cannot be used",
    )
