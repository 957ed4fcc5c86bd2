"""Finds the champion: the latest model that was blessed and pushed, and is not the candidate itself.

When nothing has changed, the Trainer is served from the cache and the candidate *is* the latest pushed model. Comparing
it with itself would be a new evaluation, a new blessing and a second push of the same model. Without it, the Evaluator
sees the inputs that it saw before, and is served from the cache too.
"""

from __future__ import annotations

from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.dsl.components.common import resolver
from tfx.types import Channel, standard_artifacts, standard_component_specs

MODEL, PUSHED, CANDIDATE = "model", "pushed_model", "candidate"


class ChampionStrategy(resolver.ResolverStrategy):
    """The model that the latest successful push took, with the candidate left out."""

    def resolve_artifacts(self, store: Any, input_dict: dict[str, list[types.Artifact]]):
        """Returns the champion under `model`, and the other inputs as they came; no model when there is none."""
        models = {artifact.id: artifact for artifact in input_dict[MODEL]}
        for candidate in input_dict[CANDIDATE]:
            models.pop(candidate.id, None)
        pushes = [push for push in input_dict[PUSHED] if push.get_int_custom_property("pushed")]
        latest_first = sorted(pushes, key=lambda push: push.id, reverse=True)
        taken = (models.get(_pushed_from(store, push.id)) for push in latest_first)
        champion = next((model for model in taken if model is not None), None)
        return {**input_dict, MODEL: [champion] if champion else []}


def champion_resolver(candidate: types.BaseChannel) -> resolver.Resolver:
    """Returns the resolver node; its output `model` is the champion, and is empty when there is none."""
    return resolver.Resolver(
        strategy_class=ChampionStrategy,
        **{
            MODEL: Channel(type=standard_artifacts.Model),
            PUSHED: Channel(type=standard_artifacts.PushedModel),
            CANDIDATE: candidate,
        },
    ).with_id("ChampionResolver")


def _pushed_from(store: Any, push: int) -> int | None:
    """The id of the model that a push took, by the id of what it pushed."""
    made_by = [event.execution_id for event in store.get_events_by_artifact_ids([push]) if _is_output(event)]
    for event in store.get_events_by_execution_ids(made_by):
        if (
            event.type == metadata_store_pb2.Event.INPUT
            and event.path.steps[0].key == standard_component_specs.MODEL_KEY
        ):
            return event.artifact_id
    return None


def _is_output(event: metadata_store_pb2.Event) -> bool:
    return event.type == metadata_store_pb2.Event.OUTPUT
