"""The TFX component for pictures."""

from __future__ import annotations

from tfx.dsl.components.base import executor_spec

from components.example_gen.file_component import FileExampleGen, FileExecutor
from components.example_gen.images import PictureFiles


class ImageExecutor(FileExecutor):
    """Writes the bytes of pictures that TensorFlow can decode."""

    NODE_ID = "ImageExampleGen"
    KIND = PictureFiles()


class ImageExampleGen(FileExampleGen):
    """Ingests pictures as the feature `image`: the file's own bytes."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(ImageExecutor)
