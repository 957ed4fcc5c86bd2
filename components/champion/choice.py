"""Which pushed model is the one to beat. Plain Python; the resolver and the execution cache both ask it."""

from __future__ import annotations

from collections.abc import Callable, Container
from pathlib import Path

from finetune.artifacts.split_digests import SplitDigests
from registry.learned_from import of_model
from registry.versions import read_record, versions


def champion_uri(directory: Path, candidates: Container[str], is_known: Callable[[str], bool]) -> str | None:
    """Returns the URI of the model of the highest pushed version; None where there is no such model.

    Args:
        directory: Folder of versions.
        candidates: URIs of models that are no champions.
        is_known: Says whether the metadata store has a model of that URI; versions without one are passed over.
    """
    version = _version_of(directory, lambda uri: uri not in candidates and is_known(uri))
    return read_record(version).model_uri if version else None


def learned_from(directory: Path, uri: str) -> SplitDigests | None:
    """Returns which examples a pushed model learned from; None where that was not kept.

    Args:
        directory: Folder of versions.
        uri: Of the model that was pushed.

    Raises:
        RunError: The list of them is damaged.
    """
    version = _version_of(directory, uri.__eq__)
    return of_model(directory, read_record(version).model_sha256) if version else None


def _version_of(directory: Path, wanted: Callable[[str], bool]) -> Path | None:
    """Returns the highest version whose model has a URI that is wanted."""
    for number in reversed(versions(directory)):
        uri = read_record(directory / str(number)).model_uri
        if uri and wanted(uri):
            return directory / str(number)
    return None
