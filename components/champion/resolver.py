"""Finds the champion: the latest blessed model that is not the candidate itself.

When nothing has changed, the Trainer is served from the cache and the candidate *is* the latest blessed model.
Comparing it with itself would be a new evaluation, a new blessing and a second push of the same model. Without it, the
Evaluator sees the inputs that it saw before, and is served from the cache too.
"""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.dsl.components.common import resolver
from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.types import Channel, standard_artifacts

MODEL, BLESSING, CANDIDATE = "model", "model_blessing", "candidate"


class ChampionStrategy(resolver.ResolverStrategy):
    """TFX's latest blessed model, with the candidate left out."""

    def resolve_artifacts(self, store: Any, input_dict: dict[str, list[types.Artifact]]):
        """Returns the champion and its blessing under the keys they came by; empty lists when there is none."""
        candidates = {artifact.id for artifact in input_dict[CANDIDATE]}
        others = [model for model in input_dict[MODEL] if model.id not in candidates]
        resolved = LatestBlessedModelStrategy().resolve_artifacts(
            store, {MODEL: others, BLESSING: list(input_dict[BLESSING])}
        )
        return {**resolved, CANDIDATE: input_dict[CANDIDATE]}


def champion_resolver(candidate: types.BaseChannel) -> resolver.Resolver:
    """Returns the resolver node; its output `model` is the champion, and is empty when there is none."""
    return resolver.Resolver(
        strategy_class=ChampionStrategy,
        **{
            MODEL: Channel(type=standard_artifacts.Model),
            BLESSING: Channel(type=standard_artifacts.ModelBlessing),
            CANDIDATE: candidate,
        },
    ).with_id("ChampionResolver")
