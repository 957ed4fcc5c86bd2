"""Models that passed every gate and wait for a person's word. Plain Python.

They lie complete below `.pending/<digest>` of the folder of versions, so that an approval is one rename and needs
neither TensorFlow nor the run's metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from finetune.artifacts.pushed_version import ModelCard, PushRecord
from finetune.artifacts.run_summary import SignedApproval
from finetune.artifacts.split_digests import SplitDigests
from finetune.errors import RunError
from finetune.files import write_text
from registry.learned_from import note
from registry.model_card import card_files
from registry.versions import (
    PENDING,
    incoming_copy,
    model_digest,
    newest_version,
    prune,
    publish,
    read_record,
    record_text,
    versions,
    writing,
)


@dataclass(frozen=True)
class Approval:
    """Who approved a version, given by its folder, and when (ISO 8601); `new` if not by an earlier call."""

    version: Path
    by: str
    at: str
    new: bool


def stage(
    model: Path,
    directory: Path,
    files: Mapping[str, str],
    record: PushRecord,
    keep: int,
    learned_from: SplitDigests | None = None,
) -> Path:
    """Puts a model beside the versions, and returns the folder that waits; the arguments are those of `push_version`.

    Where the newest version holds the same model already, nothing is put, and that is returned.

    Raises:
        RunError: The copy could not be written. Nothing has changed then.
    """
    with writing(directory):
        digest = model_digest(model)
        newest = newest_version(directory)
        if newest and model_digest(newest) == digest:
            return newest
        waiting = directory / PENDING / digest
        if learned_from is not None:
            note(directory, digest, learned_from)
        if not waiting.is_dir():
            judged_against = int(newest.name) if newest else None
            facts = record.model_copy(update={"model_sha256": digest, "judged_against": judged_against, "keep": keep})
            waiting.parent.mkdir(exist_ok=True)
            incoming_copy(model, directory, {**files, PushRecord.FILE: record_text(facts)}).rename(waiting)
            prune(directory, keep)
        return waiting


def approve(directory: Path, digest: str, by: str) -> Approval:
    """Makes a model that waits the next version; a second call finds it approved and changes nothing.

    Args:
        directory: Folder of versions.
        digest: The model's.
        by: Who approves.

    Raises:
        RunError: Nothing of this digest waits, or another version has been published since the model was judged.
    """
    if not directory.is_dir():
        raise RunError(f"push.directory: {directory} is gone; run again.")
    with writing(directory):
        waiting = directory / PENDING / digest
        if not waiting.is_dir():
            return _approved_before(directory, digest)
        record = read_record(waiting)
        newest = newest_version(directory)
        served = int(newest.name) if newest else None
        if record.judged_against != served:
            raise RunError(
                f"this model was judged beside version {record.judged_against or 'none'}, and version {served} is "
                "served now. Run again, so that it is judged beside that one."
            )
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        signed = record.model_copy(update={"approved_by": by, "approved_at": at})
        write_text(PushRecord.path(waiting), record_text(signed), sync=True)
        _sign_card(waiting, by, at)
        version = publish(waiting, directory)
        if record.keep is not None:
            prune(directory, record.keep)
        return Approval(version, by, at, new=True)


def waiting_models(directory: Path) -> list[str]:
    """Digests of the models that wait, the latest first."""
    found = sorted((directory / PENDING).glob("*"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [path.name for path in found if path.is_dir()]


def published_version(directory: Path, digest: str) -> Path | None:
    """The newest version that holds a model, by what the versions' records say; None when there is none."""
    for number in reversed(versions(directory)):
        if read_record(directory / str(number)).model_sha256 == digest:
            return directory / str(number)
    return None


def _approved_before(directory: Path, digest: str) -> Approval:
    version = published_version(directory, digest)
    if version is None:
        raise RunError(f"no model {digest[:12]} waits in {directory}, and no version there holds it; run again.")
    record = read_record(version)
    return Approval(version, record.approved_by, record.approved_at, new=False)


def _sign_card(folder: Path, by: str, at: str) -> None:
    card = ModelCard.find(folder)
    if card:
        signed = card.model_copy(update={"approval": SignedApproval(by=by, at=at)})
        for name, text in card_files(signed).items():
            write_text(folder / name, text, sync=True)
