"""What the networks of the catalogue measure, as `make figures` wrote it; a test builds them anew and compares."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("figures.json")


@dataclass(frozen=True)
class Figures:
    """Of a network without its top, at the image size of its record and with the default arguments."""

    parameters: int  # How many numbers its weights hold.
    layers: int  # How many layers `unfreeze: {last_layers: N}` counts.
    blocks: tuple[str, ...]  # Those that `last_blocks` counts and `from_layer` names, from input to output.
    features: tuple[int, int, int]  # Height, width and channels of its output.
    has_batch_norm: bool  # Whether `training.batch_norm` concerns it.


@functools.cache
def figures() -> dict[str, Figures]:
    """The figures of each backbone by its name."""
    read = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        name: Figures(**{**one, "blocks": tuple(one["blocks"]), "features": tuple(one["features"])})
        for name, one in read.items()
    }
