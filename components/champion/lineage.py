"""What the champion was made of, as the metadata store knows it: where a training begins, and who teaches it."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

_INPUT, _OUTPUT = metadata_store_pb2.Event.INPUT, metadata_store_pb2.Event.OUTPUT


def run_to_start_from(store: mlmd.MetadataStore, champion: int, examples: Collection[int]) -> int | None:
    """Returns the id of the model run whose weights a training on some examples begins with; None for the backbone's.

    That is the champion's. A champion that was trained on these very examples is what such a training would give: it
    begins where the champion began, so that the same run again is the same training, and is taken from the cache.

    Args:
        store: Knows how each model was trained.
        champion: Id of the artifact.
        examples: Ids of the artifacts to train on.
    """
    made = execution_of(store, champion)
    if made is None:
        return None
    inputs, outputs = (_artifacts(store, made, kind) for kind in (_INPUT, _OUTPUT))
    if set(inputs.get("examples", [])) & set(examples):
        return next(iter(inputs.get("champion", [])), None)
    return next(iter(outputs.get("model_run", [])), None)


def model_to_learn_from(store: mlmd.MetadataStore, champion: int, examples: Collection[int]) -> int:
    """Returns the id of the model that teaches a training on some examples.

    That is the champion. A champion that was itself taught on these very examples, by the champion of its day, is what
    such a training would give: its teacher teaches again, so that the same run again is taken from the cache.

    Args:
        store: Knows how each model was trained.
        champion: Id of the artifact.
        examples: Ids of the artifacts to train on.
    """
    made = execution_of(store, champion)
    if made is None:
        return champion
    inputs = _artifacts(store, made, _INPUT)
    answers = inputs.get("teacher", [])
    if not answers or not set(inputs.get("examples", [])) & set(examples):
        return champion
    asked = execution_of(store, answers[0])
    teachers = _artifacts(store, asked, _INPUT).get("champion", []) if asked is not None else []
    return next(iter(teachers), champion)


def execution_of(store: mlmd.MetadataStore, artifact: int) -> int | None:
    """Returns the id of the execution that made an artifact: others that have it as output took it from the cache."""
    events = store.get_events_by_artifact_ids([artifact])
    return min((event.execution_id for event in events if event.type == _OUTPUT), default=None)


def read_for(store: mlmd.MetadataStore, ids: Iterable[int]) -> set[int]:
    """Returns the ids of the artifacts that were read to make some artifacts."""
    made_by = [made for number in ids if (made := execution_of(store, number)) is not None]
    found = store.get_events_by_execution_ids(made_by) if made_by else []
    return {event.artifact_id for event in found if event.type == _INPUT}


def made_from(store: mlmd.MetadataStore, artifact: int) -> set[int]:
    """Returns the ids of the artifacts that were made by whoever read an artifact."""
    events = store.get_events_by_artifact_ids([artifact])
    readers = {event.execution_id for event in events if event.type == _INPUT}
    found = store.get_events_by_execution_ids(list(readers)) if readers else []
    return {event.artifact_id for event in found if event.type == _OUTPUT}


def _artifacts(store: mlmd.MetadataStore, execution: int, kind: int) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for event in store.get_events_by_execution_ids([execution]):
        if event.type == kind and event.path.steps:
            found.setdefault(event.path.steps[0].key, []).append(event.artifact_id)
    return found
