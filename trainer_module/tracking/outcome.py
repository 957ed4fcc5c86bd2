"""What MLflow is told after a training: what the test split said of its model, its version, and which one is served."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from finetune.config import TrackingConfig
from finetune.events import Note, emit
from trainer_module.tracking.entries import Entry
from trainer_module.tracking.journal import journals_of, new_journal
from trainer_module.tracking.mlflow import Mlflow
from trainer_module.tracking.outbox import Outbox

# A model may be large.
SECONDS = 60.0


def tell(
    config: TrackingConfig, folder: Path, name: str, entries: Sequence[Entry], seconds: float = SECONDS
) -> dict[str, str]:
    """Has MLflow told, and of all that it has missed before; what it does not take in time waits for the next run.

    Args:
        config: Nothing is told where it names no server.
        folder: Of what servers are still to have.
        name: Of what is told, in the name of its file.
        entries: In their order.
        seconds: To wait at most.

    Returns:
        What the server calls the runs that it was told of, by what the entries call them.
    """
    server = config.mlflow
    if server is None or not entries:
        return {}
    try:
        journal = new_journal(journals_of(folder, server.uri, server.experiment), name)
    except OSError as error:
        emit(Note(level="warning", text=f"MLflow is not told of {name}: {error}"))
        return {}
    import mlflow  # noqa: F401  # What it takes to load is no time that a server has.

    ids: dict[str, str] = {}

    def opened() -> Mlflow:
        found = Mlflow(server.uri, server.experiment)
        found.ids = ids
        return found

    outbox = Outbox("MLflow", opened, journal)
    for entry in entries:
        outbox.put(entry)
    outbox.start()
    outbox.close(seconds)
    return ids
