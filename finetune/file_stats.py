"""What a file system says of files: enough to tell, without reading them, that they are as they were."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from finetune.buckets import is_bucket
from finetune.digests import sha256_of

# The coarsest clock of a file system that is in use, FAT's: two changes within it may leave the same time.
CLOCK_NS = 2 * 10**9


@dataclass(frozen=True)
class Stats:
    """What is said of a file, or of a folder and everything below it.

    Attributes:
        digest: SHA-256, in hexadecimal, of all paths and of each file's mode, size, times and inode.
        outside: The same of paths, sizes and times of contents alone, which a file that is replaced can share.
        changed_ns: When the latest change was, in nanoseconds since 1970.
    """

    digest: str
    outside: str
    changed_ns: int

    def settled(self, now_ns: int) -> bool:
        """Tells whether a change from now on would show: the clock has gone on since the latest one."""
        return self.changed_ns < now_ns - CLOCK_NS


def stats_of(root: Path) -> Stats:
    """Looks at a file or a folder, through links; what cannot be looked at is part of what is said.

    The time of an inode's change counts beside that of the content, which anyone can set: a file that is replaced by
    another of the same size and time has another inode, and one that is written over has another change. Of what is in
    a bucket nothing is said, and it never settles.
    """
    if is_bucket(root):
        return Stats("in a bucket", "in a bucket", sys.maxsize)
    digest, outside, changed = hashlib.sha256(), hashlib.sha256(), 0
    for path, found in _walk(root):
        seen, more = f"{path}\0{found}\n", ""
        if isinstance(found, os.stat_result):
            changed = max(changed, found.st_ctime_ns, found.st_mtime_ns)
            seen = f"{path}\0{found.st_size} {found.st_mtime_ns}\n"
            more = f"{found.st_mode} {found.st_ctime_ns} {found.st_ino}\n"
        outside.update(seen.encode(errors="surrogateescape"))
        digest.update((seen + more).encode(errors="surrogateescape"))
    return Stats(digest.hexdigest(), outside.hexdigest(), changed)


def contents_of(root: Path) -> str:
    """Returns the SHA-256, in hexadecimal, of paths and bytes: of a file, or of all below a folder, through links."""
    digest = hashlib.sha256()
    for path, found in _walk(root):
        is_file = isinstance(found, os.stat_result) and stat.S_ISREG(found.st_mode)
        digest.update(f"{path}\0{sha256_of(root / path) if is_file else found}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result | str]]:
    """Yields the path of each file relative to `root`, in a fixed order, with its stat; folders with a word."""
    pending = [""]
    entered = set()
    while pending:
        here = pending.pop()
        try:
            found = os.stat(root / here)
            if not stat.S_ISDIR(found.st_mode):
                yield here, found
                continue
            known = (found.st_dev, found.st_ino) in entered
            entered.add((found.st_dev, found.st_ino))
            yield here, "entered before" if known else "folder"
            pending += [] if known else sorted(os.path.join(here, name) for name in os.listdir(root / here))
        except OSError as error:
            yield here, f"error {error.errno}"
