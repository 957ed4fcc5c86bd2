"""Which statistics are of what the champion was trained on, by the lineage that the metadata store keeps. Plain Python.

A champion that was trained on the examples of this run is passed over for the version before it. So a run that nothing
has changed for, whose candidate is what is served by now, sees what it saw before, and is taken from the cache.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2

from components.champion.choice import champion_uri

STATISTICS_TYPE = "ExampleStatistics"
_MADE = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.DECLARED_OUTPUT)
_READ = (metadata_store_pb2.Event.INPUT, metadata_store_pb2.Event.DECLARED_INPUT)


def champion_statistics(store: Any, directory: Path, current: Collection[int]) -> int | None:
    """Returns the id of the statistics behind the highest pushed version that was trained on other examples.

    Args:
        store: The metadata store.
        directory: Folder of versions.
        current: Ids of the statistics of this run.

    Returns:
        None where there is no such version, or its statistics are gone.
    """
    of_examples: dict[int, list[int]] = {}
    for artifact in store.get_artifacts_by_type(STATISTICS_TYPE):
        if artifact.state == metadata_store_pb2.Artifact.LIVE and os.path.exists(artifact.uri):
            for examples in read_for(store, [artifact.id]):
                of_examples.setdefault(examples, []).append(artifact.id)

    def behind(uri: str) -> list[int]:
        return _behind(store, [model.id for model in store.get_artifacts_by_uri(uri)], of_examples)

    def is_of_others(uri: str) -> bool:
        found = behind(uri)
        return bool(found) and not set(found).intersection(current)

    champion = champion_uri(directory, (), is_of_others)
    return max(behind(champion)) if champion else None


def _behind(store: Any, models: Iterable[int], of_examples: dict[int, list[int]]) -> list[int]:
    """Returns the ids of the statistics of the examples that models were trained on; none where none are known.

    The nearest examples decide: those behind the checks of the data, which know an earlier champion, are farther.
    """
    ids = known = set(models)
    while ids:
        if found := [statistics for number in ids for statistics in of_examples.get(number, [])]:
            return found
        ids = read_for(store, ids) - known
        known = known | ids
    return []


def read_for(store: Any, ids: Collection[int]) -> set[int]:
    """Returns the ids of the artifacts that were read to make some artifacts."""
    made_by = {event.execution_id for event in store.get_events_by_artifact_ids(list(ids)) if event.type in _MADE}
    if not made_by:
        return set()
    return {event.artifact_id for event in store.get_events_by_execution_ids(list(made_by)) if event.type in _READ}
