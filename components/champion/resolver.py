"""Finds the champion: the model that the folder of pushed versions serves, unless it is the candidate itself.

The folder decides, and not the order of runs: after a rollback the champion is what was rolled back to, a model that
waits for approval is none, and one that was approved is one from then on.

When nothing has changed, the Trainer is served from the cache and the candidate *is* the model that is served.
Comparing it with itself would be a new evaluation, a new blessing and a second push of the same model. Without it, the
Evaluator sees the inputs that it saw before, and is served from the cache too.

It also finds the verdicts on the candidates before this one, by which the GateKeeper counts how often the test examples
have judged one, and the decisions that have found spans to differ; and another resolver finds what the champion was
trained on.
"""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.dsl.components.common import resolver
from tfx.types import Channel, standard_artifacts

from components.champion.choice import champion_uri
from components.champion.decision_folder import DecisionFolder
from components.champion.drifted import SPANS, that_count
from components.champion.looks import CHAMPION_URI, MODEL_URI, before
from components.champion.pushed import PushedStrategy
from components.champion.training_data import champion_statistics
from components.gate_keeper.verdict_folder import VerdictFolder

MODEL, CANDIDATE, VERDICTS, DECISIONS = "model", "candidate", "verdicts", "decisions"
CURRENT, STATISTICS = "current", "statistics"


class ChampionStrategy(PushedStrategy):
    """The model of the highest pushed version that this metadata store knows, with the candidate left out."""

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Returns the champion under `model`, or none, earlier `verdicts` and `decisions`, and the candidate."""
        models = {artifact.uri: artifact for artifact in input_dict[MODEL]}
        candidates = {candidate.uri for candidate in input_dict[CANDIDATE]}
        champion = champion_uri(self._directory, candidates, models.__contains__)
        verdicts = {verdict.id: verdict for verdict in input_dict.get(VERDICTS, [])}
        judged = [
            (number, *map(one.get_string_custom_property, (MODEL_URI, CHAMPION_URI)))
            for number, one in verdicts.items()
        ]
        earlier = [verdicts[number] for number in before(judged, candidates, champion)]
        decisions = {decision.id: decision for decision in input_dict.get(DECISIONS, [])}
        said = {number: one.get_string_custom_property(SPANS) for number, one in decisions.items()}
        return {
            **input_dict,
            MODEL: [models[champion]] if champion else [],
            VERDICTS: earlier,
            DECISIONS: [decisions[number] for number in that_count(said)],
        }


def champion_resolver(candidate: types.BaseChannel, push_directory: str) -> resolver.Resolver:
    """Returns the resolver node; its output `model` is the champion, and is empty when there is none, as `verdicts` is.

    Its output `decisions` are those on spans that have differed, with a champion and without.

    Args:
        candidate: The model of this run.
        push_directory: Folder of versions, or the run-time value that becomes one.
    """
    return resolver.Resolver(
        strategy_class=ChampionStrategy,
        config={"push_directory": push_directory},
        **{
            MODEL: Channel(type=standard_artifacts.Model),
            CANDIDATE: candidate,
            VERDICTS: Channel(type=VerdictFolder),
            DECISIONS: Channel(type=DecisionFolder),
        },
    ).with_id("ChampionResolver")


class TrainingDataStrategy(PushedStrategy):
    """The statistics of what the champion was trained on, or of the version before it: see `training_data`."""

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Returns them under `statistics`, or none, and the statistics of this run as they came."""
        wanted = champion_statistics(store, self._directory, {artifact.id for artifact in input_dict[CURRENT]})
        found = [artifact for artifact in input_dict[STATISTICS] if artifact.id == wanted]
        return {**input_dict, STATISTICS: found[:1]}


def training_data_resolver(statistics: types.BaseChannel, push_directory: str) -> resolver.Resolver:
    """Returns the resolver node; its output `statistics` is empty when there is no champion on other examples.

    Args:
        statistics: Of this run.
        push_directory: Folder of versions, or the run-time value that becomes one.
    """
    return resolver.Resolver(
        strategy_class=TrainingDataStrategy,
        config={"push_directory": push_directory},
        **{CURRENT: statistics, STATISTICS: Channel(type=standard_artifacts.ExampleStatistics)},
    ).with_id("TrainingDataResolver")
