"""Small pictures and folders of them, made on the spot."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.example_gen.files import FileProblem, FileRecord, read_file
from components.example_gen.images import check_with_pillow
from components.example_gen.layouts import Listing


def _picture(seed: int = 0, format: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (8, 6), **save) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).convert("L" if mode == "I;16" else mode).convert(mode).save(buffer, format, **save)
    return buffer.getvalue()


def _read(root: str, record: FileRecord) -> FileRecord:
    try:
        data = read_file(os.path.join(root, record.path))
        check_with_pillow(data, max_pixels=10_000)
    except FileProblem as problem:
        return record.without(problem)
    return dataclasses.replace(record, sha256=hashlib.sha256(data).hexdigest(), size=len(data))


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """Returns the bytes of a picture of noise: picture(seed, format, mode, size)."""
    return _picture


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[dict[str, bytes]], str]:
    """Writes {relative path: bytes} under a data root, and returns the root."""

    def write(files: dict[str, bytes]) -> str:
        root = tmp_path / "data"
        for path, data in files.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "wb") as file:
                file.write(data)
        return str(root)

    return write


@pytest.fixture
def read() -> Callable[[str, Listing], list[FileRecord]]:
    """Reads and checks all files of a listing as the Beam pass does, without TensorFlow's opinion."""

    def read_records(root: str, listing: Listing) -> list[FileRecord]:
        return [record if record.reason else _read(root, record) for record in listing.files]

    return read_records
