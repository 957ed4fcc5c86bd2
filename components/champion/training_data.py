"""Which statistics are of what the champion was trained on, by the lineage that the metadata store keeps. Plain Python.

A champion that was trained on the examples of this run is passed over for the version before it. So a run that nothing
has changed for, whose candidate is what is served by now, sees what it saw before, and is taken from the cache.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from components.champion.choice import champion_uri
from components.champion.lineage import made_from, read_for

EXAMPLES_TYPE, STATISTICS_TYPE = "Examples", "ExampleStatistics"


def champion_statistics(store: mlmd.MetadataStore, directory: Path, current: Collection[int]) -> int | None:
    """Returns the id of the statistics behind the highest pushed version that was trained on other examples.

    Args:
        store: The metadata store.
        directory: Folder of versions.
        current: Ids of the statistics of this run.

    Returns:
        None where there is no such version, or its statistics are gone.
    """

    def is_of_others(uri: str) -> bool:
        found = _behind(store, uri)
        return bool(found) and not found.intersection(current)

    champion = champion_uri(directory, (), is_of_others)
    return max(_behind(store, champion)) if champion else None


def _behind(store: mlmd.MetadataStore, model: str) -> set[int]:
    """Returns the ids of the statistics of the examples that a model was trained on; none where none are known.

    The nearest examples decide: those behind the checks of the data, which know an earlier champion, are farther.
    """
    ids = known = {artifact.id for artifact in store.get_artifacts_by_uri(model)}
    while ids := read_for(store, ids) - known:
        examples = _of_type(store, ids, EXAMPLES_TYPE)
        made = {number for each in examples for number in made_from(store, each.id)}
        if found := {each.id for each in _of_type(store, made, STATISTICS_TYPE) if _is_there(each)}:
            return found
        known = known | ids
    return set()


def _of_type(store: mlmd.MetadataStore, ids: Collection[int], name: str) -> list[metadata_store_pb2.Artifact]:
    return [artifact for artifact in store.get_artifacts_by_id(list(ids)) if artifact.type == name] if ids else []


def _is_there(artifact: metadata_store_pb2.Artifact) -> bool:
    return artifact.state == metadata_store_pb2.Artifact.LIVE and os.path.exists(artifact.uri)
