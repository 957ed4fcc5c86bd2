"""The TFX component for pictures with words."""

from __future__ import annotations

from tfx.dsl.components.base import executor_spec

from components.example_gen.file_component import FileExampleGen, FileExecutor
from components.example_gen.images import PictureFiles


class ImageTextExecutor(FileExecutor):
    """Writes pictures with the words that a manifest has beside them; either may be missing."""

    NODE_ID = "ImageTextExampleGen"
    KIND = PictureFiles()


class ImageTextExampleGen(FileExampleGen):
    """Ingests pictures with words as the feature `image_text` (`transforms.sides`)."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(ImageTextExecutor)
