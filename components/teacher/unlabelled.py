"""Pictures without labels: which files of a folder can be learned from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from components.example_gen.files import FileProblem, read_file, walk_folder
from components.example_gen.images import check_image


@dataclass
class Unlabelled:
    """The usable pictures of a folder and those below it, each once.

    Attributes:
        left_out: Counts files by why they were left out, once all have been looked at.
    """

    root: Path
    known: Collection[str]  # SHA-256 of pictures that the data have already, in whichever split.
    max_pixels: int  # As in `data.max_pixels`.
    left_out: Counter[str] = field(default_factory=Counter)

    def pictures(self) -> Iterator[tuple[str, bytes]]:
        """Yields SHA-256 and bytes of each, in the order of their paths."""
        # Those of a folder are listed with its own name, which may be that of a link.
        above, name = self.root.absolute().parent, self.root.absolute().name
        self.left_out.clear()
        seen: set[str] = set()
        for record in sorted(walk_folder(str(above), name, (), None), key=lambda record: record.path):
            if record.reason:
                self.left_out[record.reason] += 1
                continue
            try:
                data = read_file(str(above / record.path))
                digest = hashlib.sha256(data).hexdigest()
                if digest in seen or digest in self.known:
                    self.left_out["known already"] += 1
                    continue
                check_image(data, self.max_pixels)
            except FileProblem as problem:
                self.left_out[problem.reason] += 1
                continue
            seen.add(digest)
            yield digest, data

    def sentence(self, used: int) -> str:
        """Says how many are used, and why others are not."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.left_out.items()))
        return f"{used:,} pictures without labels in {self.root}" + (f"; left out: {reasons}" if reasons else "")
