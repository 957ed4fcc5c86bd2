"""What the ingest has to know of a kind of files, such as pictures. Beam's workers import it: no TFX here."""

from __future__ import annotations

from typing import Protocol

from components.example_gen.settings import IngestSettings


class FileKind(Protocol):
    """A kind of files. It is pickled on its way to workers.

    Attributes:
        feature: Raw feature that a file becomes.
    """

    feature: str

    def check(self, data: bytes, settings: IngestSettings) -> None:
        """Looks at a file's bytes.

        Raises:
            FileProblem: Training and serving cannot use them.
        """

    def content(self, data: bytes) -> bytes:
        """Returns the raw feature of bytes that `check` accepts; the same bytes give the same.

        Raises:
            FileProblem: They show only now that they cannot be used.
        """

    def judged_by(self, settings: IngestSettings) -> str:
        """Returns what both depend on besides bytes and code: versions of libraries, and limits."""
