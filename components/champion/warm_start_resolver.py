"""Finds what a warm start begins with: what the Trainer of the champion left beside its export."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.dsl.components.common import resolver
from tfx.types import Channel, standard_artifacts

from components.champion.choice import champion_uri
from components.champion.lineage import run_to_start_from
from components.champion.pushed import PushedStrategy

MODEL, MODEL_RUN, EXAMPLES = "model", "model_run", "examples"


class WarmStartStrategy(PushedStrategy):
    """The model run of the highest pushed version that this metadata store knows; see `run_to_start_from`."""

    def __init__(self, push_directory: str, start_from: str):
        super().__init__(push_directory)
        self._start_from = start_from

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Returns the champion under `model` and the run to begin with under `model_run`, or none of either."""
        models = {artifact.uri: artifact for artifact in input_dict[MODEL]}
        champion = champion_uri(self._directory, (), models.__contains__) if self._start_from == "champion" else None
        examples = [artifact.id for artifact in input_dict[EXAMPLES]]
        start = run_to_start_from(store, models[champion].id, examples) if champion else None
        runs = [artifact for artifact in input_dict[MODEL_RUN] if artifact.id == start]
        return {**input_dict, MODEL: [models[champion]] if champion else [], MODEL_RUN: runs[:1]}


def warm_start_resolver(examples: types.BaseChannel, push_directory: str, start_from: str) -> resolver.Resolver:
    """Returns the resolver node; its output `model_run` is empty where training starts from the backbone.

    Args:
        examples: What is to be trained on.
        push_directory: Folder of versions, or the run-time value that becomes one.
        start_from: `training.start_from`, or the run-time value that becomes one.
    """
    return resolver.Resolver(
        strategy_class=WarmStartStrategy,
        config={"push_directory": push_directory, "start_from": start_from},
        **{
            MODEL: Channel(type=standard_artifacts.Model),
            MODEL_RUN: Channel(type=standard_artifacts.ModelRun),
            EXAMPLES: examples,
        },
    ).with_id("WarmStartResolver")
