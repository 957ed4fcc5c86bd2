"""Which pushed model is the one to beat. Plain Python; the resolver and the execution cache both ask it."""

from __future__ import annotations

from collections.abc import Callable, Container
from pathlib import Path

from registry.versions import read_record, versions


def champion_uri(directory: Path, candidates: Container[str], is_known: Callable[[str], bool]) -> str | None:
    """Returns the URI of the model of the highest pushed version; None where there is no such model.

    Args:
        directory: Folder of versions.
        candidates: URIs of models that are no champions.
        is_known: Says whether the metadata store has a model of that URI; versions without one are passed over.
    """
    uris = (read_record(directory / str(number)).model_uri for number in reversed(versions(directory)))
    return next((uri for uri in uris if uri and uri not in candidates and is_known(uri)), None)
