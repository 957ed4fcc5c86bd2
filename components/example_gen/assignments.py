"""Which split each content and each group was put in when it was first seen, so that no later span moves it.

A folder of numbered files, each with what one run saw for the first time. A file is made under another name and linked
to its number, which fails where another run has that number: that run was first, and this one decides again by what it
left. So runs at the same time agree, on one machine or on several, and one that is killed leaves a whole file or none.
"""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from finetune.artifacts.split_digests import SplitDigests
from finetune.errors import RunError
from finetune.files import sync_to_disk

# Of file systems without hard links, such as buckets that are mounted, which make a new file only as a whole.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


class Assignments:
    """What is known of the splits below a folder, for one way to cut.

    Attributes:
        known: The split of each content and each group, as it was when `read` was called last.
    """

    def __init__(self, folder: str | Path, way: str):
        """Takes the folder of all ways to cut, which is made when something is kept, and what tells this one."""
        self._folder = Path(folder) / hashlib.sha256(way.encode()).hexdigest()[:16]
        self.read()

    def read(self) -> None:
        """Reads what runs have left by now.

        Raises:
            RunError: A file is damaged.
        """
        self.known = SplitDigests()
        self._files = 0
        while (found := SplitDigests.find(self._path(self._files + 1))) is not None:
            self.known.update(found)
            self._files += 1

    def keep(self, splits: Mapping[str, str]) -> bool:
        """Adds what is new of these; returns False where another run was quicker, after which `read` knows more.

        Args:
            splits: SHA-256 of contents and groups, in hexadecimal digits, to their splits.

        Raises:
            RunError: It could not be written.
        """
        new = SplitDigests({digest: split for digest, split in splits.items() if self.known.get(digest) is None})
        if not len(new):
            return True
        target = self._path(self._files + 1)
        unfinished = target.with_name(f".{uuid.uuid4().hex}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(new.text(), encoding="utf-8")
            sync_to_disk(unfinished)
            _link(unfinished, target, new.text())
        except FileExistsError:
            return False
        except OSError as error:
            raise RunError(f"{target.parent}: the splits of new examples cannot be kept there: {error}") from None
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
        self.known.update(new)
        self._files += 1
        return True

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.txt"


def _link(source: Path, target: Path, text: str) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
