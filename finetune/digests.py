"""What identifies a weights file or a SavedModel's folder: a sha256 that anyone can compute with standard tools."""

from __future__ import annotations

import hashlib
from pathlib import Path

from finetune.errors import BackboneError


def sha256_of(path: Path | None) -> str | None:
    """Returns the digest of a file or folder, in hexadecimal; None if there is none.

    That of a folder is the digest of the list of its files, as
    `cd FOLDER && find . -type f | LC_ALL=C sort | xargs -d '\\n' sha256sum | sha256sum` prints it.
    """
    if path is None:
        return None
    if path.is_file():
        return _of_file(path)
    if not path.is_dir():
        return None
    files = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    lines = "".join(f"{_of_file(path / file)}  ./{file}\n" for file in files)
    return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()


def check_sha256(path: Path, expected: str | None) -> str:
    """Returns the digest of weights that are there.

    Raises:
        BackboneError: It is not the expected one, or nothing is there.
    """
    found = sha256_of(path)
    if found is None:
        raise BackboneError(f"backbone: {path} is not there, or is neither a file nor a folder; expected the weights.")
    if expected and found != expected:
        raise BackboneError(
            f"backbone.sha256: got {expected}; {path} has {found}. Put the right weights there, or, if you trust "
            "these, change backbone.sha256."
        )
    return found


def _of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
