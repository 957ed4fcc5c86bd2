"""Which contents are in which split, as a file of lines: for each the split, and digits of its SHA-256."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from finetune import buckets
from finetune.errors import RunError

# Digits of a SHA-256 that are kept: two of a hundred million contents share them with a probability below 1e-22.
DIGITS = 32
_END = "end"


class SplitDigests:
    """The split of each content that is known, by its SHA-256 in hexadecimal digits."""

    def __init__(self, splits: Mapping[str, str] | None = None):
        self._splits = {digest[:DIGITS]: split for digest, split in (splits or {}).items()}

    def __len__(self) -> int:
        return len(self._splits)

    def get(self, sha256: str) -> str | None:
        """Returns the split of a content; None where it is not known."""
        return self._splits.get(sha256[:DIGITS])

    def update(self, other: SplitDigests) -> None:
        """Adds what another knows."""
        self._splits.update(other._splits)

    def text(self) -> str:
        """Returns the content of the file, which says at its end that it is whole."""
        lines = sorted(f"{split} {digest}" for digest, split in self._splits.items())
        return "".join(f"{line}\n" for line in [*lines, f"{_END} {len(lines)}"])

    @classmethod
    def find(cls, path: Path) -> SplitDigests | None:
        """Reads a file; None where there is none.

        Raises:
            RunError: It is damaged.
        """
        try:
            text = buckets.folder(path).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{path}: cannot be read: {error}") from None
        *lines, last = text.splitlines() or [""]
        if last != f"{_END} {len(lines)}":
            raise RunError(f"{path}: {len(lines)} lines, and its end is missing or another; was it cut off or changed?")
        found = cls()
        for line in lines:
            split, _, digest = line.partition(" ")
            found._splits[digest] = split
        return found
