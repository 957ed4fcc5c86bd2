"""What a metadata store says of the runs of a pipeline."""

from __future__ import annotations

from typing import Any


def states_of_runs(store: Any) -> list[dict[str, int]]:
    """How each node ended in each run, from the first on: the number of the state, by the type of the node."""
    found = []
    for run in sorted(store.get_contexts_by_type("pipeline_run"), key=lambda one: one.id):
        executions = store.get_executions_by_context(run.id)
        types = {one.id: one.name for one in store.get_execution_types()}
        found.append({types[one.type_id].rpartition(".")[2]: one.last_known_state for one in executions})
    return found
