"""The TFX component for sounds."""

from __future__ import annotations

from tfx.dsl.components.base import executor_spec

from components.example_gen.file_component import FileExampleGen, FileExecutor
from components.example_gen.sounds import SoundFiles


class AudioExecutor(FileExecutor):
    """Writes sounds as the bytes of WAV files with 16 bits a sample."""

    NODE_ID = "AudioExampleGen"
    KIND = SoundFiles()


class AudioExampleGen(FileExampleGen):
    """Ingests sounds as the feature `audio`: the bytes of a WAV file with 16 bits a sample."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(AudioExecutor)
