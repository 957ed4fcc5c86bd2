"""What all artifacts share: a file name, a version of the form, and how they are read and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import Self

from finetune import buckets
from finetune.errors import RunError
from finetune.files import as_json, write_text


class Record(BaseModel):
    """A part of an artifact. It does not change; fields that this version does not know are dropped on reading."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    def plain(self) -> dict[str, Any]:
        """Returns it as JSON has it."""
        return self.model_dump(by_alias=True)


class Artifact(Record):
    """A JSON file that one component writes and others read.

    A field that a later version of ours adds has a default, so that files of the version before still read; a field
    that is renamed keeps its old name as an alias.

    Attributes:
        schema_version: Of the form; a file without one was written before forms were counted.
    """

    FILE: ClassVar[str]

    schema_version: int = 1

    def __init_subclass__(cls, file: str | None = None, **config: Any) -> None:
        """Takes the name of the file with the bases, as in `class Verdict(Artifact, file="verdict.json")`."""
        super().__init_subclass__(**config)
        if file:
            cls.FILE = file

    @classmethod
    def path(cls, folder: str | Path) -> Path:
        """Returns where it lies in a folder."""
        return buckets.folder(folder) / cls.FILE

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Reads it from a folder.

        Raises:
            RunError: It is missing, or is not of a form that this version reads.
        """
        path = cls.path(folder)
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise RunError(f"{path}: missing; expected what the run has written there") from None
        except ValidationError as error:
            detail = error.errors()[0]
            place = ".".join(map(str, detail["loc"]))
            raise RunError(
                f"{path}: {place or 'content'}: {detail['msg']}; this version reads form {cls.current_version()} and "
                "those before it. Was it written by a later version, or changed by hand?"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{path}: cannot be read as JSON: {error}") from None

    @classmethod
    def find(cls, folder: str | Path | None) -> Self | None:
        """Reads it from a folder; None where there is no folder or no such file in it.

        Raises:
            RunError: It is not of a form that this version reads.
        """
        return cls.read(folder) if folder is not None and cls.path(folder).is_file() else None

    @classmethod
    def current_version(cls) -> int:
        """Returns the version of the form that is written."""
        version: int = cls.model_fields["schema_version"].default
        return version

    def write(self, folder: str | Path) -> Path:
        """Writes it into a folder, which is made where it is missing, in one step; returns the file."""
        path = self.path(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, self.text())
        return path

    def text(self) -> str:
        """Returns the content of the file."""
        return as_json(self.plain() | {"schema_version": self.current_version()})
