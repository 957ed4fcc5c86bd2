"""The files of a split of examples."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tfx import types
from tfx.dsl.io import fileio
from tfx.types import artifact_utils


def split_files(examples: Sequence[types.Artifact], split: str) -> list[str]:
    """Returns the paths of all files of a split, sorted: in the order in which everybody reads them."""
    return sorted(fileio.glob(os.path.join(artifact_utils.get_split_uri(list(examples), split), "*")))
