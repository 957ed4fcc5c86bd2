"""Finds the model that teaches where `training.distillation.teacher` is `champion`."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.dsl.components.common import resolver
from tfx.types import Channel, standard_artifacts

from components.champion.choice import champion_uri
from components.champion.lineage import model_to_learn_from
from components.champion.pushed import PushedStrategy

MODEL, EXAMPLES = "model", "examples"


class TeacherStrategy(PushedStrategy):
    """The model of the highest pushed version that this metadata store knows; see `model_to_learn_from`."""

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Returns it under `model`, or none."""
        models = {artifact.uri: artifact for artifact in input_dict[MODEL]}
        champion = champion_uri(self._directory, (), models.__contains__)
        examples = [artifact.id for artifact in input_dict[EXAMPLES]]
        wanted = model_to_learn_from(store, models[champion].id, examples) if champion else None
        return {**input_dict, MODEL: [artifact for artifact in models.values() if artifact.id == wanted]}


def teacher_resolver(examples: types.BaseChannel, push_directory: str) -> resolver.Resolver:
    """Returns the resolver node; its output `model` is empty while nothing is pushed.

    Args:
        examples: What is to be trained on.
        push_directory: Folder of versions, or the run-time value that becomes one.
    """
    return resolver.Resolver(
        strategy_class=TeacherStrategy,
        config={"push_directory": push_directory},
        **{MODEL: Channel(type=standard_artifacts.Model), EXAMPLES: examples},
    ).with_id("TeacherResolver")
